//! cargo, and what it reports about a build.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cmd;

/// `cargo ARGS` at the top of the repository.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(args)
        .current_dir(cmd::root())
        .env("PATH", cmd::search_path());
    command
}

/// What one build made.
pub(crate) struct Built(Vec<Value>);

/// Builds with `cargo ARGS`, its progress on stderr, and keeps what it reports.
pub(crate) fn build(args: &[&str]) -> Result<Built> {
    let mut command = cargo(args);
    eprintln!("$ {}", cmd::text(&command));
    command.arg("--message-format=json-render-diagnostics");
    let done = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start `{}`", cmd::text(&command)))?;
    ensure!(
        done.status.success(),
        "`{}` failed: {}",
        cmd::text(&command),
        done.status
    );
    Ok(Built::from_json_lines(&String::from_utf8_lossy(
        &done.stdout,
    )))
}

/// Builds nstrace for release and returns its executable.
pub(crate) fn build_release() -> Result<PathBuf> {
    build(&["build", "--release", "--package", "nstrace"])?.executable("nstrace")
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let args = ["metadata", "--format-version=1", "--no-deps"];
    let said = cmd::output(&mut cargo(&args))?;
    let metadata: Value = serde_json::from_str(&said).context("read cargo's metadata")?;
    let dir = metadata["target_directory"].as_str();
    dir.map(PathBuf::from)
        .context("cargo names no target directory")
}

impl Built {
    fn from_json_lines(lines: &str) -> Self {
        // A line that is no JSON is a build's own chatter on stdout.
        let messages = lines.lines().filter_map(|l| serde_json::from_str(l).ok());
        Self(messages.collect())
    }

    fn with_reason<'a>(&'a self, reason: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |m| m["reason"] == *reason)
    }

    /// The executable of the binary or test target called `name`.
    pub(crate) fn executable(&self, name: &str) -> Result<PathBuf> {
        self.with_reason("compiler-artifact")
            .filter(|artifact| artifact["target"]["name"] == *name)
            .find_map(|artifact| artifact["executable"].as_str())
            .map(PathBuf::from)
            .with_context(|| format!("cargo reported no executable for target `{name}`"))
    }

    /// The file called `name` that a build script left in its `OUT_DIR`.
    pub(crate) fn build_script_file(&self, name: &str) -> Result<PathBuf> {
        self.with_reason("build-script-executed")
            .filter_map(|script| script["out_dir"].as_str())
            .map(|dir| PathBuf::from(dir).join(name))
            .find(|file| file.is_file())
            .with_context(|| format!("no build script of this build wrote `{name}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::Built;

    const LINES: &str = r#"{"reason":"compiler-artifact","target":{"name":"nstrace"},"executable":null}
not json
{"reason":"compiler-artifact","target":{"name":"nstrace"},"executable":"/t/release/nstrace"}
{"reason":"build-finished","success":true}"#;

    #[test]
    fn executable_skips_the_library_of_the_same_name() {
        let path = Built::from_json_lines(LINES).executable("nstrace");
        assert_eq!(
            path.expect("found"),
            std::path::Path::new("/t/release/nstrace")
        );
    }

    #[test]
    fn missing_target_is_named() {
        let err = Built::from_json_lines(LINES).executable("netns");
        assert!(err.expect_err("absent").to_string().contains("`netns`"));
    }
}
