//! Instructions of one request in user space, by callgrind.
//!
//! A server is run twice, for a number of requests and for a larger one. The difference is that of the
//! requests between: start and stop are in both.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use bench::asks::{Asks, Document, Ids};
use bench::plan::{Expects, Pace, Plan};
use tokio::process::Command;

use crate::report::aligned;
use crate::rotation::{answer, any_record};
use crate::rows::record;
use crate::server::{Program, Server, drive};
use crate::setup::Setup;

/// Rows that instructions are counted for.
pub(crate) const NAMES: [&str; 2] = ["warm", "cold"];

/// Requests of the shorter run, and what the longer one has more.
const FEWER: u64 = 500;
const MORE: u64 = 2000;

/// A server, what it is asked, and what its answers have to hold.
struct Counted<'s> {
    name: &'static str,
    setup: &'s Setup,
    program: Box<dyn Fn() -> Program + 's>,
    asks: Asks,
    expects: Expects,
}

/// Counts, and prints a table.
pub(crate) async fn run(setup: &Setup) -> anyhow::Result<()> {
    let upstream = any_record(setup, 0).await?;
    let base = format!("http://{}", upstream.address);
    let mut table = String::from(
        "| row | gateway | held against | | ratio | goal |\n| --- | ---: | --- | ---: | ---: | ---: |\n",
    );
    for name in NAMES.into_iter().filter(|name| setup.wants(name)) {
        let (gateway, limit, goal) = if name == "warm" {
            let asks = record(Ids::Listed(vec!["warm".to_owned()]), 1, Document::Same);
            (gateway(setup, &upstream, asks.clone()), fixed(setup, &upstream, asks).await?, 1.5)
        } else {
            let asks = record(Ids::New, 1, Document::Same);
            (gateway(setup, &upstream, asks), pass_through(setup, &base), 1.35)
        };
        let (ours, theirs) = (gateway.count().await?, limit.count().await?);
        let ratio = ours / theirs;
        let Counted { name: other, .. } = limit;
        let _ =
            writeln!(table, "| {name} | {ours:.0} | {other} | {theirs:.0} | {ratio:.2} | {goal} |");
    }
    print!("{}", if setup.markdown { table } else { aligned(&table) });
    Ok(())
}

fn gateway<'s>(setup: &'s Setup, upstream: &'s Server, asks: Asks) -> Counted<'s> {
    Counted {
        name: "gateway",
        setup,
        program: Box::new(move || Program::gateway(setup, upstream)),
        asks,
        expects: Expects::WhatWasAsked,
    }
}

/// The static route with the bytes of the gateway.
async fn fixed<'s>(setup: &'s Setup, upstream: &Server, asks: Asks) -> anyhow::Result<Counted<'s>> {
    let gateway = Program::gateway(setup, upstream).measured(setup).await?;
    let (body, content_type) = answer(&asks, 0, gateway.address).await?;
    let file = setup.directory.join("instructions.json");
    tokio::fs::write(&file, &body).await?;
    let program =
        move || Program::built(setup, "static-route").argument(&file).argument(&content_type);
    let expects = Expects::Always(String::from_utf8(body)?);
    Ok(Counted { name: "static route", setup, program: Box::new(program), asks, expects })
}

fn pass_through<'s>(setup: &'s Setup, base: &'s str) -> Counted<'s> {
    Counted {
        name: "pass-through",
        setup,
        program: Box::new(move || Program::built(setup, "pass-through").argument(base)),
        asks: Asks::Upstream(Ids::New),
        expects: Expects::WhatWasAsked,
    }
}

impl Counted<'_> {
    /// Instructions for one request.
    async fn count(&self) -> anyhow::Result<f64> {
        let fewer = self.profile(FEWER).await?;
        let more = self.profile(FEWER + MORE).await?;
        ensure!(more > fewer, "{}: more requests took fewer instructions", self.name);
        Ok((more - fewer) as f64 / MORE as f64)
    }

    /// The instructions of a run of some requests on one connection.
    async fn profile(&self, requests: u64) -> anyhow::Result<u64> {
        let kind = if matches!(self.asks, Asks::Record { ids: Ids::New, .. } | Asks::Upstream(_)) {
            "cold"
        } else {
            "warm"
        };
        let name = format!("callgrind.{}-{kind}-{requests}", self.name.replace(' ', "-"));
        let file = self.setup.directory.join(name);
        let server = (self.program)().under_callgrind(&file).measured(self.setup).await?;
        let plan = Plan {
            address: server.address,
            process: server.process,
            connections: 1,
            asks: self.asks.clone(),
            expects: self.expects.clone(),
            first: 0,
            pace: Pace::Count(requests),
        };
        drive(self.setup, &plan).await.with_context(|| self.name)?;
        stop(server).await?;
        eprintln!("{}: {requests} requests, {}", self.name, file.display());
        total(&file)
    }
}

/// Asks a server to end, so that callgrind writes what it counted, and waits for it.
async fn stop(mut server: Server) -> anyhow::Result<()> {
    let process = server.process.to_string();
    let asked = Command::new("kill").arg("-TERM").arg(process).status().await?;
    ensure!(asked.success(), "the server cannot be stopped");
    server.child.wait().await?;
    Ok(())
}

fn total(profile: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(profile)?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let totals = totals.and_then(|totals| totals.split(' ').next()?.parse().ok());
    totals.with_context(|| format!("{} has no total", PathBuf::from(profile).display()))
}
