//! Drives all servers of all rows in turn, round after round, so that noise hits all alike.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use bench::asks::{Asks, only_token};
use bench::client::{Connection, fetch};
use bench::plan::{Expects, Measured, Pace, Plan};
use bench::records::PROJECT;
use serde::Serialize;
use serde_json::Value;

use crate::rows::{self, Kind, Row, Source};
use crate::server::{Program, Server, drive};
use crate::setup::{Setup, Sizes};

/// Connections of the load generator.
pub(crate) const CONNECTIONS: usize = 64;
/// Seconds before the first round that let just-in-time compilers do their work.
const SETTLING: f64 = 2.0;

/// What was measured in a row.
#[derive(Serialize)]
pub(crate) struct RowResult {
    pub(crate) name: &'static str,
    #[serde(skip)]
    pub(crate) row: &'static Row,
    /// Each server's rounds.
    pub(crate) servers: BTreeMap<&'static str, Vec<Measured>>,
}

/// What the gateway is called in results.
pub(crate) const GATEWAY: &str = "gateway";

/// A row with its servers running.
struct Running {
    row: &'static Row,
    upstream: Option<Server>,
    contenders: Vec<Contender>,
}

/// A server of a row.
struct Contender {
    name: &'static str,
    server: Server,
    asks: Asks,
    expects: Expects,
    next: u64,
    last: u64,
    rounds: Vec<Measured>,
}

/// Drives all rows that are wanted.
pub(crate) async fn run(setup: &Setup) -> anyhow::Result<Vec<RowResult>> {
    let mut running = Vec::new();
    for row in rows::wanted(setup) {
        eprintln!("{}: starting and warming up", row.name);
        running.push(Running::start(setup, row).await.with_context(|| row.name)?);
    }
    for round in 0..setup.rounds() {
        for row in &mut running {
            row.drive(setup, round).await.with_context(|| row.row.name)?;
        }
    }
    Ok(running.into_iter().map(Running::result).collect())
}

impl Running {
    async fn start(setup: &Setup, row: &'static Row) -> anyhow::Result<Self> {
        let sizes = setup.sizes();
        let upstream = start_upstream(setup, row.upstream, sizes.keys + 1).await?;
        let mut ids = ids_of(row.upstream, &upstream, sizes.keys + 1).await?;
        let other = ids.pop().context("the upstream has no record")?;
        let base = format!("http://{}", upstream.address);
        let mut servers =
            vec![(GATEWAY, Program::gateway(setup, &upstream).measured(setup).await?)];
        if row.is_compared {
            let plain = Program::built(setup, "plain").argument(&base).measured(setup).await?;
            servers.push(("async-graphql", plain));
            let script = std::env::current_dir()?.join("yoga/server.mjs");
            let yoga = Program::at("node").argument(script).argument(&base);
            let yoga = yoga.setting("NODE_ENV", "production").measured(setup).await?;
            servers.push(("Yoga", yoga));
        }
        let contender = |(name, server)| Contender {
            name,
            server,
            asks: row.asks(&ids, &sizes),
            expects: Expects::WhatWasAsked,
            next: row.first(&ids),
            last: row.last(&ids, &sizes),
            rounds: Vec::new(),
        };
        let mut contenders: Vec<Contender> = servers.into_iter().map(contender).collect();
        for contender in &mut contenders {
            for (asks, count) in row.warm_up(&ids, &other, &sizes) {
                contender.ask(setup, asks, 0, Pace::Count(count)).await?;
            }
        }
        let [gateway, ..] = contenders.as_mut_slice() else { bail!("there is no gateway") };
        let limit = gateway.limit(setup, row, &base).await?;
        contenders.insert(1, limit);
        let mut running = Self { row, upstream: Some(upstream), contenders };
        if !setup.quick {
            for contender in &mut running.contenders {
                let pace = Pace::Closed { before: 0.0, seconds: SETTLING };
                let asks = contender.asks.clone();
                contender.next = contender.ask(setup, asks, contender.next, pace).await?.next;
            }
        }
        Ok(running)
    }

    /// Drives each server once; every other round in the opposite order.
    async fn drive(&mut self, setup: &Setup, round: u32) -> anyhow::Result<()> {
        let upstream = self.upstream.as_ref().context("the upstream has stopped")?;
        if round % 2 == 1 {
            self.contenders.reverse();
        }
        for contender in &mut self.contenders {
            contender.drive(setup, self.row, upstream).await.with_context(|| contender.name)?;
        }
        if round % 2 == 1 {
            self.contenders.reverse();
        }
        Ok(())
    }

    fn result(self) -> RowResult {
        let servers = self.contenders.into_iter().map(|one| (one.name, one.rounds)).collect();
        RowResult { name: self.row.name, row: self.row, servers }
    }
}

impl Contender {
    /// What the gateway is held against: bytes that are there already, or the upstream's passed on.
    async fn limit(&mut self, setup: &Setup, row: &Row, base: &str) -> anyhow::Result<Self> {
        if let (Kind::Cold, Asks::Record { ids, .. }) = (row.kind, &self.asks) {
            return Ok(Self {
                name: "pass-through",
                server: Program::built(setup, "pass-through")
                    .argument(base)
                    .measured(setup)
                    .await?,
                asks: Asks::Upstream(ids.clone()),
                expects: Expects::WhatWasAsked,
                next: 0,
                last: self.last,
                rounds: Vec::new(),
            });
        }
        // A number that nobody else uses, so that what is new for others stays new.
        let (body, content_type) = answer(&self.asks, self.next, self.server.address).await?;
        let next = self.next;
        self.next = next + 1;
        let file = setup.directory.join(format!("{}.json", row.name));
        tokio::fs::write(&file, &body).await?;
        let program = Program::built(setup, "static-route").argument(file).argument(content_type);
        Ok(Self {
            name: "static route",
            server: program.measured(setup).await?,
            asks: self.asks.clone(),
            expects: Expects::Always(String::from_utf8(body)?),
            next,
            last: u64::MAX,
            rounds: Vec::new(),
        })
    }

