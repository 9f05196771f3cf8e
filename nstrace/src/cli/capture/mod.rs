//! `nstrace capture`.

mod filter;
mod live;
mod print;
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
    live::run(global, args, targets, expression)
}
