//! Bytes as a program of classic BPF.

use nstrace::filter::{
    classic::Instruction,
    ebpf::Ebpf,
    translate::{TranslateError, translate},
};

/// What the capture object has.
const ROOM: usize = 8188;
/// Each instruction that libpcap's `bpf_filter` knows. Bytes seldom hit one by themselves.
const CODES: [u16; 51] = [
    0x00, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x60, 0x80, 0x01, 0x61, 0x81, 0xb1, 0x02, 0x03, 0x04,
    0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0x84,
    0x94, 0x9c, 0xa4, 0xac, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x06, 0x16, 0x07,
    0x87, 0x30, 0xb1,
];

/// Eight bytes are an instruction: which, two distances, whether the first is taken as it is, and
/// its number.
fn program(data: &[u8]) -> Vec<Instruction> {
    let (instructions, _) = data.as_chunks::<8>();
    instructions
        .iter()
        .map(|&[code, jt, jf, is_raw, k0, k1, k2, k3]| Instruction {
            code: if is_raw == 0xff {
                u16::from_le_bytes([code, k3])
            } else {
                CODES[usize::from(code) % CODES.len()]
            },
            jt,
            jf,
            k: u32::from_le_bytes([k0, k1, k2, k3]),
        })
        .collect()
}

/// What the bytes are translated to, by both bodies and by one.
pub(crate) fn translated(data: &[u8]) -> Vec<Vec<Ebpf>> {
    let program = program(data);
    let Ok(both) = translate(&program, ROOM) else {
        return Vec::new();
    };
    assert!(both.len() <= ROOM);
    let mut all = Vec::new();
    match translate(&program, both.len() - 1) {
        Ok(slow) => all.push(slow),
        Err(TranslateError::TooLong { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    all.push(both);
    all
}
