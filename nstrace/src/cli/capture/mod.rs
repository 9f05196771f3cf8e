//! `nstrace capture`.

mod filter;
mod live;
mod output;
mod print;
mod read;
mod words;

use std::path::Path;

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
    let is_stdout = args.write.as_deref() == Some(Path::new("-"));
    if is_stdout && args.print {
        return Err(Failure::Usage {
            message: "packets cannot be printed among those that are written".to_owned(),
            hint: Some("write to a file, or leave out --print".to_owned()),
        });
    }
    if args.dump_filter {
        return filter::dump(args, &expression);
    }
    match &args.read {
        Some(path) => read::run(args, path, targets, expression),
        None => live::run(global, args, targets, expression),
    }
}
