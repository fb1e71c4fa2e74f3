//! Figures that are no ratio of processor times: latency, start, memory.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bench::asks::{Asks, Document, Ids};
use bench::client::Connection;
use bench::plan::{Expects, Measured, Pace, Plan};
use bench::process::{highest_resident, resident};

use crate::report::{Figure, median};
use crate::rotation::{CONNECTIONS, any_record, calls, reset};
use crate::rows::record;
use crate::server::{Program, Server, announced, drive};
use crate::setup::Setup;

/// Their names.
pub(crate) const NAMES: [&str; 5] = ["batch", "latency", "demo", "memory", "flood"];

/// What the upstream takes for a call where its delay is what counts.
const DELAY_MS: u32 = 20;
/// A machine that stops every process for some milliseconds now and then spoils the short span in which it
/// does, where it would spoil every long one.
const SPANS: u32 = 10;
/// The cache of the gateway that is flooded.
const FLOODED_CACHE_MIB: u64 = 64;
/// Where memory settles after a start or a load.
const SETTLING: Duration = Duration::from_millis(500);
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

/// Measures those that are wanted.
pub(crate) async fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if setup.wants("batch") {
        figures.push(batch(setup).await.context("batch")?);
    }
    if setup.wants("latency") {
        figures.extend(latency(setup).await.context("latency")?);
    }
    if setup.wants("demo") {
        figures.push(demo(setup).await.context("demo")?);
    }
    if setup.wants("memory") {
        figures.extend(memory(setup).await.context("memory")?);
    }
    if setup.wants("flood") {
        figures.push(flood(setup).await.context("flood")?);
    }
    Ok(figures)
}

/// 50 aliases over ten new ids on one connection: a gateway that reads one after the other, or one record
/// twice, takes several times as long as the upstream.
async fn batch(setup: &Setup) -> anyhow::Result<Figure> {
    eprintln!("batch");
    let upstream = any_record(setup, DELAY_MS).await?;
    let gateway = Program::gateway(setup, &upstream).measured(setup).await?;
    let (mut through, mut alone, mut next) = (Vec::new(), Vec::new(), 0);
    let one = |server, asks| {
        let plan = plan(setup, server, asks);
        let pace = if setup.quick { Pace::Count(5) } else { plan.pace };
        Plan { connections: 1, pace, ..plan }
    };
    for _ in 0..setup.rounds() {
        let direct = one(&upstream, Asks::Upstream(Ids::New));
        alone.push(drive(setup, &direct).await?.median_ms);
        reset(&upstream).await?;
        let aliases = Plan { first: next, ..one(&gateway, Asks::Aliases) };
        let measured = drive(setup, &aliases).await?;
        let (calls, records) = (calls(&upstream).await?, (measured.next - next) * 10);
        ensure!(calls == records, "the upstream was called {calls} times for {records} records");
        next = measured.next;
        through.push(measured.median_ms);
    }
    let (through, alone) = (median(through.into_iter()), median(alone.into_iter()));
    Ok(Figure {
        name: "batch",
        title: format!(
            "50 aliases over 10 new keys, upstream at {DELAY_MS} ms: median latency {through:.1} ms \
             ({alone:.1} ms from the upstream itself), over the upstream's delay"
        ),
        value: through / f64::from(DELAY_MS),
        unit: "times",
        goal: 1.2,
    })
}

/// The 99th percentile at half of the highest rate.
async fn latency(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let upstream = any_record(setup, 0).await?;
    let mut figures = Vec::new();
    for (keys, title) in [(1, "one warm key"), (setup.sizes().keys, "10,000 warm keys")] {
        eprintln!("latency of {title}");
        let gateway = Program::gateway(setup, &upstream).measured(setup).await?;
        let ids = Ids::Listed((0..keys).map(|number| format!("warm-{number}")).collect());
        let asks = record(ids, 1, Document::Same);
        let closed = plan(setup, &gateway, asks);
        drive(setup, &Plan { pace: Pace::Count(keys), ..closed.clone() }).await?;
        let (mut rates, mut latencies) = (Vec::new(), Vec::new());
        for _ in 0..setup.rounds() {
            let rate = drive(setup, &closed).await?.rate();
            rates.push(rate);
            for _ in 0..SPANS {
                let seconds = setup.sizes().seconds / f64::from(SPANS);
                let pace = Pace::Open { rate: rate / 2.0, seconds };
                latencies.push(drive(setup, &Plan { pace, ..closed.clone() }).await?.p99_ms);
            }
        }
        let half = median(rates.into_iter()) / 2.0;
        let least = latencies.iter().copied().fold(f64::INFINITY, f64::min);
        let most = latencies.iter().copied().fold(0.0, f64::max);
        figures.push(Figure {
            name: "latency",
            title: format!(
                "{title}: 99th percentile at {half:.0} requests/s, half of the highest rate, {least:.2} to \
                 {most:.2} ms in {} spans",
                latencies.len()
            ),
            value: median(latencies.into_iter()),
            unit: "ms",
            goal: 2.0,
        });
    }
    Ok(figures)
}

