//! Starts servers, each pinned to a core, and stops them when they are let go of.

use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bench::plan::{Measured, Plan};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::setup::Setup;

/// Longer than any server takes to start, also one that was built without optimisation.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// The gateway's settings: what is warm stays warm; all else is as it is without settings.
pub(crate) const GATEWAY_SETTINGS: [(&str, &str); 7] = [
    ("GATEWAY_LOG", "warn"),
    ("GATEWAY_LISTEN", "127.0.0.1:0"),
    ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
    ("GATEWAY_CACHE__TTL_ACTIVE", "7d"),
    ("GATEWAY_CACHE__TTL_FINAL", "7d"),
    ("GATEWAY_CACHE__TTL_NOT_FOUND", "7d"),
    ("GATEWAY_CACHE__TTL_LIST", "7d"),
];

/// A program to start.
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    settings: Vec<(String, String)>,
}

/// A server that runs. It is killed when this is dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) process: u32,
    pub(crate) address: SocketAddr,
}

impl Program {
    /// One of the programs that were built.
    pub(crate) fn built(setup: &Setup, name: &str) -> Self {
        Self::at(setup.binaries.join(name))
    }

    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), arguments: Vec::new(), settings: Vec::new() }
    }

    /// The gateway in front of an upstream.
    pub(crate) fn gateway(setup: &Setup, upstream: &Server) -> Self {
        let mut program = Self::built(setup, "screen-record-gateway").argument("serve");
        for (name, value) in GATEWAY_SETTINGS {
            program = program.setting(name, value);
        }
        program.setting("GATEWAY_UPSTREAM__ENDPOINT", format!("http://{}", upstream.address))
    }

    pub(crate) fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn setting(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    /// The same, its instructions counted into a file.
    pub(crate) fn under_callgrind(self, file: &Path) -> Self {
        let mut arguments = vec![OsString::from("--tool=callgrind"), "--quiet".into()];
        let mut place = OsString::from("--callgrind-out-file=");
        place.push(file);
        arguments.extend([place, self.path.into()]);
        arguments.extend(self.arguments);
        Self { path: "valgrind".into(), arguments, settings: self.settings }
    }

    /// Starts it on the core of the servers that are measured.
    pub(crate) async fn measured(self, setup: &Setup) -> anyhow::Result<Server> {
        self.start(setup, setup.cores.server).await
    }

    /// Starts it on the core of everything else.
    pub(crate) async fn beside(self, setup: &Setup) -> anyhow::Result<Server> {
        self.start(setup, setup.cores.load).await
    }

    async fn start(self, setup: &Setup, core: u32) -> anyhow::Result<Server> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = File::options()
            .create(true)
            .append(true)
            .open(setup.directory.join(format!("{name}.log")))?;
        let mut child = self.command(core).stdout(Stdio::piped()).stderr(log).spawn()?;
        let process = child.id().with_context(|| format!("{name} ended at once"))?;
        let output = child.stdout.take().context("its output is piped")?;
        let address = timeout(STARTS_WITHIN, announced(output)).await;
        let address = address.with_context(|| format!("{name} did not start"))?;
        let address = address.with_context(|| format!("{name}; its log is in target/bench"))?;
        Ok(Server { child, process, address })
    }

    /// `taskset` becomes the program, so the process is the program's.
    pub(crate) fn command(&self, core: u32) -> Command {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(core.to_string()).arg(&self.path).args(&self.arguments);
        // Settings of whoever runs this are no part of what is measured.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("GATEWAY_") || name.starts_with("HUAWEICLOUD_") {
                command.env_remove(&*name);
            }
        }
        // One worker for one core, in every server.
        command.env("TOKIO_WORKER_THREADS", "1");
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// The first address that a server prints. What it prints after that is thrown away.
pub(crate) async fn announced(
    output: impl tokio::io::AsyncRead + Unpin + Send + 'static,
) -> anyhow::Result<SocketAddr> {
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        let address = line.split_once("http://").and_then(|(_, rest)| {
            let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
            rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
        });
        if let Some(address) = address {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(address);
        }
    }
    bail!("it ended without an address")
}

/// Lets the load generator carry out a plan.
pub(crate) async fn drive(setup: &Setup, plan: &Plan) -> anyhow::Result<Measured> {
    let mut command = Program::built(setup, "load").command(setup.cores.load);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().context("its input is piped")?;
    input.write_all(&serde_json::to_vec(plan)?).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("the load generator: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
