//! The `nstrace` command: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    nstrace::cli::run()
}
