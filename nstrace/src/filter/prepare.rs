//! From an expression to what the kernel runs, in one step.

use super::{
    classic::Instruction,
    compile::{CompileError, Source, compile},
    ebpf::Ebpf,
    translate::{TranslateError, translate},
};
use crate::{packet::LinkType, sys::pcap::Library};

/// `ret #262144`: what an empty expression means, which needs no libpcap.
const EVERYTHING: [Instruction; 1] = [Instruction {
    code: 0x06,
    jt: 0,
    jf: 0,
    k: 262_144,
}];

/// There is no such filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// libpcap does not take the expression, or cannot be asked.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// What it made of it cannot run in the kernel.
    #[error(transparent)]
    Translate(#[from] TranslateError),
}

/// What the kernel is to run on each packet of an interface of that link type, in at most `room`
/// instructions.
///
/// # Errors
///
/// If the expression is wrong, libpcap is not there, or the filter is too long.
pub fn prepare(
    link_type: LinkType,
    snaplen: u32,
    expression: &str,
    room: usize,
) -> Result<Vec<Ebpf>, FilterError> {
    let classic = if expression.trim().is_empty() {
        EVERYTHING.to_vec()
    } else {
        let library = Library::open().map_err(CompileError::from)?;
        compile(&library, link_type, snaplen, expression, Source::Iface)?
    };
    Ok(translate(&classic, room)?)
}
