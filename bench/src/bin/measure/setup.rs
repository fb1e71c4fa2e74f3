//! What was asked for, and where everything is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bench::plan::Pace;

/// What holds for the whole run.
pub(crate) struct Setup {
    /// Rows and figures that are wanted.
    pub(crate) names: Vec<String>,
    pub(crate) rounds: u32,
    pub(crate) quick: bool,
    pub(crate) markdown: bool,
    /// Whether instructions are counted, and not time.
    pub(crate) counts_instructions: bool,
    pub(crate) cores: Cores,
    /// Where the built programs are.
    pub(crate) binaries: PathBuf,
    /// Where logs and results go.
    pub(crate) directory: PathBuf,
}

/// The core of the server that is measured, and that of everything else.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) server: u32,
    pub(crate) load: u32,
}

/// How much is done.
pub(crate) struct Sizes {
    /// How a server is driven in a round.
    pub(crate) pace: Pace,
    /// Seconds at a fixed rate.
    pub(crate) seconds: f64,
    pub(crate) keys: u64,
    pub(crate) callers: u64,
    pub(crate) documents: u64,
    /// Records read to tell what one takes.
    pub(crate) records: u64,
    /// Requests of the flood.
    pub(crate) flood: u64,
}

impl Setup {
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.names.iter().any(|wanted| wanted == name)
    }

    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    pub(crate) fn sizes(&self) -> Sizes {
        if self.quick {
            Sizes {
                // Counted, so that a slow build on a busy machine answers as many as a fast one.
                pace: Pace::Count(200),
                seconds: 0.5,
                keys: 200,
                callers: 100,
                documents: 20,
                records: 500,
                flood: 1000,
            }
        } else {
            Sizes {
                pace: Pace::Closed { before: 0.3, seconds: 1.5 },
                seconds: 3.0,
                keys: 10_000,
                callers: 10_000,
                documents: 100,
                records: 50_000,
                flood: 200_000,
            }
        }
    }
}

/// The first two cores that this process may run on; of one alone, that one for both.
pub(crate) fn cores() -> anyhow::Result<Cores> {
    let status = fs::read_to_string("/proc/self/status")?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let allowed = allowed.context("the kernel does not say which cores there are")?.trim();
    let mut cores = allowed.split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = first.parse::<u32>().ok().zip(last.parse().ok());
        bounds.map_or(0..=0, |(first, last)| first..=last)
    });
    let server = cores.next().context("there is no core to run on")?;
    Ok(Cores { server, load: cores.next().unwrap_or(server) })
}

/// A folder beside the programs for logs and results.
pub(crate) fn directory(binaries: &str) -> anyhow::Result<PathBuf> {
    let target = Path::new(binaries).parent().context("--binaries is a folder in target/")?;
    let directory = target.join("bench");
    fs::create_dir_all(&directory)?;
    Ok(directory)
}
