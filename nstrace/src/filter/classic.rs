//! Classic BPF, as libpcap emits it.

/// `struct bpf_insn` (`pcap/bpf.h`, `struct sock_filter` of the kernel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Class, width, mode, operation.
    pub code: u16,
    /// Instructions to skip where a comparison holds.
    pub jt: u8,
    /// The same where it does not.
    pub jf: u8,
    /// The immediate, whatever it means.
    pub k: u32,
}
