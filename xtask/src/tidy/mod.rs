//! What no compiler holds: the layering of the crates, and a few habits.
//!
//! [`judge`] is a function of a path and a text; [`check`] walks the repository's files.
//! The rules about words stand in [`rules`].

mod rules;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::cmd;
use rules::{RULES, Rule};
use source::{Source, grouped_imports, is_word};

/// From here on a file deserves a hard look.
const LONG: usize = 500;
/// Beyond this it is to be split.
const TOO_LONG: usize = 1000;

/// Directories of one machine, which say nothing to anybody else.
const MACHINE_DIRS: [&str; 2] = [concat!("/", "work/"), concat!("/", "root/")];

/// One finding. Ordered as it is printed: by line.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    line: usize,
    rule: String,
    remedy: &'static str,
    is_notice: bool,
}

impl Finding {
    fn new(line: usize, rule: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            line,
            rule: rule.into(),
            remedy,
            is_notice: false,
        }
    }
}

/// Judges every file that git tracks or would track.
pub(crate) fn check() -> Result<()> {
    let mut violations = 0;
    for path in tracked_files()? {
        let Ok(bytes) = std::fs::read(cmd::root().join(&path)) else {
            // Deleted but not yet staged, or a link to nowhere.
            continue;
        };
        for finding in judge(&path, &String::from_utf8_lossy(&bytes)) {
            violations += usize::from(!finding.is_notice);
            let word = if finding.is_notice { "notice: " } else { "" };
            let Finding {
                line, rule, remedy, ..
            } = finding;
            eprintln!("{path}:{line}: {word}{rule}: {remedy}");
        }
    }
    if violations > 0 {
        bail!("`tidy` found {violations} violations");
    }
    Ok(())
}

fn tracked_files() -> Result<Vec<String>> {
    let args = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let mut git = Command::new("git");
    let list = cmd::output(git.args(args).current_dir(cmd::root()))?;
    let paths: BTreeSet<_> = list.split_terminator('\0').map(str::to_owned).collect();
    Ok(paths.into_iter().collect())
}

/// Everything that is wrong with the file at `path` with this text.
pub(crate) fn judge(path: &str, text: &str) -> BTreeSet<Finding> {
    let mut findings = BTreeSet::new();
    if !text.contains('\0') && !path.starts_with("LICENSE") {
        machine_dirs(text, &mut findings);
    }
    if Path::new(path).extension().is_some_and(|ext| ext == "rs") {
        let source = Source::new(text);
        for rule in RULES.iter().filter(|rule| (rule.covers)(path)) {
            words(rule, path, &source, &mut findings);
        }
        ownerless(&source.comments, &mut findings);
        length(text, &mut findings);
    }
    findings
}

fn words(rule: &Rule, path: &str, source: &Source, findings: &mut BTreeSet<Finding>) {
    if rule.spares_tests && path.ends_with("/tests.rs") {
        return;
    }
    let code = if rule.spares_tests {
        source.code_without_tests()
    } else {
        source.code.clone()
    };
    let lines = code.lines().enumerate().map(|(n, line)| (n + 1, line));
    let groups = grouped_imports(&code);
    let groups = groups.iter().map(|import| (import.line, &*import.path));
    for (line, text) in lines.chain(groups) {
        for word in rule.words.iter().filter(|word| names(text, word, rule)) {
            let what = format!("{} (`{word}`)", rule.name);
            findings.insert(Finding::new(line, what, rule.remedy));
        }
    }
}

/// Whether `text` has `word` as whole identifiers, not followed by an exception.
fn names(text: &str, word: &str, rule: &Rule) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let after = &text[at + word.len()..];
        let goes_on = word.ends_with(is_word) && after.starts_with(is_word);
        let is_whole = !goes_on && !text[..at].ends_with(is_word);
        is_whole && !rule.except.iter().any(|except| after.starts_with(except))
    })
}

fn ownerless(comments: &str, findings: &mut BTreeSet<Finding>) {
    for (n, line) in comments.lines().enumerate() {
        for mark in ["TODO", "FIXME"] {
            let open = line.match_indices(mark).any(|(at, _)| {
                let (before, after) = (&line[..at], &line[at + mark.len()..]);
                let whole = !before.ends_with(is_word) && !after.starts_with(is_word);
                whole && !has_owner(after)
            });
            if open {
                let rule = format!("{mark} has an owner");
                findings.insert(Finding::new(
                    n + 1,
                    rule,
                    "write it as MARK(name), or do it",
                ));
            }
        }
    }
}

/// Whether what follows the mark begins with `(name)`.
fn has_owner(after: &str) -> bool {
    let name = after
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'));
    name.is_some_and(|(name, _)| !name.trim().is_empty())
}

fn machine_dirs(text: &str, findings: &mut BTreeSet<Finding>) {
    for (n, line) in text.lines().enumerate() {
        for dir in MACHINE_DIRS {
            // Not where it goes on from something, as in https://host/path or a/b.
            let absolute = |at: usize| !line[..at].ends_with(|c| is_word(c) || "-.~*}".contains(c));
            if line.match_indices(dir).any(|(at, _)| absolute(at)) {
                let rule = format!("no paths of one machine (`{dir}`)");
                findings.insert(Finding::new(
                    n + 1,
                    rule,
                    "use a path relative to the repository",
                ));
            }
        }
    }
}

fn length(text: &str, findings: &mut BTreeSet<Finding>) {
    let lines = text.lines().count();
    if lines > LONG {
        let is_notice = lines <= TOO_LONG;
        let limit = if is_notice { LONG } else { TOO_LONG };
        let rule = format!("{lines} lines, more than {limit}");
        let finding = Finding::new(lines, rule, "split it by what changes together");
        findings.insert(Finding {
            is_notice,
            ..finding
        });
    }
}
