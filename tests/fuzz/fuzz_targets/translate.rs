//! Any program of classic BPF is translated to one that the kernel takes, or refused by us. Needs
//! root.
#![no_main]

#[path = "../src/translate.rs"]
mod it;
#[path = "../../support/run.rs"]
mod run;

use nstrace::filter::ebpf::Ebpf;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // The packet's type, the filter's second argument.
    let before = Ebpf {
        code: 0xb4,
        dst: 2,
        src: 0,
        off: 0,
        imm: 0,
    };
    for filter in it::translated(data) {
        let all = [before].into_iter().chain(filter);
        let all: Vec<[u8; 8]> = all.map(Ebpf::to_bytes).collect();
        if let Err(reason) = run::load_classifier(&all) {
            panic!("{reason}");
        }
    }
});
