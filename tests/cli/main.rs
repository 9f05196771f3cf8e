//! The command line from outside, without privileges: help, errors, exit codes.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, with its stack"
)]

mod savefile;
mod tcpdump;

use std::process::{Command, Output, Stdio};

/// Runs nstrace without any capability, whoever runs the test.
fn nstrace(args: &[&str]) -> Output {
    let nstrace = env!("CARGO_BIN_EXE_nstrace");
    let is_root = nix::unistd::geteuid().is_root();
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", nstrace]);
        command
    } else {
        Command::new(nstrace)
    };
    command
        .args(args)
        .env_remove("NSTRACE_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs it, and compares the exit code and the start of what it says on standard error.
#[track_caller]
fn check(args: &[&str], code: i32, error: &str) {
    let output = nstrace(args);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(errors.starts_with(error), "{errors}");
    assert_eq!(text(&output.stdout), "", "an error prints no data");
}

#[test]
fn help_names_every_subcommand_and_the_exit_codes() {
    let output = nstrace(&["--help"]);
    assert!(output.status.success());
    let help = text(&output.stdout);
    for expected in ["ls ", "top ", "flows ", "TARGET", "Exit codes: 0 ok"] {
        assert!(help.contains(expected), "no {expected:?} in {help}");
    }
}

#[test]
fn help_of_top_names_its_options_and_hides_the_hidden() {
    let help = text(&nstrace(&["top", "--help"]).stdout);
    for expected in [
        "--batch",
        "--delay",
        "--count",
        "--output",
        "--sort",
        "--filter",
        "--units",
        "--color",
        "--no-expedite",
        "--flows",
    ] {
        assert!(help.contains(expected), "no {expected:?} in {help}");
    }
    assert!(!help.contains("--mechanism"));
    assert!(!text(&nstrace(&["--help"]).stdout).contains("guard"));
}

#[test]
fn help_of_flows_names_its_options_and_hides_the_hidden() {
    let help = text(&nstrace(&["flows", "--help"]).stdout);
    for expected in [
        "[TARGET]...",
        "--output",
        "- csv:",
        "--delay",
        "--count",
        "--once",
        "--units",
        "--max-interfaces",
        "--ipv4-flows",
        "--ipv6-flows",
        "--spills",
        "--flow-limit",
    ] {
        assert!(help.contains(expected), "no {expected:?} in {help}");
    }
    assert!(!help.contains("--mechanism"));
    assert!(!help.contains("--batch"), "flows needs no terminal");
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(
        text(&nstrace(&["--version"]).stdout),
        concat!("nstrace ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn usage_errors_end_with_two() {
    check(&[], 2, "Live traffic");
    check(&["bottom"], 2, "error: unrecognized subcommand 'bottom'");
    check(
        &["ls", "-o", "xml"],
        2,
        "error: invalid value 'xml' for '--output <OUTPUT>'",
    );
    check(
        &["ls", "inode:x"],
        2,
        "error: invalid value 'inode:x' for '[TARGET]...': `inode:x`: x is not a number",
    );
    check(
        &["top", "-c", "3"],
        2,
        "error: the following required arguments were not provided:\n  --batch",
    );
    check(
        &["top", "-b", "-d", "0"],
        2,
        "error: invalid value '0' for '--delay <SECS>': must be between 0.1 and 3600 seconds",
    );
    check(
        &["top", "-b", "-d", "NaN"],
        2,
        "error: invalid value 'NaN' for '--delay <SECS>'",
    );
    check(
        &["top", "-b", "-c", "0"],
        2,
        "error: invalid value '0' for '--count <COUNT>'",
    );
}

#[test]
fn flows_of_top_are_for_json() {
    check(
        &["top", "--flows", "3"],
        2,
        "error: the following required arguments were not provided:\n  --batch",
    );
    for args in [
        &["top", "-b", "--flows", "3"][..],
        &["top", "-b", "-o", "table", "--flows", "0"],
        &["top", "-b", "-o", "csv", "--flows", "3"],
    ] {
        check(
            args,
            2,
            "nstrace: --flows is for JSON\nhint: nstrace top -b -o json --flows N, or: nstrace flows\n",
        );
    }
    check(
        &["top", "-b", "-o", "json", "--flows", "many"],
        2,
        "error: invalid value 'many' for '--flows <N>'",
    );
}

#[test]
fn flows_without_room_for_flows_are_a_usage_error() {
    for option in ["--ipv4-flows", "--ipv6-flows"] {
        check(
            &["flows", option, "0"],
            2,
            "nstrace: no flows are counted with --ipv4-flows 0 or --ipv6-flows 0\n",
        );
    }
}

#[test]
fn flows_are_looked_at_once_or_so_often() {
    for count in [["-c", "2"], ["--count", "1"]] {
        check(
            &["flows", "--once", count[0], count[1]],
            2,
            "error: the argument '--once' cannot be used with '--count <COUNT>'",
        );
    }
    check(
        &["flows", "-c", "0"],
        2,
        "error: invalid value '0' for '--count <COUNT>'",
    );
    check(
        &["flows", "-o", "yaml"],
        2,
        "error: invalid value 'yaml' for '--output <OUTPUT>'",
    );
}

#[test]
fn the_screen_needs_a_terminal_and_says_what_to_do_without() {
    check(
        &["top"],
        2,
        "nstrace: standard output is not a terminal\nhint: print refreshes instead: nstrace top --batch\n",
    );
}

#[test]
fn watching_without_privileges_says_which_and_how() {
    check(
        &["top", "--batch"],
        3,
        "nstrace: watching traffic needs CAP_BPF and CAP_NET_ADMIN\nhint: run it as root: sudo nstrace top\n",
    );
    check(
        &["flows"],
        3,
        "nstrace: watching traffic needs CAP_BPF and CAP_NET_ADMIN\n",
    );
}

#[test]
fn listing_without_privileges_shows_the_host_and_says_what_is_missing() {
    let output = nstrace(&["ls", "-o", "json", "host"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["namespaces"][0]["name"], "host");
    let interfaces = document["namespaces"][0]["interfaces"].as_array().unwrap();
    assert!(interfaces.iter().any(|interface| interface["name"] == "lo"));
}

#[test]
fn an_unknown_target_ends_with_one_and_a_hint() {
    check(
        &["ls", "no-such-pod"],
        1,
        "nstrace: no network namespace matches `no-such-pod`\nhint: see them all: nstrace ls\n",
    );
}

#[test]
fn a_log_file_that_cannot_be_written_is_an_output_error() {
    check(
        &["--log-file", "/nowhere/x", "ls"],
        5,
        "nstrace: open the log file /nowhere/x: No such file or directory",
    );
}

#[test]
fn a_closed_output_is_a_quiet_end_and_a_full_one_is_not() {
    let nstrace = env!("CARGO_BIN_EXE_nstrace");
    let run = |script: String| Command::new("sh").args(["-c", &script]).output().unwrap();
    let closed = run(format!("({nstrace} ls -o wide; echo $? >&2) | true"));
    assert_eq!(text(&closed.stderr).lines().last(), Some("0"));
    let full = run(format!("{nstrace} ls >/dev/full"));
    assert_eq!(full.status.code(), Some(5));
    assert!(
        text(&full.stderr).contains("nstrace: write the output: No space left on device"),
        "{}",
        text(&full.stderr)
    );
}
