//! What the running kernel must be able to do, by its version: what nstrace finds out by trying is
//! held against it.

/// The version, as `uname -r` begins.
fn version() -> (u32, u32) {
    let release = nstrace::sys::kernel_release();
    let mut numbers = release
        .split(['.', '-'])
        .map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Whether there is TCX.
pub(crate) fn has_tcx() -> bool {
    version() >= (6, 6)
}

/// The ways to attach that there are.
pub(crate) fn mechanisms() -> &'static [&'static str] {
    if has_tcx() {
        &["tcx", "clsact"]
    } else {
        &["clsact"]
    }
}

/// Whether maps count against the limit on locked memory.
pub(crate) fn limits_maps() -> bool {
    version() < (5, 11)
}

/// Whether a program that reads packets needs `CAP_PERFMON`: so it was before "bpf: Fix issue in
/// verifying `allow_ptr_leaks`", which is in 6.6 and in the updates of 6.1, not in those of 5.10.
pub(crate) fn needs_perfmon() -> bool {
    version() < (6, 1)
}
