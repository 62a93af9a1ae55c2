//! The memory of the process, in bytes.

use std::sync::OnceLock;

/// Resident memory of this process, in bytes; 0 if the system does not report it.
pub fn resident() -> u64 {
    memory_stats::memory_stats().map_or(0, |memory| memory.physical_mem as u64)
}

/// Memory that this process may use, in bytes: of the machine, or of the control group if that is less. Read once; `None` if
/// the system does not report it.
pub fn available() -> Option<u64> {
    static AVAILABLE: OnceLock<Option<u64>> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let machine = std::fs::read_to_string("/proc/meminfo").ok();
        let machine = machine.as_deref().and_then(machine_memory);
        let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
        // `max` means no bound and does not parse as a number.
        let group = group.and_then(|text| text.trim().parse().ok());
        machine.into_iter().chain(group).min()
    })
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn machine_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read_in_bytes() {
        let meminfo = "MemTotal:        2048 kB\nMemFree:          1024 kB\n";
        assert_eq!(machine_memory(meminfo), Some(2_097_152));
        assert_eq!(machine_memory("nothing of the kind"), None);
    }
}
