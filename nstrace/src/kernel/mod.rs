//! The eBPF programs from the user's side: loading, attaching, draining. The only module that
//! names `aya`.
//!
//! - [`object`] loads the object once and hands out its maps and programs;
//! - [`capture`] loads another for each capture, with its filter in it;
//! - [`capacity`] says how large its maps are made;
//! - [`attach`] hooks programs to one interface, and undoes that;
//! - [`worker`] keeps what is attached equal to what is wanted, on a thread of its own, since one
//!   attachment takes two RCU grace periods (10 ms each); `pace` has them expedited where there are
//!   many;
//! - [`merge`] makes one stream of a capture's rings;
//! - [`ring`] drains the samples and the spill lanes, on a thread of its own.

pub mod attach;
pub mod capacity;
pub mod capture;
pub mod merge;
pub mod object;
mod pace;
pub mod ring;
pub mod worker;

pub use object::{Kernel, KernelError};
