//! Where the loader puts the filter.

use core::arch::asm;

use aya_ebpf::bindings::__sk_buff;

/// Gives 0 for a packet that does not match. `packet_type` is what the filter takes for the packet's
/// type, since the skb's own does not survive the way between namespaces.
///
/// What stands here is room: the loader overwrites it before each load, in place, so that nothing
/// else of the object moves. A function of its own, since what reads past a packet's end
/// (`BPF_LD_ABS`) ends it with 0, which a program must not end with; and a global one, so that the
/// verifier follows it once, apart from its callers (5.6). Not a naked one: that has no debug info,
/// from which the linker makes the type that the verifier asks for.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn pcap_filter(skb: *mut __sk_buff, packet_type: u32) -> u32 {
    let matches: u64;
    // SAFETY: does nothing; what replaces it keeps to the calling convention.
    unsafe {
        asm!(
            ".rept 8192",
            "goto +0",
            ".endr",
            in("r1") skb,
            in("r2") packet_type,
            lateout("r0") matches,
            clobber_abi("C"),
        );
    }
    matches as u32
}
