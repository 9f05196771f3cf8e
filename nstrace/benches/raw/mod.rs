//! System calls that only a measurement needs, each behind a safe function.

pub(crate) mod asm;
pub(crate) mod bpf;
pub(crate) mod packet_ring;
pub(crate) mod socket;
