//! What a process has used, as `/proc` says (proc(5)). Knows nothing of what the process is.

use std::fs;
use std::time::Duration;

/// A second in the ticks of `/proc/PID/stat` (`USER_HZ`, 100 on every Linux).
const TICKS: f64 = 100.0;

/// What a process has used since its start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// CPU time, user and system, to the nanosecond.
    pub(crate) cpu: Duration,
    /// Seconds of it in user code, to 10 ms.
    pub(crate) user: f64,
    /// Seconds of it in the kernel, to 10 ms.
    pub(crate) system: f64,
    /// Resident memory now, KiB.
    pub(crate) resident: u64,
    /// The most there ever was of it, KiB.
    pub(crate) peak: u64,
}

/// Reads the usage of process `pid`.
pub(crate) fn of(pid: u32) -> Result<Usage, String> {
    let mut nanos = 0;
    for task in entries(&format!("/proc/{pid}/task"))? {
        // A thread that ended has nothing to say any more; those that work are kept by all of the servers.
        let Ok(schedstat) = fs::read_to_string(format!("{task}/schedstat")) else { continue };
        nanos += schedstat.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    let stat = read(&format!("/proc/{pid}/stat"))?;
    // The second field is the name, in parentheses, and may hold spaces.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let seconds = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / TICKS;
    let (user, system) = (seconds(11), seconds(12));
    // A kernel without scheduler statistics leaves the ticks.
    let cpu = if nanos > 0 { Duration::from_nanos(nanos) } else { Duration::from_secs_f64(user + system) };
    let status = read(&format!("/proc/{pid}/status"))?;
    let size = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        value.trim().trim_end_matches(" kB").parse().map_err(|_| format!("no {name} of {pid}"))
    };
    Ok(Usage { cpu, user, system, resident: size("VmRSS:")?, peak: size("VmHWM:")? })
}

/// Has the peak of process `pid` counted from now on.
pub(crate) fn forget_peak(pid: u32) -> Result<(), String> {
    let file = format!("/proc/{pid}/clear_refs");
    fs::write(&file, "5").map_err(|error| format!("{file}: {error}"))
}

/// CPU time of the whole machine since its start, in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    used: f64,
    /// What a host gave to others, where this is a guest that asked for it.
    stolen: f64,
}

/// Reads what the machine has used (proc(5), `/proc/stat`).
pub(crate) fn machine() -> Machine {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> =
        stat.lines().next().unwrap_or_default().split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let sum = |indices: &[usize]| indices.iter().filter_map(|&index| fields.get(index)).sum();
    // user, nice, system, irq, softirq; steal
    Machine { used: sum(&[0, 1, 2, 5, 6]), stolen: sum(&[7]) }
}

impl Machine {
    /// Of the CPU time that was asked for since then, how much a host gave to others, percent.
    pub(crate) fn stolen_since(self, before: Self) -> f64 {
        let (used, stolen) = (self.used - before.used, self.stolen - before.stolen);
        100.0 * stolen / (used + stolen).max(1.0)
    }
}

/// Runnable processes over the last minute, by which a reader judges whether the machine was quiet.
pub(crate) fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn entries(path: &str) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(entries.flatten().map(|entry| entry.path().to_string_lossy().into_owned()).collect())
}
