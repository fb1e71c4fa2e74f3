//! The load generator. Reads a plan as JSON from standard input, carries it out on one thread, checks
//! every answer, and prints what it measured as JSON. One wrong answer ends it with an error.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use bench::asks::Asks;
use bench::client::Connection;
use bench::plan::{Expects, Measured, Pace, Plan};
use bench::process::Threads;
use memchr::memmem;
use tokio::sync::Mutex;
use tokio::task::{JoinSet, yield_now};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut plan = String::new();
    std::io::stdin().read_to_string(&mut plan)?;
    let plan: Plan = serde_json::from_str(&plan)?;
    let measured = match plan.pace {
        Pace::Count(count) => counted(plan, count).await?,
        Pace::Closed { before, seconds } => closed(plan, before, seconds).await?,
        Pace::Open { rate, seconds } => open(plan, rate, seconds).await?,
    };
    serde_json::to_writer(std::io::stdout().lock(), &measured)?;
    Ok(())
}

/// One connection with what it needs to ask.
struct Caller {
    connection: Connection,
    asks: Arc<Asks>,
    expects: Arc<Expects>,
    host: String,
    body: Vec<u8>,
    request: Vec<u8>,
}

impl Caller {
    async fn all(plan: Plan) -> anyhow::Result<Vec<Self>> {
        let (asks, expects) = (Arc::new(plan.asks), Arc::new(plan.expects));
        let mut callers = Vec::new();
        for _ in 0..plan.connections {
            callers.push(Self {
                connection: Connection::to(plan.address).await?,
                asks: Arc::clone(&asks),
                expects: Arc::clone(&expects),
                host: plan.address.to_string(),
                body: Vec::new(),
                request: Vec::new(),
            });
        }
        Ok(callers)
    }

    /// Sends the request of a number and checks the answer.
    async fn ask(&mut self, number: u64) -> anyhow::Result<()> {
        self.asks.write(number, &self.host, &mut self.body, &mut self.request)?;
        let answer = self.connection.ask(&self.request).await?;
        if answer.status != 200 {
            bail!("status {}: {}", answer.status, String::from_utf8_lossy(answer.body));
        }
        match &*self.expects {
            Expects::WhatWasAsked => self.asks.check(number, answer.body),
            Expects::Always(text) => match memmem::find(answer.body, text.as_bytes()) {
                Some(_) => Ok(()),
                None => bail!("{text} is not in {}", String::from_utf8_lossy(answer.body)),
            },
        }
    }
}

/// What all connections share.
struct Shared {
    next: AtomicU64,
    end: AtomicU64,
    done: AtomicU64,
    counts: AtomicBool,
}

impl Shared {
    fn new(first: u64, end: u64) -> Arc<Self> {
        let (next, end) = (AtomicU64::new(first), AtomicU64::new(end));
        Arc::new(Self { next, end, done: AtomicU64::new(0), counts: AtomicBool::new(false) })
    }

    /// The number of the next request, until the end.
    fn take(&self) -> Option<u64> {
        let number = self.next.load(Ordering::Relaxed);
        (number < self.end.load(Ordering::Relaxed)).then(|| {
            self.next.store(number + 1, Ordering::Relaxed);
            number
        })
    }
}

/// Asks one request after the other; latencies in nanoseconds of those that count.
async fn keep_asking(mut caller: Caller, shared: Arc<Shared>) -> anyhow::Result<Vec<u64>> {
    let mut latencies = Vec::new();
    while let Some(number) = shared.take() {
        let began = Instant::now();
        caller.ask(number).await?;
        shared.done.fetch_add(1, Ordering::Relaxed);
        if shared.counts.load(Ordering::Relaxed) {
            latencies.push(nanoseconds(began.elapsed()));
        }
    }
    Ok(latencies)
}

async fn counted(plan: Plan, count: u64) -> anyhow::Result<Measured> {
    let (process, shared) = (plan.process, Shared::new(plan.first, plan.first + count));
    shared.counts.store(true, Ordering::Relaxed);
    let callers = Caller::all(plan).await?;
    let span = Span::begin(process, &shared)?;
    let mut asking = JoinSet::new();
    for caller in callers {
        asking.spawn(keep_asking(caller, Arc::clone(&shared)));
    }
    let latencies = all_of(&mut asking).await?;
    Ok(span.end(&shared)?.with(latencies))
}

async fn closed(plan: Plan, before: f64, seconds: f64) -> anyhow::Result<Measured> {
    let (process, shared) = (plan.process, Shared::new(plan.first, u64::MAX));
    let mut asking = JoinSet::new();
    for caller in Caller::all(plan).await? {
        asking.spawn(keep_asking(caller, Arc::clone(&shared)));
    }
    asking_for(&mut asking, before).await?;
    shared.counts.store(true, Ordering::Relaxed);
    let span = Span::begin(process, &shared)?;
    asking_for(&mut asking, seconds).await?;
    let ended = span.end(&shared)?;
    shared.end.store(0, Ordering::Relaxed);
    let latencies = all_of(&mut asking).await?;
    Ok(Measured { next: shared.next.load(Ordering::Relaxed), ..ended.with(latencies) })
}

