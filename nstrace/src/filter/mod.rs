//! Capture filters: an expression of pcap-filter(7) becomes instructions that the kernel runs on
//! each packet.
//!
//! ```text
//! expression -> compile (libpcap) -> classic BPF -> translate -> eBPF -> inject -> object bytes
//! ```

pub mod classic;
pub mod ebpf;
pub mod inject;
pub mod translate;
