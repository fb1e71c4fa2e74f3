//! The commands of the binary.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};

const KEY: [(&str, &str); 2] =
    [("HUAWEICLOUD_SDK_AK", "COMMANDTESTAK0000001"), ("HUAWEICLOUD_SDK_SK", "command/test+secret")];

/// A command with an empty environment.
fn gateway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_screen-record-gateway"));
    command.env_clear().args(arguments);
    command
}

pub(crate) fn output(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let run = gateway(arguments).envs(environment.iter().copied()).output();
    let Output { status, stdout, stderr } = run.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A command that runs until it is stopped.
pub(crate) struct Running {
    process: Child,
    said: String,
}

impl Running {
    /// Runs a command until it has printed a line with `sign`.
    pub(crate) fn until(sign: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = gateway(arguments);
        command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.as_mut().unwrap()).lines();
        let mut said = String::new();
        while !said.lines().any(|line| line.contains(sign)) {
            said += &(lines.next().expect("it ended early").unwrap() + "\n");
        }
        Self { process, said }
    }

    /// The address after a word in what was printed.
    pub(crate) fn address(&self, word: &str) -> String {
        let line = self.said.lines().find(|line| line.contains(word)).unwrap();
        line.split_whitespace().find(|part| part.starts_with("http://")).unwrap().to_owned()
    }

    /// Sends SIGTERM; the exit code.
    pub(crate) fn stop(self) -> i32 {
        self.stop_with_log().0
    }

    /// The same, with the log.
    pub(crate) fn stop_with_log(mut self) -> (i32, String) {
        let pid = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        let mut log = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.process.wait().unwrap().code().unwrap(), log)
    }
}

#[test]
fn serving_without_an_upstream_says_what_to_set_and_points_to_the_demo() {
    let (code, _, complaint) = output(&["serve"], &[]);

    assert_eq!(code, 2);
    for part in ["upstream.region", "upstream.endpoint", "demo"] {
        assert!(complaint.contains(part), "{part} is not in {complaint}");
    }
}

#[test]
fn a_refusal_lists_every_wrong_setting_at_once() {
    let environment = [("GATEWAY_CACHE__TTL_FINAL", "soon"), ("GATEWAY_NONSENSE", "1")];

    let (code, _, complaint) = output(&["serve", "--limits-max-batch", "0"], &environment);

    assert_eq!(code, 2);
    for part in ["upstream.region", "limits.max_batch", "soon", "GATEWAY_NONSENSE"] {
        assert!(complaint.contains(part), "{part} is not in {complaint}");
    }
}

#[test]
fn an_address_that_is_taken_is_a_failing_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let (code, _, complaint) = output(&["demo", "--listen", &address], &[]);

    assert_eq!(code, 1);
    assert!(complaint.contains(&address), "{complaint}");
}