/// Lets the connections ask for some seconds; one that fails ends it.
async fn asking_for(
    asking: &mut JoinSet<anyhow::Result<Vec<u64>>>,
    seconds: f64,
) -> anyhow::Result<()> {
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => Ok(()),
        Some(ended) = asking.join_next() => match ended? {
            Ok(_) => bail!("a connection stopped asking"),
            Err(error) => Err(error),
        },
    }
}

async fn open(plan: Plan, rate: f64, seconds: f64) -> anyhow::Result<Measured> {
    let (process, first) = (plan.process, plan.first);
    let count = Duration::from_secs_f64(seconds * rate).as_secs();
    let shared = Shared::new(first, first + count);
    let callers = Caller::all(plan).await?;
    let span = Span::begin(process, &shared)?;
    let turn = Arc::new(Mutex::new(()));
    let (mut asking, start, shared_with) = (JoinSet::new(), span.began, Arc::clone(&shared));
    let due = move |number: u64| start + Duration::from_secs_f64((number - first) as f64 / rate);
    for caller in callers {
        asking.spawn(keep_pace(caller, Arc::clone(&shared_with), Arc::clone(&turn), due));
    }
    let latencies = all_of(&mut asking).await?;
    Ok(span.end(&shared)?.with(latencies))
}

/// Takes a turn, waits until the request is due, sends it, and takes another turn once it is answered.
/// Where no connection is free at that moment, the request goes out late, and its latency counts from
/// when it was due.
async fn keep_pace(
    mut caller: Caller,
    shared: Arc<Shared>,
    turn: Arc<Mutex<()>>,
    due: impl Fn(u64) -> Instant,
) -> anyhow::Result<Vec<u64>> {
    let mut latencies = Vec::new();
    loop {
        let waiting = turn.lock().await;
        let Some(number) = shared.take() else { return Ok(latencies) };
        let due = due(number);
        // Timers go by milliseconds, which is too coarse; asking the clock over and over is not.
        while Instant::now() < due {
            yield_now().await;
        }
        drop(waiting);
        caller.ask(number).await?;
        shared.done.fetch_add(1, Ordering::Relaxed);
        latencies.push(nanoseconds(due.elapsed()));
    }
}

/// A span of time that counts.
struct Span {
    process: u32,
    began: Instant,
    threads: Threads,
    done: u64,
}

impl Span {
    fn begin(process: u32, shared: &Shared) -> anyhow::Result<Self> {
        let (threads, done) = (Threads::of(process)?, shared.done.load(Ordering::Relaxed));
        Ok(Self { process, began: Instant::now(), threads, done })
    }

    fn end(self, shared: &Shared) -> anyhow::Result<Ended> {
        let seconds = self.began.elapsed().as_secs_f64();
        let requests = shared.done.load(Ordering::Relaxed) - self.done;
        if requests == 0 {
            bail!("no request was answered in the {seconds} s that count");
        }
        let processor_ns = Threads::of(self.process)?.since(&self.threads);
        Ok(Ended { requests, seconds, processor_ns, next: shared.next.load(Ordering::Relaxed) })
    }
}

/// What is known at the end of a span, without the latencies, which the connections still have.
struct Ended {
    requests: u64,
    seconds: f64,
    processor_ns: u64,
    next: u64,
}

impl Ended {
    fn with(self, mut latencies: Vec<u64>) -> Measured {
        latencies.sort_unstable();
        let milliseconds = |share: f64| {
            let at = Duration::from_secs_f64(latencies.len() as f64 * share).as_secs();
            let at =
                usize::try_from(at).unwrap_or(usize::MAX).min(latencies.len().saturating_sub(1));
            latencies.get(at).map_or(0.0, |latency| *latency as f64 / 1e6)
        };
        let (median_ms, p99_ms, highest_ms) =
            (milliseconds(0.5), milliseconds(0.99), milliseconds(1.0));
        let Self { requests, seconds, processor_ns, next } = self;
        Measured { requests, seconds, processor_ns, median_ms, p99_ms, highest_ms, next }
    }
}

/// Waits for all connections; the latencies of all of them.
async fn all_of(asking: &mut JoinSet<anyhow::Result<Vec<u64>>>) -> anyhow::Result<Vec<u64>> {
    let mut latencies = Vec::new();
    while let Some(ended) = asking.join_next().await {
        latencies.append(&mut ended??);
    }
    Ok(latencies)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
