//! The only module with syscalls: netlink, `/proc`, nsfs, bpf(2), clocks.
//!
//! Everything here does one thing to the outside and returns plain data; nothing here decides.
//! [`netns`] alone enters another namespace. All `unsafe` of the user side is below this module.

pub mod ask;
pub mod bpf;
pub mod caps;
pub mod chain;
pub mod clock;
pub mod mapped;
pub mod netlink;
pub mod netns;
pub mod pcap;
pub mod proc;
pub mod rcu;
pub mod resolve;
pub mod ring;
pub mod runtime;
pub mod savefile;
pub mod services;
pub mod tc;
pub mod watch;

use nix::sys::{
    sysinfo::sysinfo,
    utsname::{UtsName, uname},
};

/// Has the allocator give back what is freed. By default glibc keeps a heap for each thread, and
/// what it once took for something large: with a thousand namespaces, as much again as is in use.
/// To be called before there are threads.
pub fn keep_heap_small() {
    /// Larger pieces are mapped one by one, and so go when they are freed.
    #[cfg(target_env = "gnu")]
    const LARGE: libc::c_int = 64 << 10;

    #[cfg(target_env = "gnu")]
    for (option, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, 2 * LARGE),
    ] {
        // SAFETY: sets a number in the allocator, while no other thread uses it.
        if unsafe { libc::mallopt(option, value) } == 0 {
            tracing::debug!(option, "the allocator refuses");
        }
    }
}

/// The user and group that called sudo, where one did.
#[must_use]
pub fn user_behind_sudo() -> Option<(u32, u32)> {
    let number = |name| std::env::var(name).ok()?.parse().ok();
    Some((number("SUDO_UID")?, number("SUDO_GID")?))
}

/// The host's name, as `hostname` prints it.
#[must_use]
pub fn host_name() -> String {
    of_uname(UtsName::nodename)
}

/// The running kernel's release, as `uname -r` prints it.
#[must_use]
pub fn kernel_release() -> String {
    of_uname(UtsName::release)
}

/// Fills `bytes` with random ones.
///
/// # Errors
///
/// If the kernel refuses; not after boot, for so few.
pub fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    // SAFETY: a buffer of that length.
    let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if usize::try_from(filled).ok() == Some(bytes.len()) {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// The machine's memory, in bytes; a gibibyte where the kernel does not say.
#[must_use]
pub fn memory() -> u64 {
    sysinfo().map_or(1 << 30, |info| info.ram_total())
}

fn of_uname(field: impl Fn(&UtsName) -> &std::ffi::OsStr) -> String {
    uname().map_or_else(
        |_| "?".to_owned(),
        |name| field(&name).to_string_lossy().into_owned(),
    )
}