#[test]
fn the_demo_answers_the_query_it_prints_and_stops_on_a_signal() {
    let free = ["demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let demo = Running::until("-d '", &free, &[]);
    let pasted: String =
        demo.said.lines().skip_while(|line| !line.contains("curl")).collect::<Vec<_>>().join("\n");

    let answer = Command::new("bash").args(["-c", &pasted]).output().unwrap();

    let answer = String::from_utf8(answer.stdout).unwrap();
    assert!(answer.contains("\"status\":\"UPLOAD_COMPLETED\""), "{answer}");
    assert_eq!(demo.stop(), 0);
}

#[test]
fn the_demo_reads_two_projects_in_two_regions_with_one_query() {
    let free = ["demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let demo = Running::until("-d '", &free, &[]);
    let query = "{ projects { id region screenRecords(first: 2) { nodes { username } } } }";
    let body = serde_json::json!({ "query": query }).to_string();
    let headers = ["-H", "X-Auth-Token: demo-token", "-H", "Content-Type: application/json"];

    let mut curl = Command::new("curl");
    curl.args(["-s", &demo.address("GraphiQL"), "-d", &body]).args(headers);
    let answer: serde_json::Value = serde_json::from_slice(&curl.output().unwrap().stdout).unwrap();

    assert_eq!(answer.get("errors"), None, "{answer}");
    let projects = answer["data"]["projects"].as_array().unwrap();
    let regions: Vec<_> = projects.iter().map(|project| &project["region"]).collect();
    assert_eq!(regions, ["ap-southeast-1", "ap-southeast-3"]);
    let nodes = |number: usize| projects[number]["screenRecords"]["nodes"].as_array().unwrap();
    assert_eq!((nodes(0).len(), nodes(1).len()), (2, 2), "{answer}");
    assert_ne!(nodes(0), nodes(1), "both regions have the same recordings");
    assert_eq!(demo.stop(), 0);
}

#[test]
fn a_signal_right_after_the_addresses_are_printed_is_a_clean_stop() {
    for (sign, command) in [("Upstream", "simulate"), ("curl", "demo")] {
        let free = match command {
            "simulate" => vec![command, "--listen", "127.0.0.1:0"],
            _ => vec![command, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
        };
        let running = Running::until(sign, &free, &[]);

        assert_eq!(running.stop(), 0, "of {command}");
    }
}

#[test]
fn simulated_regions_answer_for_their_own_project_alone() {
    const FIRST: &str = "089b2f9a3d80d3062f24c00ca4ed5cbd";
    const SECOND: &str = "0f5c3b7d9a1e4c62b8d7e6f50a1b2c3d";
    let second = format!("127.0.0.1:0={SECOND}");
    let arguments = ["simulate", "--listen", "127.0.0.1:0", "--token", "t", "--region", &second];
    let running = Running::until(&format!("/{SECOND}/"), &arguments, &[]);
    let records: Vec<&str> =
        running.said.lines().filter_map(|line| line.strip_prefix("Record ")).collect();
    let status = |address: &str| {
        let form = ["-so", "/dev/null", "-w", "%{http_code}", "-H", "X-Auth-Token: t"];
        let answer = Command::new("curl").args(form).arg(address.trim()).output().unwrap();
        String::from_utf8(answer.stdout).unwrap()
    };

    let own = records.iter().map(|record| status(record)).collect::<Vec<_>>();
    let foreign = [records[0].replace(FIRST, SECOND), records[1].replace(SECOND, FIRST)]
        .map(|it| status(&it));

    assert_eq!(own, ["200", "200"], "{records:?}");
    assert_eq!(foreign, ["403", "403"]);
    assert_eq!(running.stop(), 0);
}

#[test]
fn a_simulated_region_without_a_project_is_refused() {
    let (code, _, complaint) = output(&["simulate", "--region", "127.0.0.1:8091"], &[]);

    assert_eq!(code, 2);
    for part in ["simulator.regions", "ADDRESS=PROJECT"] {
        assert!(complaint.contains(part), "{part} is not in {complaint}");
    }
}

#[test]
fn check_signs_a_request_with_the_gateways_own_key() {
    let pair = format!("{}:{}", KEY[0].1, KEY[1].1);
    let simulate = ["simulate", "--listen", "127.0.0.1:0", "--access-key", &pair];
    let upstream = Running::until("Faults", &simulate, &[]);
    let endpoint = upstream.address("Upstream");
    let check = ["check", "--upstream-endpoint", &endpoint, "--upstream-credentials", "aksk"];
    let project = [("HUAWEICLOUD_SDK_PROJECT_ID", "089b2f9a3d80d3062f24c00ca4ed5cbd")];
    let wrong = [KEY[0], ("HUAWEICLOUD_SDK_SK", "wrong"), project[0]];

    let right = output(&check, &[KEY[0], KEY[1], project[0]]);
    let wrong = output(&check, &wrong);
    let foreign = output(&check, &[KEY[0], KEY[1], ("HUAWEICLOUD_SDK_PROJECT_ID", "other")]);

    assert_eq!(right.0, 0, "{right:?}");
    assert!(right.1.contains("ready: "), "{right:?}");
    assert_eq!((wrong.0, foreign.0), (1, 1), "{wrong:?} {foreign:?}");
    for (_, said, complained) in [right, wrong, foreign] {
        assert!(!(said + &complained).contains(KEY[1].1), "the secret key was printed");
    }
    assert_eq!(upstream.stop(), 0);
}

#[test]
fn check_of_an_absent_upstream_says_what_to_do() {
    let (code, _, complaint) = output(&["check", "--upstream-endpoint", "http://127.0.0.1:9"], &[]);

    assert_eq!(code, 1);
    assert!(complaint.contains("upstream.endpoint"), "{complaint}");
}

#[test]
fn the_schema_command_prints_the_schema_file() {
    let (code, printed, _) = output(&["schema"], &[]);

    assert_eq!(code, 0);
    assert_eq!(printed, include_str!("../../schema.graphql"));
}

#[test]
fn the_tagged_subgraph_is_the_subgraph_with_cache_tags_on_entities_and_fields_of_query() {
    let (code, printed, _) = output(&["schema", "--federation", "--cache-tags"], &[]);

    assert_eq!(code, 0);
    let tagged: Vec<&str> = printed.lines().filter(|line| line.contains("@cacheTag(")).collect();
    let shown: Vec<&str> =
        tagged.iter().map(|line| line.split(" @").next().unwrap().trim()).collect();
    let expected = [
        "projects: [Project!]!",
        "): ScreenRecord",
        "): ScreenRecordConnection!",
        "): ScreenRecordStatistics",
        "type ScreenRecord",
    ];
    assert_eq!(sorted(&shown), sorted(&expected), "{tagged:#?}");
    // Without the tags it is the other subgraph, but for the version.
    let untagged: Vec<String> = printed.lines().skip(1).map(without_tags).collect();
    let (_, subgraph, _) = output(&["schema", "--federation"], &[]);
    assert_eq!(untagged, subgraph.lines().skip(1).collect::<Vec<_>>());
}

#[test]
fn cache_tags_without_the_subgraph_are_refused() {
    let (code, printed, complaint) = output(&["schema", "--cache-tags"], &[]);

    assert_eq!((code, printed.as_str()), (2, ""));
    assert!(complaint.contains("--federation"), "{complaint}");
}

fn sorted<'t>(texts: &[&'t str]) -> Vec<&'t str> {
    let mut texts = texts.to_vec();
    texts.sort_unstable();
    texts
}

fn without_tags(line: &str) -> String {
    let parts = line.split(" @").filter(|part| !part.starts_with("cacheTag("));
    parts.collect::<Vec<_>>().join(" @")
}

#[test]
fn the_version_names_the_commit_only_if_the_build_was_given_it() {
    let (code, printed, _) = output(&["--version"], &[("BUILD_COMMIT", "told-too-late")]);

    assert_eq!(code, 0);
    let expected = screen_record_gateway::version::version();
    assert_eq!(printed, format!("screen-record-gateway {expected}\n"));
}
