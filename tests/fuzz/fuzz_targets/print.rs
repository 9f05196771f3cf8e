//! Any packet is printed, in any style, and commands no terminal.
#![no_main]

#[path = "../src/print.rs"]
mod it;

libfuzzer_sys::fuzz_target!(|data: &[u8]| it::print(data));
