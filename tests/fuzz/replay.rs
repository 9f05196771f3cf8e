//! What fuzzing has found, and the seeds it began with, by plain `cargo test`. A file's name says what
//! is in it.

#[path = "src/print.rs"]
mod print;
#[path = "src/savefile.rs"]
mod savefile;
#[path = "src/translate.rs"]
mod translate;

use std::{
    fs,
    panic::{self, RefUnwindSafe},
    path::Path,
};

/// Gives each file of a target to `run`.
fn replay(target: &str, run: impl Fn(&[u8]) + RefUnwindSafe) {
    let mut files = 0;
    for kind in ["seeds", "crashes"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fuzz")
            .join(kind)
            .join(target);
        // Of a target that never failed there are no crashes.
        let Ok(entries) = fs::read_dir(&directory) else {
            assert_eq!(kind, "crashes", "{}", directory.display());
            continue;
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let data = fs::read(&path).expect("a file");
            let ran = panic::catch_unwind(|| run(&data));
            assert!(ran.is_ok(), "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 0);
}

#[test]
fn any_capture_file_is_read_to_its_end_or_an_error() {
    replay("savefile", savefile::read);
}

#[test]
fn any_packet_is_printed() {
    replay("print", print::print);
}

#[test]
fn any_program_is_translated_or_refused() {
    replay("translate", |data| drop(translate::translated(data)));
}
