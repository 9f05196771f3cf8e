//! Any file is read to its end or to an error.
#![no_main]

#[path = "../src/savefile.rs"]
mod it;

libfuzzer_sys::fuzz_target!(|data: &[u8]| it::read(data));
