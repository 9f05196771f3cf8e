//! `nstrace capture`.

mod filter;
mod live;
mod output;
mod print;
mod read;
mod words;

use super::{
    Failure,
    args::{CaptureArgs, GlobalArgs},
};

pub(super) fn run(global: &GlobalArgs, args: &CaptureArgs) -> Result<(), Failure> {
    let (targets, expression) =
        words::split(&args.words, &args.filter).map_err(|error| Failure::Usage {
            message: error.to_string(),
            hint: None,
        })?;
    if args.dump_filter {
        return filter::dump(args, &expression);
    }
    match &args.read {
        Some(path) => read::run(args, path, targets, expression),
        None => live::run(global, args, targets, expression),
    }
}
