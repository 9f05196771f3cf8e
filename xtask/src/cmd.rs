//! Starting other programs: printed, checked, and as root where that is needed.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context as _, Result, bail, ensure};

/// Places of administrators' programs that a plain user's PATH leaves out on Debian.
const SYSTEM_DIRS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The repository's top directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies one directory below the repository's top")
}

/// The command as one would type it, with the environment it adds.
pub(crate) fn text(command: &Command) -> String {
    // PATH is only ever completed, which explains nothing and fills the screen.
    let added = command.get_envs().filter(|(name, _)| *name != "PATH");
    let added = added.map(|(name, value)| {
        let value = value.unwrap_or_default().to_string_lossy();
        format!("{}={}", name.display(), quoted(&value))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| quoted(&word.to_string_lossy()));
    added.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Prints the command, runs it to its end, and names it if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = text(command);
    run_as(&text, command)
}

/// [`run`] under another name, for a command wrapped in what nobody wants to read.
pub(crate) fn run_as(name: &str, command: &mut Command) -> Result<()> {
    eprintln!("$ {name}");
    let status = status(command)?;
    ensure!(status.success(), "`{name}` failed: {status}");
    Ok(())
}

/// Runs the command to its end, with the terminal in its hands.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command
        .status()
        .with_context(|| format!("start `{}`", text(command)))
}

/// Runs the command without a word and returns its stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let done = command
        .output()
        .with_context(|| format!("start `{}`", text(command)))?;
    if !done.status.success() {
        let stderr = String::from_utf8_lossy(&done.stderr);
        bail!("`{}` failed: {}", text(command), stderr.trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The exit code a shell would report for `status`.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// `program` as a command that runs as root: through sudo where we are not root.
///
/// sudo would replace PATH, even with `-E`, hence the `env`.
pub(crate) fn as_root(program: impl Into<OsString>) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program.into()));
    }
    ensure!(
        find("sudo").is_some(),
        "this needs root and there is no sudo: run it as root"
    );
    let mut path = OsString::from("PATH=");
    path.push(search_path());
    let mut command = Command::new("sudo");
    command.arg("-E").arg("env").arg(path).arg(program.into());
    Ok(command)
}

/// Whether we are root, told by the owner of our own /proc entry.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// The file that `program` would start, from PATH and the usual places outside it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&search_path())
        .chain(SYSTEM_DIRS.map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// PATH, completed by cargo's bin directory, where `cargo install` puts bpf-linker.
pub(crate) fn search_path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<_> = env::split_paths(&path).collect();
    if let Some(bin) = cargo_bin()
        && !dirs.contains(&bin)
    {
        dirs.push(bin);
    }
    // A directory with a colon in its name cannot be joined; PATH alone still can.
    env::join_paths(dirs).unwrap_or(path)
}

fn cargo_bin() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    Some(home?.join("bin"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    #[test]
    fn command_text_can_be_pasted_into_a_shell() {
        let mut command = Command::new("cargo");
        command.args(["test", "a b", "it's", ""]).env("A", "b c");
        assert_eq!(
            super::text(&command),
            r"A='b c' cargo test 'a b' 'it'\''s' ''"
        );
    }

    #[test]
    fn failure_names_the_command() {
        let err = super::run(Command::new("false").arg("x")).expect_err("false fails");
        assert_eq!(err.to_string(), "`false x` failed: exit status: 1");
    }

    #[test]
    fn output_failure_carries_stderr() {
        let err = super::output(Command::new("ls").arg("/nonexistent-dir"));
        let err = err.expect_err("ls fails").to_string();
        assert!(
            err.starts_with("`ls /nonexistent-dir` failed: ls: "),
            "{err}"
        );
    }
}
