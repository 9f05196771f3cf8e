//! Where packets go, as the options say; and what a failure to write means.

use super::{
    super::{Failure, args::CaptureArgs},
    print,
};
use crate::{
    engine::capture::Outputs,
    error_chain,
    sink::savefile::{Rotation, SaveError, SaveFile, SaveOptions},
    sys::{self, clock},
};

/// The file and the text that are asked for.
pub(super) fn outputs(args: &CaptureArgs, is_several: bool) -> Result<Outputs, Failure> {
    let file = match &args.write {
        Some(path) => {
            let file = SaveFile::create(save_options(args, path));
            Some(file.map_err(|error| of_save(&error))?)
        }
        None => None,
    };
    Ok(Outputs {
        is_prompt: args.packet_buffered || file.as_ref().is_some_and(SaveFile::is_stream),
        file,
        text: (args.write.is_none() || args.print).then(|| print::printer(args, is_several)),
    })
}

fn save_options(args: &CaptureArgs, path: &std::path::Path) -> SaveOptions {
    SaveOptions {
        format: args.format,
        force: args.force,
        rotation: Rotation {
            size: args.rotate_size,
            seconds: args.rotate_seconds,
            count: args.rotate_count,
        },
        min_free: args.min_free,
        ..SaveOptions::new(
            path.to_owned(),
            sys::user_behind_sudo(),
            clock::clocks().wall,
            sys::kernel_release(),
        )
    }
}

pub(super) fn of_save(error: &SaveError) -> Failure {
    let (message, hint) = (error_chain(error), error.hint().map(str::to_owned));
    if error.is_usage() {
        Failure::Usage { message, hint }
    } else {
        Failure::Output { message, hint }
    }
}
