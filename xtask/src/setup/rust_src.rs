//! rust-src: the kernel side builds `core` for itself (`-Z build-std`).
//!
//! rustup brings it. Where rustup's server cannot be reached, Debian's package of the same
//! version does, in a copy of the toolchain that is linked under the name `<version>-src`.
//! nstrace's build script looks for both names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use tempfile::TempDir;

use super::private_apt::PrivateApt;
use super::{Outcome, say};
use crate::cmd;

/// The Debian suite that carries the pinned compiler's sources.
const SUITE: &str = "trixie-backports";

/// Set to 1, it makes rustup's component count as absent and as impossible to get, which
/// tries the fallback without breaking the toolchain in use.
const NO_RUSTUP: &str = "NSTRACE_SETUP_NO_RUSTUP";

/// Where a toolchain has the sources of the standard library, below its sysroot.
const LIBRARY: &str = "lib/rustlib/src/rust/library";

/// Makes sure that one of the two toolchains has the sources.
pub(super) fn ensure() -> Result<Outcome> {
    ensure!(
        cmd::find("rustup").is_some(),
        "rustup is missing, and it keeps the compiler at the one version that works: get it \
         by `curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh`"
    );
    let version = pinned_version()?;
    let linked = format!("{version}-src");
    if (has_component(&version)? && !rustup_is_off()) || is_present(&linked) {
        return Ok(Outcome::AllThere);
    }
    say(
        &format!("rust-src for Rust {version}"),
        "the eBPF side builds its own `core`",
    );
    if let Err(err) = add_component(&version) {
        eprintln!("setup: {err:#}");
        eprintln!("setup: taking Debian's rust-src {version} in a copy of the toolchain instead");
        from_debian(&version, &linked).context("rust-src came neither by rustup nor by Debian")?;
    }
    Ok(Outcome::Installed)
}

/// The version in rust-toolchain.toml, so that it stands in one place.
fn pinned_version() -> Result<String> {
    let file = cmd::root().join("rust-toolchain.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    channel(&text)
        .map(str::to_owned)
        .with_context(|| format!("{} names no channel", file.display()))
}

fn channel(toml: &str) -> Option<&str> {
    let value = toml.lines().find_map(|l| l.strip_prefix("channel"))?;
    Some(
        value
            .trim_start()
            .strip_prefix('=')?
            .trim()
            .trim_matches('"'),
    )
}

fn rustup_is_off() -> bool {
    std::env::var_os(NO_RUSTUP).is_some_and(|value| value == "1")
}

fn has_component(version: &str) -> Result<bool> {
    let sysroot = sysroot(version).with_context(|| {
        format!("no Rust {version}: `rustup toolchain install {version}` brings it")
    })?;
    Ok(sysroot.join(LIBRARY).join("Cargo.lock").is_file())
}

fn is_present(toolchain: &str) -> bool {
    // Asking a toolchain that does not exist is an error; here it is the answer no.
    sysroot(toolchain).is_ok_and(|root| root.join(LIBRARY).join("Cargo.lock").is_file())
}

/// The toolchain's real directory: rustup's own entry may be a link.
fn sysroot(toolchain: &str) -> Result<PathBuf> {
    let args = ["run", toolchain, "rustc", "--print", "sysroot"];
    let said = cmd::output(rustup().args(args))?;
    let path = PathBuf::from(said.trim());
    path.canonicalize()
        .with_context(|| format!("resolve the sysroot {}", path.display()))
}

fn rustup() -> Command {
    let mut command = Command::new("rustup");
    command.env("PATH", cmd::search_path());
    command
}

fn add_component(version: &str) -> Result<()> {
    if rustup_is_off() {
        return Err(anyhow!("{NO_RUSTUP} is set: not asking rustup"));
    }
    let args = ["component", "add", "rust-src", "--toolchain", version];
    cmd::run(rustup().args(args))
}

fn from_debian(version: &str, linked: &str) -> Result<()> {
    let apt = PrivateApt::of_debian(&[SUITE])?;
    let full = apt.version("rust-src", |upstream| upstream == version)?;
    let unpacked = TempDir::with_prefix("nstrace-rust-src-").context("make a directory")?;
    apt.unpack(&[format!("rust-src={full}")], unpacked.path())?;
    let library = unpacked
        .path()
        .join(format!("usr/src/rustc-{version}/library"));
    ensure!(
        library.join("Cargo.lock").is_file(),
        "Debian's rust-src has no {}",
        library.display()
    );
    let copy = data_dir()?.join(format!("toolchain-{linked}"));
    copy_toolchain(&sysroot(version)?, &copy)?;
    place_library(&library, &copy)?;
    cmd::run(rustup().args(["toolchain", "link", linked]).arg(&copy))
}

/// Our directory under the XDG data home: the copy has to outlive `cargo clean`.
fn data_dir() -> Result<PathBuf> {
    let home = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(|| Some(std::env::home_dir()?.join(".local/share")))
        .context("neither XDG_DATA_HOME nor HOME is set")?;
    Ok(home.join("nstrace"))
}

/// Copies a toolchain by hard links, or in full across file systems. Links to directories
/// would not do: rustc finds its sysroot from where its own library really lies.
fn copy_toolchain(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("the copy has a parent")?;
    fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    remove_tree(to)?;
    let linked = cmd::run(Command::new("cp").arg("-al").arg(from).arg(to));
    linked.or_else(|_| {
        remove_tree(to)?;
        cmd::run(Command::new("cp").arg("-a").arg(from).arg(to))
    })
}

fn place_library(library: &Path, toolchain: &Path) -> Result<()> {
    let place = toolchain.join(LIBRARY);
    let parent = place.parent().context("the library has a parent")?;
    fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    // A link out of the copy would have us change the toolchain it was copied from.
    let real = parent.canonicalize()?;
    ensure!(
        real.starts_with(toolchain.canonicalize()?),
        "{} leads out of the copied toolchain",
        parent.display()
    );
    remove_tree(&place)?;
    cmd::run(Command::new("cp").arg("-a").arg(library).arg(&place))
}

fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            Err(err).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn channel_is_read_from_the_toolchain_file() {
        let text = "# one\n[toolchain]\nchannel = \"1.95.0\"\nprofile = \"minimal\"\n";
        assert_eq!(super::channel(text), Some("1.95.0"));
        assert_eq!(super::channel("[toolchain]\n"), None);
    }
}
