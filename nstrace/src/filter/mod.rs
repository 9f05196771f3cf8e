//! Capture filters: an expression of pcap-filter(7) becomes instructions that the kernel runs on
//! each packet.
//!
//! ```text
//! expression -> compile (libpcap) -> classic BPF -> translate -> eBPF -> inject -> object bytes
//! ```

pub mod classic;
mod compile;
pub mod ebpf;
pub mod inject;
mod locate;
mod prepare;
pub mod translate;

pub use compile::{BadExpression, CompileError, Source, compile};
pub use prepare::{FilterError, prepare};
