//! What the kernel says of a process: the processor time of its threads, and its memory.

use std::collections::HashMap;
use std::fs;

use anyhow::Context as _;

/// The processor time of each thread in nanoseconds, by thread id.
pub struct Threads(HashMap<String, u64>);

impl Threads {
    /// Reads the run time of all threads of a process, which the scheduler keeps to the nanosecond
    /// (`/proc/PID/stat` counts in ticks of 10 ms).
    pub fn of(process: u32) -> anyhow::Result<Self> {
        let mut threads = HashMap::new();
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let thread = thread?;
            // One that ends right now has nothing to tell any more.
            let Ok(line) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let run = line.split(' ').next().and_then(|run| run.parse().ok());
            let run = run.with_context(|| format!("schedstat of process {process}: {line:?}"))?;
            threads.insert(thread.file_name().to_string_lossy().into_owned(), run);
        }
        Ok(Self(threads))
    }

    /// The processor time since an earlier look. What a thread that has ended used between is lost: workers
    /// never end, and the threads of tokio's that do had nothing to do for seconds.
    pub fn since(&self, earlier: &Self) -> u64 {
        let before = |thread| earlier.0.get(thread).copied().unwrap_or_default();
        self.0.iter().map(|(thread, now)| now.saturating_sub(before(thread))).sum()
    }
}

/// Resident memory of a process in bytes.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    status(process, "VmRSS:")
}

/// The most resident memory that a process has had so far, in bytes.
pub fn highest_resident(process: u32) -> anyhow::Result<u64> {
    status(process, "VmHWM:")
}

fn status(process: u32, name: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<u64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    Ok(kib.with_context(|| format!("process {process} has no {name}"))? * 1024)
}
