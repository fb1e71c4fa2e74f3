//! The commands, one function each.
//!
//! Only `say` and `complain` print.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::ExitCode;

use futures_util::future::{join_all, try_join_all};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::{App, Start};
use crate::checks;
use crate::clock::Clock;
use crate::config::{
    AuditSink, Config, Environment, Invocation, Loaded, ProjectConfig, SimulateArgs, SimulatedKey,
    SimulatedUser, Target, UsageError,
};
use crate::domain::{ProjectId, Secret};
use crate::error_chain::sources;
use crate::graphql;
use crate::http::PageDefaults;
use crate::simulator::{DEMO_TOKEN, FaultPlan, IamUser, Simulator, SimulatorConfig};
use crate::telemetry::{Traces, start_logging};
use crate::upstream::Findings;

/// A start that failed, or a check that is not ready.
const FAILED: u8 = 1;
/// Arguments or settings that are refused.
const REFUSED: u8 = 2;
/// Name and region of the demo's projects, as clients see them.
const DEMO_REGIONS: [(&str, &str); 2] =
    [("Hong Kong", "ap-southeast-1"), ("Singapore", "ap-southeast-3")];

/// The result of a command.
type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Runs the program: 0 for success, 1 for a failing start or a check that is not ready, 2 for
/// arguments or settings that are refused.
pub async fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Registered first, because a SIGHUP before that would end the process.
    let is_serving = args.iter().any(|arg| arg == "serve");
    let hangups = is_serving.then(|| signal(SignalKind::hangup()));
    let outcome = match Invocation::parse(args, &Environment::of_process()) {
        Ok(Invocation::Demo(config)) => demo(config).await,
        Ok(Invocation::Serve(config)) => serve(config, hangups).await,
        Ok(Invocation::Simulate(args)) => simulate(args).await,
        Ok(Invocation::Schema { federation, cache_tags }) => {
            let sdl = match (federation, cache_tags) {
                (_, true) => graphql::tagged_federation_sdl(),
                (true, false) => graphql::federation_sdl(),
                (false, false) => graphql::sdl(),
            };
            say(sdl.trim_end());
            Ok(())
        }
        Ok(Invocation::Check(config)) => check(config).await,
        Ok(Invocation::Print(text)) => {
            say(text.trim_end());
            Ok(())
        }
        Err(UsageError::Arguments(error)) => {
            // Help goes to standard output. Fails only if the terminal is gone.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(REFUSED).into();
        }
        Err(UsageError::Settings(error)) => {
            complain("error: the settings cannot be used");
            error.problems.iter().for_each(|problem| complain(format_args!("  {problem}")));
            return REFUSED.into();
        }
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    complain(format_args!("error: {error}"));
    sources(error.as_ref()).for_each(|cause| complain(format_args!("  because {cause}")));
    FAILED.into()
}

/// Runs the gateway and the simulated upstream in one process.
async fn demo(demo: Loaded<Config>) -> Outcome {
    let clock = Clock::default();
    let traces = Traces::start(demo.settings.traces.as_ref())?;
    let log = start_logging(&demo.settings.log, &traces)?;
    let simulators = bind_all(SimulatorConfig::for_demo(), &clock).await?;
    let mut projects = Vec::new();
    for (simulator, (name, region)) in simulators.iter().zip(DEMO_REGIONS) {
        let endpoint = format!("http://{}", simulator.local_addr()?).parse()?;
        let target = Target { region: Some(region.to_owned()), ..Target::at(endpoint) };
        let (id, name) = (ProjectId::parse(simulator.sample().0)?, Some(name.to_owned()));
        projects.push(ProjectConfig { id, name, target });
    }
    let (project, record) = simulators.first().ok_or("the demo has no region")?.sample();
    let query = demo_query(project, record);
    // Pages that work at once, with the demo's project and token.
    let page_defaults = PageDefaults {
        query: Some(query.clone()),
        headers: Some(format!("{{\n  \"X-Auth-Token\": \"{DEMO_TOKEN}\"\n}}")),
        project_id: Some(project.to_owned()),
        token: Some(DEMO_TOKEN.to_owned()),
    };
    let (log, settings) = (Some(log.clone()), demo.serving(projects));
    let start = Start { page_defaults, log, traces, ..Start::from(settings, clock) };
    let app = App::start(start).await?;
    let stopped = stop_signal()?;
    introduce(app.local_addr()?, app.admin_addr()?, &query);
    run_all(simulators, Box::pin(app.run(stopped))).await;
    Ok(())
}

/// Binds the address of each simulated region.
async fn bind_all(
    regions: impl IntoIterator<Item = SimulatorConfig>,
    clock: &Clock,
) -> io::Result<Vec<Simulator>> {
    let bound = regions.into_iter().map(|region| Simulator::bind(region, clock.clone()));
    try_join_all(bound).await
}

/// Serves all simulated regions until `stop` is done.
async fn run_all(simulators: Vec<Simulator>, stop: impl Future<Output = ()>) {
    let stopping = CancellationToken::new();
    let serving =
        simulators.into_iter().map(|simulator| simulator.run(stopping.clone().cancelled_owned()));
    let stopped = async {
        stop.await;
        stopping.cancel();
    };
    tokio::join!(stopped, join_all(serving));
}

