//! The commands: one function each, from arguments to an exit code.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what is printed is the product here"
)]

use std::error::Error;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::builder::styling::Styles;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::app::App;
use crate::clock::Clock;
use crate::config::{self, Config, Environment, Loaded, Purpose, SETTINGS};
use crate::graphql;
use crate::http::GraphiqlDefaults;
use crate::simulator::{DEMO_TOKEN, FaultPlan, Simulator, SimulatorConfig};
use crate::telemetry::start_logging;
use crate::upstream::{Probe, Upstream, UpstreamMetrics};

/// Settings or arguments that cannot be used.
const USAGE: u8 = 2;

/// Runs the command that the arguments name.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let environment = config::environment(variables);
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            // Writes help and version to the one stream, mistakes to the other.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    match matches.subcommand() {
        Some(("demo", arguments)) => started(arguments, &environment, Purpose::Demo, demo),
        Some(("serve", arguments)) => started(arguments, &environment, Purpose::Serve, serve),
        Some(("check", arguments)) => started(arguments, &environment, Purpose::Serve, check),
        Some(("simulate", arguments)) => simulate(arguments),
        Some(("schema", _)) => {
            print!("{}", graphql::sdl());
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(USAGE),
    }
}

/// Loads the settings, starts the log, and runs a command with them.
fn started(
    arguments: &ArgMatches,
    environment: &Environment,
    purpose: Purpose,
    command: impl AsyncFnOnce(Loaded) -> Result<ExitCode, Box<dyn Error>>,
) -> ExitCode {
    let loaded = match config::load(purpose, &flags(arguments), environment) {
        Ok(loaded) => loaded,
        Err(refusals) => {
            eprintln!("{refusals}");
            return ExitCode::from(USAGE);
        }
    };
    if let Err(error) = start_logging(&loaded.config.log) {
        eprintln!("the log cannot be started: {error}");
        return ExitCode::FAILURE;
    }
    block_on(command(loaded))
}

/// Runs the gateway against the configured upstream.
async fn serve(loaded: Loaded) -> Result<ExitCode, Box<dyn Error>> {
    let app = App::build(&loaded.config, Clock::default()).await?;
    println!("GraphQL  http://{}/graphql", app.local_addr()?);
    println!("Admin    http://{}/readyz", app.admin_addr()?);
    app.run(stop_signal()).await;
    Ok(ExitCode::SUCCESS)
}

/// Runs the gateway and a simulated upstream in one process.
async fn demo(loaded: Loaded) -> Result<ExitCode, Box<dyn Error>> {
    let clock = Clock::default();
    let simulator = Simulator::bind(SimulatorConfig::for_demo(), clock.clone()).await?;
    let query = demo_query(&simulator);
    let mut config: Config = loaded.config;
    config.upstream.endpoint = format!("http://{}", simulator.local_addr()?).parse()?;
    let defaults = GraphiqlDefaults {
        query: Some(query.clone()),
        headers: Some(format!("{{\n  \"X-Auth-Token\": \"{DEMO_TOKEN}\"\n}}")),
    };
    let app = App::build_with(&config, defaults, clock).await?;
    introduce(&format!("http://{}/graphql", app.local_addr()?), &query);
    let stop = tokio_util::sync::CancellationToken::new();
    let gateway = async {
        app.run(stop_signal()).await;
        stop.cancel();
    };
    tokio::join!(gateway, simulator.run(stop.cancelled()));
    Ok(ExitCode::SUCCESS)
}

fn demo_query(simulator: &Simulator) -> String {
    let (project, record) = simulator.sample();
    format!(
        "# A recording of the simulated upstream. Press the button to ask for it.\n\
         {{\n  screenRecord(\n    projectId: \"{project}\"\n    id: \"{record}\"\n  ) {{\n    id\n    \
         desktopName\n    username\n    status\n    startTime\n    endTime\n    duration\n    size\n  }}\n}}"
    )
}

/// Tells a newcomer what to do next.
fn introduce(address: &str, query: &str) {
    let one_line = query.lines().skip(1).map(str::trim).collect::<Vec<_>>().join(" ");
    let body = serde_json::json!({ "query": one_line });
    println!("\n  Open      {address}");
    println!("  Token     {DEMO_TOKEN} (filled in there; everything is simulated)");
    println!("\n  Or paste this:\n");
    println!("  curl -s {address} -H 'X-Auth-Token: {DEMO_TOKEN}' \\");
    println!("    -H 'Content-Type: application/json' \\");
    println!("    -d '{body}'\n");
}

/// Runs only the simulated upstream.
fn simulate(arguments: &ArgMatches) -> ExitCode {
    let config = match simulator_config(arguments) {
        Ok(config) => config,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(USAGE);
        }
    };
    if let Err(error) = start_logging(&config::LogConfig::default()) {
        eprintln!("the log cannot be started: {error}");
        return ExitCode::FAILURE;
    }
    block_on(async {
        let simulator = Simulator::bind(config, Clock::default()).await?;
        let (project, record) = simulator.sample();
        let address = simulator.local_addr()?;
        println!("Upstream http://{address}");
        println!("Record   http://{address}/v2/{project}/screen-records/{record}");
        println!("Faults   http://{address}/__faults");
        simulator.run(stop_signal()).await;
        Ok(ExitCode::SUCCESS)
    })
}

