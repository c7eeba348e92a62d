//! CPU time and memory of a process, read from `/proc`.
use std::fs;
use std::time::Duration;

use crate::LoadError;

/// A process that is watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process(pub(super) u32);

impl Process {
    pub(super) fn own() -> Process {
        Process(std::process::id())
    }

    fn read(self, what: &str) -> Result<String, LoadError> {
        let path = format!("/proc/{}/{what}", self.0);
        fs::read_to_string(&path).map_err(|source| LoadError::Process { path, source })
    }

    /// User and system time of all its threads, those that have ended included.
    pub(super) fn cpu(self) -> Result<Duration, LoadError> {
        let stat = self.read("stat")?;
        // The name in parentheses may hold anything; fields are counted behind it.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64((ticks(11) + ticks(12)) as f64 / per_second as f64))
    }

    /// Resident memory, in bytes.
    pub(super) fn resident(self) -> Result<u64, LoadError> {
        let rollup = self.read("smaps_rollup")?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap_or_default();
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024)
    }
}
