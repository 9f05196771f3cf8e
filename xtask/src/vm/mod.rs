//! The netns tests on other kernels: Debian's, in guests of QEMU.
//!
//! ```text
//! kernels.rs    which kernels and why; Debian's packages of one, unpacked below target/vm
//! initramfs.rs  that kernel's modules, the tests and what they need, as one archive (cpio.rs)
//! qemu.rs       the emulator: the one that is installed, or Debian's, unpacked below target/vm
//! guest.rs      one boot: what it prints, how long it may take, what it says at the end
//! init.sh       what the guest does
//! ```
//!
//! The binaries are those that `cargo xtask test` runs on this machine. Nothing here needs root.

mod cpio;
mod guest;
mod initramfs;
mod kernels;
mod qemu;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{cargo, setup, test};
use guest::{Guest, Verdict};
use initramfs::Binaries;
use qemu::Qemu;

pub(crate) use kernels::{Kernel, named};

/// The modules of `tests/netns` that a guest runs: what loads, attaches, counts, captures, tells
/// namespaces apart and leaves nothing. Others by their names, after `--`; Docker's are never in a
/// guest.
const MODULES: [&str; 9] = [
    "capture::beside::",
    "capture::others::",
    "capture::program::",
    "counts::",
    "discovery::",
    "flows::",
    "oracle::injected::",
    "program::",
    "residue::",
];

/// What one kernel's guest came to.
struct Ran {
    kernel: &'static Kernel,
    verdict: Result<Verdict>,
    took: Duration,
}

/// Runs the tests on each of `kernels`, all where none is named; `filters` instead of [`MODULES`].
pub(crate) fn run(kernels: &[&'static Kernel], filters: &[String]) -> Result<()> {
    setup::install(setup::Purpose::Tests)?;
    let cache = cargo::target_dir()?.join("vm");
    let qemu = Qemu::find_or_unpack(&cache)?;
    let binaries = Binaries::from(&test::build_netns()?)?;
    let filters: Vec<&str> = if filters.is_empty() {
        MODULES.to_vec()
    } else {
        filters.iter().map(String::as_str).collect()
    };
    let all = kernels::KERNELS.each_ref();
    let kernels = if kernels.is_empty() { &all } else { kernels };
    let ran: Vec<Ran> = kernels
        .iter()
        .map(|kernel| {
            let start = Instant::now();
            let verdict = run_one(kernel, &cache, &qemu, &binaries, &filters);
            let took = start.elapsed();
            Ran {
                kernel,
                verdict,
                took,
            }
        })
        .collect();
    report(&ran)
}

fn run_one(
    kernel: &'static Kernel,
    cache: &Path,
    qemu: &Qemu,
    binaries: &Binaries,
    filters: &[&str],
) -> Result<Verdict> {
    let files = kernel.fetch(cache)?;
    let initramfs = cache.join(format!("{}.initramfs", kernel.name));
    initramfs::write(&initramfs, &files, binaries)?;
    Guest {
        image: &files.image,
        initramfs: &initramfs,
        console: &cache.join(format!("{}.console", kernel.name)),
        filters,
    }
    .run(qemu)
}

/// A line per kernel, and a last one of all.
fn report(ran: &[Ran]) -> Result<()> {
    println!();
    for Ran {
        kernel,
        verdict,
        took,
    } in ran
    {
        let (release, outcome) = match verdict {
            Ok(verdict) => (verdict.release.as_str(), verdict.to_string()),
            Err(error) => ("-", format!("{error:#}")),
        };
        let took = took.as_secs();
        println!("{:<7} {release:<28} {took:>4} s  {outcome}", kernel.name);
    }
    let is_good = |ran: &&Ran| ran.verdict.as_ref().is_ok_and(Verdict::is_good);
    let good = ran.iter().filter(is_good).count();
    ensure!(
        good == ran.len(),
        "the tests failed on {} of {} kernels",
        ran.len() - good,
        ran.len()
    );
    println!("vm: the tests passed on all kernels asked for: {good}");
    Ok(())
}
