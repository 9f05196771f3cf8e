//! The eBPF object of one capture: two tc programs, and the place where its filter goes.
//!
//! Nothing but the target gate, the licence and the panic handler stands here.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// Inline assembly for this target is not stable yet.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod filter;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod record;
#[cfg(target_arch = "bpf")]
mod tc;

/// The kernel lets only GPL-compatible programs call some helpers; "Dual MIT/GPL" is one of the
/// strings it accepts (`include/linux/license.h`).
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// A path that could panic loops for ever, which the verifier refuses at load.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