    async fn drive(&mut self, setup: &Setup, row: &Row, upstream: &Server) -> anyhow::Result<()> {
        let Sizes { pace, .. } = setup.sizes();
        reset(upstream).await?;
        let first = self.next;
        let measured = self.ask(setup, self.asks.clone(), first, pace).await?;
        self.next = measured.next;
        let calls = calls(upstream).await?;
        let expected = if row.kind == Kind::Cold { measured.next - first } else { 0 };
        ensure!(calls == expected, "the upstream was called {calls} times, not {expected} times");
        ensure!(self.next <= self.last, "too many requests: what was new is so no more");
        self.rounds.push(measured);
        Ok(())
    }

    async fn ask(
        &self,
        setup: &Setup,
        asks: Asks,
        first: u64,
        pace: Pace,
    ) -> anyhow::Result<Measured> {
        let plan = Plan {
            address: self.server.address,
            process: self.server.process,
            connections: CONNECTIONS,
            asks,
            expects: self.expects.clone(),
            first,
            pace,
        };
        drive(setup, &plan).await.with_context(|| self.name)
    }
}

/// The body and media type of one answer.
pub(crate) async fn answer(
    asks: &Asks,
    number: u64,
    address: std::net::SocketAddr,
) -> anyhow::Result<(Vec<u8>, String)> {
    let (mut body, mut request) = (Vec::new(), Vec::new());
    asks.write(number, &address.to_string(), &mut body, &mut request)?;
    let mut connection = Connection::to(address).await?;
    let answer = connection.ask(&request).await?;
    asks.check(number, answer.body)?;
    let content_type = answer.header("content-type").context("an answer without a media type")?;
    Ok((answer.body.to_vec(), content_type))
}

/// Starts an upstream without latency.
pub(crate) async fn start_upstream(
    setup: &Setup,
    source: Source,
    records: u64,
) -> anyhow::Result<Server> {
    match source {
        Source::Simulator => {
            // One in five is not uploaded, or not begun yet.
            let made = records * 3 / 2 + 10;
            let simulator = Program::built(setup, "screen-record-gateway")
                .argument("simulate")
                .setting("GATEWAY_SIMULATOR__LISTEN", "127.0.0.1:0")
                .setting("GATEWAY_SIMULATOR__LATENCY", "0s")
                .setting("GATEWAY_SIMULATOR__RECORDS", made.to_string())
                .setting("GATEWAY_SIMULATOR__TOKENS", only_token())
                .setting("GATEWAY_LOG", "warn");
            simulator.beside(setup).await
        }
        Source::AnyRecord => any_record(setup, 0).await,
    }
}

/// Starts the upstream that has a record for any id, after so many milliseconds.
pub(crate) async fn any_record(setup: &Setup, latency: u32) -> anyhow::Result<Server> {
    Program::built(setup, "upstream").argument(latency.to_string()).beside(setup).await
}

/// Ids that an upstream has records for.
pub(crate) async fn ids_of(
    source: Source,
    upstream: &Server,
    count: u64,
) -> anyhow::Result<Vec<String>> {
    if source == Source::AnyRecord {
        return Ok((0..count)
            .map(|number| format!("{number:08x}-0000-4000-8000-00000000bead"))
            .collect());
    }
    let mut ids = Vec::new();
    for offset in (0..count).step_by(1000) {
        // Those that have everything a record can have.
        let query = format!("status=UPLOAD_COMPLETED&limit=1000&offset={offset}");
        let request = format!(
            "GET /v2/{PROJECT}/screen-records?{query} HTTP/1.1\r\nHost: upstream\r\n\
             X-Auth-Token: {}\r\n\r\n",
            only_token()
        );
        let page: Value =
            serde_json::from_slice(&fetch(upstream.address, request.as_bytes()).await?)?;
        let rows = page.get("screen_records").and_then(Value::as_array);
        let rows = rows.context("the simulator's list has no records")?;
        ids.extend(rows.iter().filter_map(|row| Some(row.get("id")?.as_str()?.to_owned())));
    }
    ids.sort_unstable();
    ids.dedup();
    ids.truncate(usize::try_from(count)?);
    ensure!(ids.len() as u64 == count, "the simulator lists {} records, not {count}", ids.len());
    Ok(ids)
}

/// Sets the upstream's count of calls to nothing.
pub(crate) async fn reset(upstream: &Server) -> anyhow::Result<()> {
    let request = b"POST /__reset HTTP/1.1\r\nHost: upstream\r\nContent-Length: 0\r\n\r\n";
    fetch(upstream.address, request).await?;
    Ok(())
}

/// How often the upstream was called.
pub(crate) async fn calls(upstream: &Server) -> anyhow::Result<u64> {
    let stats = fetch(upstream.address, b"GET /__stats HTTP/1.1\r\nHost: upstream\r\n\r\n").await?;
    let stats: Value = serde_json::from_slice(&stats)?;
    stats.get("requests").and_then(Value::as_u64).context("the upstream does not count")
}