/// A query that the demo's upstream can answer.
fn demo_query(project: &str, record: &str) -> String {
    format!(
        "# A recording of the simulated upstream. Press the button to ask for it.\n\
         {{\n  screenRecord(\n    projectId: \"{project}\"\n    id: \"{record}\"\n  ) {{\n    id\n    \
         desktopName\n    username\n    status\n    startTime\n    endTime\n    duration\n    size\n  }}\n}}"
    )
}

/// Shows a new user how to send a query.
fn introduce(address: SocketAddr, admin: SocketAddr, query: &str) {
    let one_line = query.lines().skip(1).map(str::trim).collect::<Vec<_>>().join(" ");
    let body = serde_json::json!({ "query": one_line });
    say(format_args!(
        "\n  Console   http://{address}/\n  GraphiQL  http://{address}/graphql\n  \
         Token     {DEMO_TOKEN} (filled in there; everything is simulated)\n\n  \
         Or paste this:\n\n  curl -s http://{address}/graphql -H 'X-Auth-Token: {DEMO_TOKEN}' \\\n    \
         -H 'Content-Type: application/json' \\\n    -d '{body}'\n\n  \
         Health and metrics are at http://{admin}/readyz and /metrics.\n"
    ));
}

/// Runs the gateway against the configured upstream.
async fn serve(config: Loaded<Config>, hangups: Option<io::Result<Signal>>) -> Outcome {
    let mut hangups = hangups.ok_or("serve is not among the arguments")??;
    let clock = Clock::default();
    let traces = Traces::start(config.settings.traces.as_ref())?;
    let log = start_logging(&config.settings.log, &traces)?;
    let scheme = if config.settings.tls.is_some() { "https" } else { "http" };
    // A reader of the audit log expects nothing else on standard output.
    let is_audited_there = config.settings.audit.sink == AuditSink::Stdout;
    let start = Start { log: Some(log.clone()), traces, ..Start::from(config, clock) };
    let app = App::start(start).await?;
    let stopped = stop_signal()?;
    let addresses = format!(
        "GraphQL  {scheme}://{}/graphql\nAdmin    http://{}/readyz",
        app.local_addr()?,
        app.admin_addr()?
    );
    if is_audited_there {
        complain(addresses);
    } else {
        say(addresses);
    }
    let reloads = app.reloads();
    let reloading = async move {
        while hangups.recv().await.is_some() {
            reloads.reload().await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! { () = app.run(stopped) => {}, () = reloading => {} }
    Ok(())
}

/// Runs only the simulated upstream.
async fn simulate(args: Loaded<SimulateArgs>) -> Outcome {
    let clock = Clock::default();
    let _log = start_logging(&args.settings.log, &Traces::default())?;
    let first = simulated(&args.settings);
    let further = args.settings.regions.iter().map(|region| SimulatorConfig {
        listen: region.listen,
        projects: vec![region.project.as_str().to_owned()],
        ..first.clone()
    });
    let simulators = bind_all(std::iter::once(first.clone()).chain(further), &clock).await?;
    let stopped = stop_signal()?;
    for simulator in &simulators {
        let (address, (project, record)) = (simulator.local_addr()?, simulator.sample());
        say(format_args!("Upstream http://{address}"));
        say(format_args!("Record   http://{address}/v2/{project}/screen-records/{record}"));
        say(format_args!("Faults   http://{address}/__faults"));
    }
    run_all(simulators, stopped).await;
    Ok(())
}

fn simulated(args: &SimulateArgs) -> SimulatorConfig {
    let exposed = |secret: &Secret| secret.expose().to_owned();
    let pair = |key: &SimulatedKey| (exposed(&key.access), exposed(&key.secret));
    let user = |SimulatedUser { name, password, domain }: &SimulatedUser| IamUser {
        name: name.clone(),
        password: exposed(password),
        domain: domain.clone(),
    };
    SimulatorConfig {
        listen: args.listen,
        records: args.records,
        latency: args.latency,
        seed: args.seed,
        projects: args.projects.iter().map(|project| project.as_str().to_owned()).collect(),
        tokens: args.tokens.iter().map(exposed).collect(),
        access_keys: args.access_keys.iter().map(pair).collect(),
        iam_users: args.iam_users.iter().map(user).collect(),
        token_life: args.token_life,
        largest_page: args.largest_page,
        faults: FaultPlan {
            rate: args.fault_rate,
            requests_per_second: args.rate_limit.map(NonZeroU32::get),
        },
    }
}

/// Prints the settings and checks everything that they name. One error lists everything that is wrong, with
/// remedies.
async fn check(config: Loaded<Config>) -> Outcome {
    for setting in &config.shown {
        say(setting);
    }
    let Findings { notes, problems } = checks::run(&config.settings).await;
    let mut notes = notes.into_iter();
    say("");
    if problems.is_empty() {
        say(format_args!("ready: {}", notes.next().unwrap_or_default()));
    }
    notes.for_each(|note| say(format_args!("  note: {note}")));
    if problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(format!("not ready\n{}", problems.join("\n")).into())
}

/// Completes on SIGINT or SIGTERM. Once this returns, these signals no longer end the process.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    })
}

/// Prints a line. A closed pipe (`check | head`) is no reason to panic.
fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Prints a line to standard error.
fn complain(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
