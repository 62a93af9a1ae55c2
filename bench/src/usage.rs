//! The CPU time and memory of any process, from `/proc` (proc(5)).

use std::fs;
use std::time::Duration;

/// Ticks a second in `/proc/PID/stat` (`USER_HZ`, 100 on every Linux).
const TICKS: f64 = 100.0;

/// The usage of a process since its start.
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
    /// The peak of the resident memory, KiB.
    pub(crate) peak: u64,
}

/// Reads the usage of process `pid`.
pub(crate) fn of(pid: u32) -> Result<Usage, String> {
    let mut nanos = 0;
    for task in entries(&format!("/proc/{pid}/task"))? {
        // The time of an ended thread is lost. The working threads of all servers never end.
        let Ok(schedstat) = fs::read_to_string(format!("{task}/schedstat")) else { continue };
        nanos += schedstat.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    let stat = read(&format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses, which can contain spaces.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let seconds = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / TICKS;
    let (user, system) = (seconds(11), seconds(12));
    // Without scheduler statistics in the kernel, use the ticks.
    let cpu = if nanos > 0 { Duration::from_nanos(nanos) } else { Duration::from_secs_f64(user + system) };
    let status = read(&format!("/proc/{pid}/status"))?;
    let size = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        value.trim().trim_end_matches(" kB").parse().map_err(|_| format!("no {name} of {pid}"))
    };
    Ok(Usage { cpu, user, system, resident: size("VmRSS:")?, peak: size("VmHWM:")? })
}

/// Resets the memory peak of process `pid`.
pub(crate) fn reset_peak(pid: u32) -> Result<(), String> {
    let file = format!("/proc/{pid}/clear_refs");
    fs::write(&file, "5").map_err(|error| format!("{file}: {error}"))
}

/// CPU time of the whole machine since its start, in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    used: f64,
    /// Requested time that the host of this virtual machine gave to others.
    stolen: f64,
}

/// Reads the CPU time of the machine (proc(5), `/proc/stat`).
pub(crate) fn machine() -> Machine {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> =
        stat.lines().next().unwrap_or_default().split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let sum = |indices: &[usize]| indices.iter().filter_map(|&index| fields.get(index)).sum();
    // user, nice, system, irq, softirq; steal
    Machine { used: sum(&[0, 1, 2, 5, 6]), stolen: sum(&[7]) }
}

impl Machine {
    /// The percentage of the requested CPU time since `before` that the host gave to others.
    pub(crate) fn stolen_since(self, before: Self) -> f64 {
        let (used, stolen) = (self.used - before.used, self.stolen - before.stolen);
        100.0 * stolen / (used + stolen).max(1.0)
    }
}

/// The load average of the last minute, which shows whether the machine was idle before.
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
