//! Builds the eBPF objects and leaves them in `$OUT_DIR`.
//!
//! - `NSTRACE_EBPF_OBJECTS=DIR`: take those of that directory instead (for packagers).
//! - `AYA_BUILD_SKIP=1`: leave empty ones, so that checks and unit tests need neither
//!   bpf-linker nor rust-src. Loading it fails with a clear error.
//! - `NSTRACE_EBPF_TOOLCHAIN=NAME`: build with that rustup toolchain.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

/// Must equal the channel in rust-toolchain.toml: a newer LLVM is not read by bpf-linker 0.10.3.
const TOOLCHAIN: &str = "1.95.0";
/// What `cargo xtask setup` links where rustup cannot add rust-src to [`TOOLCHAIN`].
const TOOLCHAIN_WITH_SRC: &str = "1.95.0-src";

/// Names of the objects: of the watch, and of a capture.
const OBJECTS: [&str; 2] = ["nstrace-bpf", "nstrace-capture-bpf"];

fn main() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-env-changed=NSTRACE_EBPF_OBJECTS");
    println!("cargo:rerun-if-env-changed=NSTRACE_EBPF_TOOLCHAIN");
    println!("cargo:rerun-if-env-changed=AYA_BUILD_SKIP");
    if let Some(prebuilt) = env::var_os("NSTRACE_EBPF_OBJECTS") {
        for object in OBJECTS {
            let prebuilt = Path::new(&prebuilt).join(object);
            println!("cargo:rerun-if-changed={}", prebuilt.display());
            fs::copy(&prebuilt, out.join(object))
                .with_context(|| format!("copy {}", prebuilt.display()))?;
        }
        return Ok(());
    }
    if env::var_os("AYA_BUILD_SKIP").is_some() {
        for object in OBJECTS.map(|object| out.join(object)) {
            fs::write(&object, []).with_context(|| format!("write {}", object.display()))?;
        }
        return Ok(());
    }
    build_objects()
}

fn build_objects() -> Result<()> {
    let toolchain = env::var("NSTRACE_EBPF_TOOLCHAIN").unwrap_or_else(|_| toolchain().to_owned());
    // SAFETY: a build script starts with one thread, and has made no other yet.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    let root_dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../nstrace-ebpf");
    let features: &[&str] = if env::var_os("CARGO_FEATURE_BPF_LOG").is_some() {
        &["bpf-log"]
    } else {
        &[]
    };
    aya_build::build_ebpf(
        [aya_build::Package {
            name: "nstrace-ebpf",
            root_dir,
            features,
            ..Default::default()
        }],
        aya_build::Toolchain::Custom(&toolchain),
    )
    .context("build the eBPF objects (`cargo xtask setup` installs what it needs)")
}

/// The pinned toolchain where it has rust-src, else the linked copy that has it.
fn toolchain() -> &'static str {
    if has_rust_src(TOOLCHAIN) || !has_rust_src(TOOLCHAIN_WITH_SRC) {
        TOOLCHAIN
    } else {
        TOOLCHAIN_WITH_SRC
    }
}

fn has_rust_src(toolchain: &str) -> bool {
    let sysroot = Command::new("rustup")
        .args(["run", toolchain, "rustc", "--print", "sysroot"])
        .output();
    sysroot.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout);
        Path::new(sysroot.trim())
            .join("lib/rustlib/src/rust/library/Cargo.lock")
            .exists()
    })
}
