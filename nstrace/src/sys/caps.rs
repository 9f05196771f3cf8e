//! Which privileges the process has.

use std::fs;

/// A capability that nstrace needs, by its number in `include/uapi/linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `CAP_NET_ADMIN`: to see into other namespaces and to attach.
    NetAdmin = 12,
    /// `CAP_SYS_PTRACE`: to see which namespace another user's process is in.
    SysPtrace = 19,
    /// `CAP_SYS_ADMIN`: implies `CAP_BPF`.
    SysAdmin = 21,
    /// `CAP_BPF`: to load programs and maps (5.8).
    Bpf = 39,
}

/// Whether `capability` is in the effective set.
#[must_use]
pub fn has(capability: Capability) -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
            .is_some_and(|set| set & (1 << capability as u32) != 0)
    })
}