/// How long `demo` takes from its start to the answer of its first query.
async fn demo(setup: &Setup) -> anyhow::Result<Figure> {
    eprintln!("demo");
    let mut times = Vec::new();
    for _ in 0..setup.rounds().max(3) {
        times.push(first_answer(setup).await?.as_secs_f64() * 1e3);
    }
    Ok(Figure {
        name: "demo",
        title: "`demo` from its start to the answer of its first query".to_owned(),
        value: median(times.into_iter()),
        unit: "ms",
        goal: 100.0,
    })
}

async fn first_answer(setup: &Setup) -> anyhow::Result<Duration> {
    let program = Program::built(setup, "screen-record-gateway")
        .argument("demo")
        .setting("GATEWAY_LISTEN", "127.0.0.1:0")
        .setting("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0");
    let mut command = program.command(setup.cores.server);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn()?;
    let address = announced(child.stdout.take().context("its output is piped")?).await?;
    let body = "{\"query\":\"{ screenRecords(projectId: \\\"089b2f9a3d80d3062f24c00ca4ed5cbd\\\", \
                first: 1) { nodes { id status } } }\"}";
    let length = body.len();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: demo\r\nContent-Type: application/json\r\nX-Auth-Token: \
         demo-token\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut connection = Connection::to(address).await?;
    let answer = connection.ask(request.as_bytes()).await?;
    let took = began.elapsed();
    let text = String::from_utf8_lossy(answer.body).into_owned();
    ensure!(text.contains("\"id\":") && !text.contains("\"errors\""), "the demo answered {text}");
    child.kill().await?;
    Ok(took)
}

/// Memory of a gateway that does nothing, and what a record takes with its answer.
async fn memory(setup: &Setup) -> anyhow::Result<[Figure; 2]> {
    eprintln!("memory");
    let upstream = any_record(setup, 0).await?;
    let gateway = Program::gateway(setup, &upstream).measured(setup).await?;
    tokio::time::sleep(SETTLING).await;
    let idle = resident(gateway.process)?;
    let records = setup.sizes().records;
    // Connections, buffers and tables are there before records are counted.
    let cold = plan(setup, &gateway, record(Ids::New, 1, Document::Same));
    let first = records / 10;
    drive(setup, &Plan { pace: Pace::Count(first), ..cold.clone() }).await?;
    tokio::time::sleep(SETTLING).await;
    let before = resident(gateway.process)?;
    let more = Plan { first, pace: Pace::Count(records), ..cold };
    drive(setup, &more).await?;
    tokio::time::sleep(SETTLING).await;
    let after = resident(gateway.process)?;
    // What was cached then has to be there, or it was not what took the memory.
    reset(&upstream).await?;
    let ids = Ids::Listed((first..first + records).map(bench::asks::new_id).collect());
    drive(
        setup,
        &Plan {
            pace: Pace::Count(records),
            ..plan(setup, &gateway, record(ids, 1, Document::Same))
        },
    )
    .await?;
    let missing = calls(&upstream).await?;
    ensure!(missing == 0, "{missing} of {records} records had to be read again");
    let each = after.saturating_sub(before) as f64 / records as f64;
    let title = format!("resident for each of {records} records read once");
    Ok([
        Figure {
            name: "memory",
            title: "resident when idle".to_owned(),
            value: idle as f64 / MIB,
            unit: "MiB",
            goal: 30.0,
        },
        Figure { name: "memory", title, value: each / KIB, unit: "KiB", goal: 1.5 },
    ])
}

/// The highest resident memory while each request brings a new key, a new document and a new caller.
async fn flood(setup: &Setup) -> anyhow::Result<Figure> {
    eprintln!("flood");
    let upstream = any_record(setup, 0).await?;
    let size = format!("{FLOODED_CACHE_MIB}MiB");
    let gateway = Program::gateway(setup, &upstream).setting("GATEWAY_CACHE__MAX_BYTES", size);
    let gateway = gateway.measured(setup).await?;
    let flood = record(Ids::New, u64::MAX, Document::New);
    let requests = setup.sizes().flood;
    let plan = Plan { pace: Pace::Count(requests), ..plan(setup, &gateway, flood) };
    let Measured { requests, .. } = drive(setup, &plan).await?;
    Ok(Figure {
        name: "flood",
        title: format!(
            "highest resident, `cache.max_bytes` {FLOODED_CACHE_MIB} MiB, {requests} requests with new \
             key, document and caller"
        ),
        value: highest_resident(gateway.process)? as f64 / MIB,
        unit: "MiB",
        goal: (FLOODED_CACHE_MIB + 64) as f64,
    })
}

fn plan(setup: &Setup, server: &Server, asks: Asks) -> Plan {
    Plan {
        address: server.address,
        process: server.process,
        connections: CONNECTIONS,
        asks,
        expects: Expects::WhatWasAsked,
        first: 0,
        pace: setup.sizes().pace,
    }
}
