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

/// Whether the programs need `CAP_PERFMON`. On 5.10 whatever reads packets does; on 6.1 the verifier
/// refuses to let a part of a place on the stack be reused in which a number was. 6.12 is the next
/// that was tried, and does not.
pub(crate) fn needs_perfmon() -> bool {
    version() < (6, 12)
}
