//! Random programs, which no expression would make: each instruction in each place.

#[path = "../../fuzz/src/translate.rs"]
mod fuzz;

use nstrace::filter::classic::Instruction;
use proptest::{prelude::*, strategy::ValueTree as _};

use super::{Beside, Judge, Loaded, MATCH, compositions::runner, corpus::packets, library};

/// Words of scratch memory.
const SCRATCH: u32 = 16;

/// `code`, and what `k` may be.
fn instruction() -> impl Strategy<Value = Instruction> {
    let plain = |code: u16, k: u32| Instruction {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    let near = 0..300_u32;
    let number = prop_oneof![0..40_u32, any::<u32>(), Just(0x8000_0000), Just(u32::MAX)];
    let offset = prop_oneof![
        8 => near.clone(),
        1 => Just(0x7fff_ffff),
        1 => 0x8000_0000..0xffff_f000_u32,
    ];
    let width = prop::sample::select(&[0x00_u16, 0x08, 0x10][..]);
    let arithmetic = prop::sample::select(&[0x00_u16, 0x10, 0x20, 0x40, 0x50, 0xa0][..]);
    let divide = prop::sample::select(&[0x30_u16, 0x90][..]);
    let shift = prop::sample::select(&[0x60_u16, 0x70][..]);
    let compare = prop::sample::select(&[0x10_u16, 0x20, 0x30, 0x40][..]);
    prop_oneof![
        // ld, ldx
        4 => (width.clone(), near.clone()).prop_map(move |(width, k)| plain(0x20 | width, k)),
        3 => (width, offset).prop_map(move |(width, k)| plain(0x40 | width, k)),
        2 => number.clone().prop_map(move |k| plain(0x00, k)),
        2 => number.clone().prop_map(move |k| plain(0x01, k)),
        1 => near.clone().prop_map(move |k| plain(0x01, k)),
        1 => Just(plain(0x80, 0)),
        1 => Just(plain(0x81, 0)),
        3 => near.prop_map(move |k| plain(0xb1, k)),
        1 => (0..SCRATCH).prop_map(move |k| plain(0x60, k)),
        1 => (0..SCRATCH).prop_map(move |k| plain(0x61, k)),
        // st, stx
        1 => (0..SCRATCH).prop_map(move |k| plain(0x02, k)),
        1 => (0..SCRATCH).prop_map(move |k| plain(0x03, k)),
        // alu
        4 => (arithmetic.clone(), number.clone())
            .prop_map(move |(operation, k)| plain(0x04 | operation, k)),
        3 => arithmetic.prop_map(move |operation| plain(0x0c | operation, 0)),
        1 => (divide.clone(), 1..100_u32).prop_map(move |(operation, k)| plain(0x04 | operation, k)),
        2 => divide.prop_map(move |operation| plain(0x0c | operation, 0)),
        1 => (shift.clone(), 0..32_u32).prop_map(move |(operation, k)| plain(0x04 | operation, k)),
        2 => shift.prop_map(move |operation| plain(0x0c | operation, 0)),
        1 => Just(plain(0x84, 0)),
        // jmp
        4 => (compare.clone(), number, 0..6_u8, 0..6_u8)
            .prop_map(|(operation, k, jt, jf)| Instruction { code: 0x05 | operation, jt, jf, k }),
        2 => (compare, 0..6_u8, 0..6_u8)
            .prop_map(|(operation, jt, jf)| Instruction { code: 0x0d | operation, jt, jf, k: 0 }),
        1 => (0..4_u32).prop_map(move |k| plain(0x05, k)),
        // ret
        1 => prop_oneof![Just(0), Just(MATCH)].prop_map(move |k| plain(0x06, k)),
        // tax, txa
        2 => Just(plain(0x07, 0)),
        2 => Just(plain(0x87, 0)),
    ]
}

/// A body, and room for its last jumps.
fn program() -> impl Strategy<Value = Vec<Instruction>> {
    let one = |code, k| Instruction {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    prop::collection::vec(instruction(), 1..60).prop_map(move |body| {
        let ends = (0..7).map(|nth| one(0x06, if nth % 2 == 0 { MATCH } else { 0 }));
        body.into_iter().chain(ends).collect()
    })
}

#[test]
fn any_program_decides_as_libpcaps_interpreter() {
    const CASES: u32 = 1500;

    let library = library();
    let packets: Vec<_> = packets().into_iter().step_by(101).collect();
    let mut decided = [0_usize; 2];
    let mut runner = runner(CASES);
    for nth in 0..CASES {
        let classic = program().new_tree(&mut runner).unwrap().current();
        let judge = Judge::new(&library, &format!("program {nth}"), classic.clone());
        let judge = judge.unwrap_or_else(|reason| panic!("{reason}\n{classic:?}"));
        let matches = judge.agree(&packets, Beside::default());
        decided[1] += matches;
        decided[0] += packets.len() - matches;
    }
    let all = decided[0] + decided[1];
    assert!(decided.iter().all(|some| *some > all / 10), "{decided:?}");
}

/// What fuzzing began with and has found. In the binary, since guests have nothing else.
const FOUND: [&[u8]; 7] = [
    include_bytes!("../../fuzz/seeds/translate/arithmetic"),
    include_bytes!("../../fuzz/seeds/translate/flags"),
    include_bytes!("../../fuzz/seeds/translate/geneve"),
    include_bytes!("../../fuzz/seeds/translate/hosts"),
    include_bytes!("../../fuzz/seeds/translate/ip6-protochain"),
    include_bytes!("../../fuzz/seeds/translate/outbound"),
    include_bytes!("../../fuzz/seeds/translate/tcp-port"),
];

#[test]
fn what_fuzzing_has_found_is_taken_by_the_kernel() {
    for data in FOUND {
        let filters = fuzz::translated(data);
        assert!(!filters.is_empty(), "{data:x?}");
        for filter in filters {
            if let Err(reason) = Loaded::load(&filter) {
                panic!("{data:x?}: {reason}");
            }
        }
    }
}
