//! Classic BPF, as libpcap emits it.

use crate::sys::pcap::Library;

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

impl Instruction {
    /// Whether it loads what Linux keeps beside a packet's bytes (`SKF_AD_OFF` and above). Of a
    /// packet that is only bytes such a load finds nothing, so nothing matches.
    #[must_use]
    #[doc(alias = "SKF_AD_OFF")]
    pub const fn is_beside_bytes(&self) -> bool {
        /// Class `BPF_LD` and mode `BPF_ABS`, of whatever width.
        const CLASS_AND_MODE: u16 = 0xe7;
        const LOAD_ABSOLUTE: u16 = 0x20;
        /// The kernel's `SKF_AD_OFF`, -0x1000.
        const BESIDE: u32 = 0xffff_f000;

        self.code & CLASS_AND_MODE == LOAD_ABSOLUTE && self.k >= BESIDE
    }
}

/// The instructions in lines, as `tcpdump -d` shows them.
pub fn listing<'a>(
    library: &'a Library,
    instructions: &'a [Instruction],
) -> impl Iterator<Item = String> {
    let numbered = instructions.iter().enumerate();
    numbered.map(|(place, instruction)| library.image(instruction, place))
}