fn simulator_config(arguments: &ArgMatches) -> Result<SimulatorConfig, String> {
    let defaults = SimulatorConfig::default();
    let many = |name: &str| -> Option<Vec<String>> {
        arguments.get_many::<String>(name).map(|values| values.cloned().collect())
    };
    let mut access_keys = Vec::new();
    for pair in many("access-key").unwrap_or_default() {
        let Some((access, secret)) =
            pair.split_once(':').filter(|(a, s)| !a.is_empty() && !s.is_empty())
        else {
            return Err("--access-key has to be AK:SK, an access key and its secret".to_owned());
        };
        access_keys.push((access.to_owned(), secret.to_owned()));
    }
    let copied = |name: &str| arguments.get_one::<u32>(name).copied();
    Ok(SimulatorConfig {
        listen: arguments.get_one("listen").copied().unwrap_or(defaults.listen),
        records: copied("records").map_or(defaults.records, |records| records as usize),
        latency: arguments.get_one("latency").copied().unwrap_or(defaults.latency),
        seed: arguments.get_one("seed").copied().unwrap_or(defaults.seed),
        projects: many("project").unwrap_or(defaults.projects),
        tokens: many("token").unwrap_or(defaults.tokens),
        access_keys,
        faults: FaultPlan {
            rate: arguments.get_one("fault-rate").copied().unwrap_or_default(),
            requests_per_second: copied("rate-limit"),
        },
        ..defaults
    })
}

/// Tells whether the settings work: sends one request and reports.
async fn check(loaded: Loaded) -> Result<ExitCode, Box<dyn Error>> {
    for line in &loaded.shown {
        println!("{line}");
    }
    let Config { upstream, inbound, .. } = &loaded.config;
    let client = Upstream::new(upstream, UpstreamMetrics::default(), Clock::default())?;
    let project = inbound.projects.as_ref().and_then(|projects| projects.first());
    Ok(match client.probe(project).await {
        Probe::Ready(finding) => {
            println!("\nready: {finding}");
            ExitCode::SUCCESS
        }
        Probe::NotReady(finding) => {
            println!("\nnot ready: {finding}");
            ExitCode::FAILURE
        }
    })
}

fn block_on(running: impl Future<Output = Result<ExitCode, Box<dyn Error>>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(running),
        Err(error) => Err(error.into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{}", with_causes(&*error));
        ExitCode::FAILURE
    })
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Done when the process is asked to stop.
async fn stop_signal() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => {
                tokio::select! { _ = interrupted => {}, _ = terminated.recv() => {} }
            }
            Err(_) => {
                let _ = interrupted.await;
            }
        }
    }
    #[cfg(not(unix))]
    let _ = interrupted.await;
}

fn flags(arguments: &ArgMatches) -> config::Flags {
    let named = SETTINGS.iter().map(config::Setting::flag).chain(["config".to_owned()]);
    named
        .filter_map(|flag| {
            let value = arguments.get_one::<String>(&flag).cloned()?;
            Some((flag, value))
        })
        .collect()
}

fn command() -> Command {
    Command::new("screen-record-gateway")
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .version(env!("CARGO_PKG_VERSION"))
        .styles(Styles::plain())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(Command::new("demo").about(
            "Gateway and simulated upstream in one process: no account, no network, no file needed",
        )))
        .subcommand(with_settings(
            Command::new("serve").about("The gateway against a configured upstream"),
        ))
        .subcommand(simulate_command())
        .subcommand(Command::new("schema").about("Prints the schema"))
        .subcommand(with_settings(Command::new("check").about(
            "Checks the settings and the credentials with one request; exits with 0 when ready",
        )))
}

/// A flag for every setting.
fn with_settings(command: Command) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("settings file (TOML) [env: GATEWAY_CONFIG]");
    let flags = SETTINGS.iter().map(|setting| {
        let help = format!(
            "{} [default: {}] [env: {}]",
            setting.meaning,
            setting.default,
            setting.environment()
        );
        Arg::new(setting.flag()).long(setting.flag()).value_name("VALUE").help(help)
    });
    command.arg(config).args(flags)
}

fn simulate_command() -> Command {
    let many = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Append);
    let one = |name: &'static str| Arg::new(name).long(name);
    Command::new("simulate").about("Only the simulated upstream").args([
        one("listen")
            .value_name("ADDRESS")
            .value_parser(value_parser!(SocketAddr))
            .help("address to listen on [default: 127.0.0.1:8090]"),
        one("records")
            .value_name("N")
            .value_parser(value_parser!(u32))
            .help("how many recordings there are [default: 250]"),
        one("latency")
            .value_name("DURATION")
            .value_parser(|text: &str| humantime::parse_duration(text))
            .help("time before every answer [default: 0s]"),
        one("seed")
            .value_name("N")
            .value_parser(value_parser!(u64))
            .help("equal seeds give equal recordings [default: 1]"),
        many("project").value_name("ID").help("project of the recordings; others are forbidden"),
        many("token").value_name("TOKEN").help("token to accept as X-Auth-Token"),
        many("access-key").value_name("AK:SK").help("access key whose signatures to accept"),
        one("fault-rate")
            .value_name("SHARE")
            .value_parser(share)
            .help("share of requests to fail in mixed ways, from 0 to 1 [default: 0]"),
        one("rate-limit")
            .value_name("N")
            .value_parser(value_parser!(u32).range(1..))
            .help("requests a second before 429 [default: no limit]"),
    ])
}

fn share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "it has to be a number from 0 to 1".to_owned())
}
