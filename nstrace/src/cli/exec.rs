//! `nstrace exec`.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, BufReader, Read, Write},
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    thread,
};

use super::{
    Failure,
    args::{ExecArgs, GlobalArgs},
    config::Config,
    ls,
};
use crate::{
    sys::{
        caps::{self, Capability},
        netns::{self, Exec},
    },
    topology::{
        discover,
        model::{Kind, Netns},
        target::{ResolveError, Target},
    },
    untrusted::escape,
};

/// What shells say where a command is not there, and where it cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;
/// .. and where a signal has ended it: its number is added.
const SIGNALLED: u8 = 128;

/// A line that is longer becomes several.
const MAX_LINE: u64 = 64 << 10;

pub(super) fn run(global: &GlobalArgs, args: &ExecArgs) -> Result<(), Failure> {
    if !caps::has(Capability::SysAdmin) {
        return Err(Failure::Missing {
            message: "entering a network namespace needs CAP_SYS_ADMIN".to_owned(),
            hint: "try: sudo nstrace exec ..".to_owned(),
        });
    }
    let config = Config::load(global)?;
    let mut targets: Vec<Target> = args.target.iter().cloned().collect();
    targets.extend(args.all_of.iter().cloned());
    let is_many = !args.all_of.is_empty();
    if !is_many && targets.is_empty() && !args.select.is_said() {
        return Err(Failure::Usage {
            message: "where to run it?".to_owned(),
            hint: Some(
                "nstrace exec TARGET -- COMMAND.., or for many: nstrace exec --all-of 'GLOB' -- \
                 COMMAND.."
                    .to_owned(),
            ),
        });
    }
    let selection = config.selection(&args.select, targets);
    let topology = ls::look(&config)?;
    // What is not known may be where it should have run.
    ls::warn(&topology);
    if !is_many {
        let netns = selection.one(&topology).map_err(|error| match error {
            ResolveError::Ambiguous { .. } | ResolveError::Several(_) => Failure::Usage {
                message: error.to_string(),
                hint: Some("name one, or run it in each: nstrace exec --all-of".to_owned()),
            },
            error => error.into(),
        })?;
        let error = prepared(netns, &args.command)?.replace();
        return Err(not_run(netns, &args.command, &error));
    }
    let mut first_failed = None;
    let mut has_run = false;
    for netns in selection.resolve(&topology)? {
        // Pods that use the host's network are asked for, not all that the host has.
        if netns.kind == Kind::Host && selection.is_restricted() {
            continue;
        }
        has_run = true;
        let failure = match run_beside(netns, &args.command) {
            Ok(status) if status.success() => continue,
            Ok(status) => Failure::Command {
                message: format!("{}: {status}", netns.name),
                code: code_of(status),
            },
            Err(error @ Failure::Output { .. }) => return Err(error),
            Err(error) => error,
        };
        // The last thing that is said is what it ends with: the first that failed.
        match &first_failed {
            None => first_failed = Some(failure),
            Some(_) => failure.print(&mut io::stderr()),
        }
    }
    if !has_run {
        return Err(Failure::Failed {
            message: "all that matches is in the host's network".to_owned(),
            hint: Some("if that is meant: nstrace exec host -- COMMAND..".to_owned()),
        });
    }
    first_failed.map_or(Ok(()), Err)
}

/// The command, about to enter.
fn prepared(netns: &Netns, line: &[OsString]) -> Result<Exec, Failure> {
    let open = discover::open(netns).ok_or_else(|| Failure::Failed {
        message: format!(
            "{} cannot be entered: no file and no process holds it",
            netns.name
        ),
        hint: None,
    })?;
    let mut names = netns.file_names();
    let files = names.find_map(|name| netns::files_for(&name));
    Ok(Exec::new(open, files.as_deref(), line))
}

fn not_run(netns: &Netns, line: &[OsString], error: &io::Error) -> Failure {
    let program = line
        .first()
        .map_or_else(String::new, |word| word.to_string_lossy().into_owned());
    Failure::Command {
        message: format!("run {program} in {}: {error}", netns.name),
        code: if error.kind() == io::ErrorKind::NotFound {
            NOT_FOUND
        } else {
            NOT_RUN
        },
    }
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let signal = status.signal().and_then(|signal| u8::try_from(signal).ok());
    code.or_else(|| Some(SIGNALLED + signal?)).unwrap_or(1)
}

/// Runs the command to its end, each line of its output behind the namespace's name.
fn run_beside(netns: &Netns, line: &[OsString]) -> Result<ExitStatus, Failure> {
    let mut child = prepared(netns, line)?
        .spawn()
        .map_err(|error| not_run(netns, line, &error))?;
    let prefix = format!("{}: ", escape(&netns.name));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let printed = thread::scope(|scope| {
        let errors = scope.spawn(|| prefixed(stderr, &prefix, io::stderr()));
        let printed = prefixed(stdout, &prefix, io::stdout());
        // Nothing is left to tell it to if stderr is gone.
        drop(errors.join());
        printed
    });
    let status = child.wait().map_err(|error| not_run(netns, line, &error))?;
    match printed {
        // The command has had the same said to it: its pipe is closed.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::output(format!("print: {error}")))
        }
        _ => Ok(status),
    }
}

fn prefixed(from: Option<impl Read>, prefix: &str, mut to: impl Write) -> io::Result<()> {
    let Some(from) = from else {
        return Ok(());
    };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        line.extend_from_slice(prefix.as_bytes());
        if from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // The next one's begins on a line of its own.
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        to.write_all(&line)?;
        to.flush()?;
    }
}
