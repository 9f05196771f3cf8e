//! The only module with syscalls: netlink, `/proc`, nsfs, bpf(2), clocks.
//!
//! Everything here does one thing to the outside and returns plain data; nothing here decides.
//! [`netns`] alone enters another namespace. All `unsafe` of the user side is below this module.

pub mod bpf;
pub mod caps;
pub mod clock;
pub mod netlink;
pub mod netns;
pub mod proc;
pub mod runtime;
pub mod tc;
pub mod watch;

use nix::sys::utsname::{UtsName, uname};

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

fn of_uname(field: impl Fn(&UtsName) -> &std::ffi::OsStr) -> String {
    uname().map_or_else(
        |_| "?".to_owned(),
        |name| field(&name).to_string_lossy().into_owned(),
    )
}
