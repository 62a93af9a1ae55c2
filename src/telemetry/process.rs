//! Metrics of the process, under the names that Prometheus dashboards expect. A value that the system does not report has no
//! sample.

use std::fs;

/// Ticks per second of the CPU times in `/proc` (proc(5), `USER_HZ`). It is 100 on every Linux architecture that Rust
/// supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// Open file descriptors. Linux reports their number since 6.2; before, they are counted one by one.
pub(super) fn open_fds() -> Option<u64> {
    const FDS: &str = "/proc/self/fd";

    let length = fs::metadata(FDS).ok()?.len();
    if length > 0 {
        return Some(length);
    }
    // The descriptor that reads the directory is not counted.
    fs::read_dir(FDS).ok().map(|entries| (entries.count() as u64).saturating_sub(1))
}

/// Most open file descriptors.
pub(super) fn max_fds() -> Option<u64> {
    rlimit::Resource::NOFILE.get().ok().map(|(soft, _)| soft)
}

/// CPU time of the process in user and system mode, in seconds.
pub(super) fn cpu_seconds() -> Option<f64> {
    cpu_of(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// The sum of fields 14 and 15 of `/proc/self/stat` (proc(5)), in seconds. Field 2, the program name in parentheses, may
/// contain spaces and parentheses.
fn cpu_of(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_seconds_are_user_and_system_time_together() {
        let stat = "4711 (a (b) c) S 1 4711 4711 0 -1 4194560 931 0 0 0 250 31 7 9 20 0 3 0 1234 5678 90";
        assert_eq!(cpu_of(stat), Some(2.81));
        assert_eq!(cpu_of("4711 (hub) S 1"), None);
        assert_eq!(cpu_of(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_reports_all_values() {
        let (open, max) = (open_fds().unwrap(), max_fds().unwrap());
        assert!(open > 2 && open <= max, "{open} of {max}");
        assert!(cpu_seconds().is_some());
    }
}
