//! What was measured, for people and for programs.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use bench::plan::Measured;
use serde::Serialize;

use crate::rotation::{CONNECTIONS, GATEWAY, RowResult};
use crate::server::GATEWAY_SETTINGS;
use crate::setup::Setup;

/// Everything that was measured.
#[derive(Serialize)]
pub(crate) struct Results {
    machine: Machine,
    rounds: u32,
    quick: bool,
    connections: usize,
    gateway_settings: Vec<(&'static str, &'static str)>,
    pub(crate) rows: Vec<RowResult>,
    pub(crate) figures: Vec<Figure>,
}

/// What it was measured on.
#[derive(Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
}

/// A figure that stands for itself.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The most that it is meant to be.
    pub(crate) goal: f64,
}

/// The median server of a row.
struct Line<'r> {
    name: &'r str,
    microseconds: f64,
    rate: f64,
    busy: f64,
}

impl Results {
    pub(crate) fn of(setup: &Setup) -> Self {
        Self {
            machine: Machine::this(),
            rounds: setup.rounds(),
            quick: setup.quick,
            connections: CONNECTIONS,
            gateway_settings: GATEWAY_SETTINGS.to_vec(),
            rows: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// Writes everything as JSON; where to.
    pub(crate) fn write(&self, setup: &Setup) -> anyhow::Result<PathBuf> {
        let file = setup.directory.join("results.json");
        fs::write(&file, serde_json::to_vec_pretty(self)?)?;
        Ok(file)
    }

    /// As in docs/PERFORMANCE.md.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        let Machine { processor, cores, memory_gib, kernel } = &self.machine;
        let _ = writeln!(
            out,
            "{processor}, {cores} cores, {memory_gib} GiB, Linux {kernel}; medians of {} rounds, {} \
             connections.\n",
            self.rounds, self.connections
        );
        if self.quick {
            out.push_str("Quick: that it works is what counts, and no figure.\n\n");
        }
        self.rows_table(&mut out);
        self.comparison_table(&mut out);
        self.figures_table(&mut out);
        out
    }

    /// For a terminal: the same tables, with columns in line.
    pub(crate) fn text(&self) -> String {
        aligned(&self.markdown())
    }

    fn rows_table(&self, out: &mut String) {
        if self.rows.is_empty() {
            return;
        }
        out.push_str(
            "| row | | gateway µs | requests/s | held against | µs | requests/s | ratio | lowest–highest | goal | |\n\
             | --- | --- | ---: | ---: | --- | ---: | ---: | ---: | --- | ---: | --- |\n",
        );
        for result in &self.rows {
            let lines = result.lines();
            let gateway = lines.iter().find(|line| line.name == GATEWAY);
            let limit = lines.iter().find(|line| line.is_limit());
            let (Some(gateway), Some(limit)) = (gateway, limit) else { continue };
            let ratios = result.ratios(limit.name);
            let (lowest, ratio, highest) = spread(&ratios);
            let _ = writeln!(
                out,
                "| {} | {} | {:.1} | {:.0} | {} | {:.1} | {:.0} | **{ratio:.2}** | {lowest:.2}–{highest:.2} | {} | {} |",
                result.name,
                result.row.title,
                gateway.microseconds,
                gateway.rate,
                limit.name,
                limit.microseconds,
                limit.rate,
                result.row.goal,
                verdict(ratio, result.row.goal),
            );
        }
    }

    fn comparison_table(&self, out: &mut String) {
        let compared = || self.rows.iter().filter(|result| result.row.is_compared);
        if compared().next().is_none() {
            return;
        }
        out.push_str(
            "\n| row | server | µs | requests/s | times the gateway's µs | busy |\n\
             | --- | --- | ---: | ---: | ---: | ---: |\n",
        );
        for result in compared() {
            let mut lines = result.lines();
            lines.sort_by(|one, other| one.microseconds.total_cmp(&other.microseconds));
            let gateway = lines.iter().find(|line| line.name == GATEWAY);
            let gateway = gateway.map_or(f64::NAN, |line| line.microseconds);
            for Line { name, microseconds, rate, busy } in lines {
                let times = microseconds / gateway;
                let _ = writeln!(
                    out,
                    "| {} | {name} | {microseconds:.1} | {rate:.0} | {times:.2} | {:.0} % |",
                    result.name,
                    busy * 100.0
                );
            }
        }
    }

    fn figures_table(&self, out: &mut String) {
        if self.figures.is_empty() {
            return;
        }
        out.push_str("\n| figure | | measured | goal | |\n| --- | --- | ---: | ---: | --- |\n");
        for Figure { name, title, value, unit, goal } in &self.figures {
            let met = verdict(*value, *goal);
            let _ = writeln!(
                out,
                "| {name} | {title} | **{value:.2} {unit}** | {goal} {unit} | {met} |"
            );
        }
    }
}

impl RowResult {
    fn lines(&self) -> Vec<Line<'_>> {
        let line = |(name, rounds): (&&'static str, &Vec<Measured>)| Line {
            name,
            microseconds: median(rounds.iter().map(Measured::microseconds)),
            rate: median(rounds.iter().map(Measured::rate)),
            busy: median(rounds.iter().map(Measured::busy)),
        };
        self.servers.iter().map(line).collect()
    }

    /// The gateway's processor time over another's, round by round.
    fn ratios(&self, other: &str) -> Vec<f64> {
        let rounds = |name| self.servers.get(name).into_iter().flatten();
        let pairs = rounds(GATEWAY).zip(rounds(other));
        pairs.map(|(one, other)| one.microseconds() / other.microseconds()).collect()
    }
}

impl Line<'_> {
    fn is_limit(&self) -> bool {
        matches!(self.name, "static route" | "pass-through")
    }
}

impl Machine {
    fn this() -> Self {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = total.and_then(|total| total.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Self {
            processor: model.map_or_else(String::new, |(_, model)| model.to_owned()),
            cores: cpus.lines().filter(|line| line.starts_with("processor")).count(),
            memory_gib: kib.unwrap_or_default() / (1024 * 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

fn verdict(value: f64, goal: f64) -> &'static str {
    if value <= goal { "met" } else { "not met" }
}

/// The median of some figures.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    spread(&figures.collect::<Vec<_>>()).1
}

/// The lowest, the median and the highest.
fn spread(figures: &[f64]) -> (f64, f64, f64) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let middle = sorted.len() / 2;
    let median = if sorted.len().is_multiple_of(2) {
        f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
    } else {
        at(middle)
    };
    (at(0), median, at(sorted.len().wrapping_sub(1)))
}

/// A Markdown table with its columns in line.
pub(crate) fn aligned(markdown: &str) -> String {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().replace("**", "")).collect()
    };
    let mut out = String::new();
    for block in markdown.split("\n\n") {
        let rows: Vec<Vec<String>> =
            block.lines().filter(|line| !line.starts_with("| ---")).map(cells).collect();
        let width = |column: usize| {
            let widths = rows.iter().filter_map(|row| Some(row.get(column)?.chars().count()));
            widths.max().unwrap_or_default()
        };
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            out.push('\n');
        }
        out.push('\n');
    }
    out
}
