//! libpcap: expression -> classic BPF, and an error that says where.
//!
//! Names of hosts in an expression are looked up by libpcap as tcpdump has it do: by the system's
//! resolver, which may ask the network.

use std::{ffi::CString, ops::Range};

use nstrace_ebpf::wire::MAX_SNAPLEN;
use unicode_width::UnicodeWidthStr as _;

use super::{
    classic::Instruction,
    locate::{Probe, locate, tokens},
};
use crate::{
    packet::LinkType,
    sys::pcap::{Library, Meaning, PcapError},
    untrusted::escape,
};

/// Where the packets come from that are to be filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A live interface, of which more is known than the bytes: VLAN tag, direction, index.
    Iface,
    /// A file.
    File,
}

/// An expression that libpcap does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadExpression {
    /// As it was given.
    pub expression: String,
    /// What is wrong, mostly in libpcap's words.
    pub message: String,
    /// The bytes of `expression` it is about; empty at its end where something is missing. `None`
    /// where it is about the whole, or not known.
    pub at: Option<Range<usize>>,
}

impl BadExpression {
    /// The expression, and marks below the place where it is wrong: two lines, safe to print.
    #[must_use]
    pub fn caret(&self) -> Option<[String; 2]> {
        let at = self.at.clone()?;
        let before = escape(self.expression.get(..at.start)?).width();
        let marked = escape(self.expression.get(at)?).width().max(1);
        Some([
            escape(&self.expression),
            format!("{:before$}{}", "", "^".repeat(marked)),
        ])
    }
}

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The expression is wrong.
    #[error(transparent)]
    Expression(#[from] BadExpression),
    /// Something is missing to compile it.
    #[error(transparent)]
    Pcap(#[from] PcapError),
}

impl CompileError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Expression(_) => None,
            Self::Pcap(error) => error.hint(),
        }
    }
}

/// Compiles an expression of pcap-filter(7) for packets of one link type. What matches makes the
/// instructions return `snaplen`, where 0 is the largest, as to tcpdump: libpcap itself takes it for
/// a filter that nothing matches. An empty expression matches everything.
///
/// An interface's VLAN tags are beside the bytes, so `vlan` there takes the privilege to capture.
///
/// # Errors
///
/// If libpcap does not take the expression, or cannot be asked.
pub fn compile(
    library: &Library,
    link_type: LinkType,
    snaplen: u32,
    expression: &str,
    source: Source,
) -> Result<Vec<Instruction>, CompileError> {
    let snaplen = if snaplen == 0 { MAX_SNAPLEN } else { snaplen };
    let bad = |message: String, at| BadExpression {
        expression: expression.to_owned(),
        message,
        at,
    };
    let compile = |text: &str, meaning| match CString::new(text) {
        Ok(text) => library.compile(link_type, snaplen, &text, meaning),
        Err(_) => Err(PcapError::Expression("a NUL character".to_owned())),
    };
    let has = |words: &[&str]| {
        let mut places = tokens(expression).into_iter();
        places.find(|at| words.contains(&&expression[at.clone()]))
    };
    // Also what a live interface's code is wanted of, so that errors need no privilege.
    let instructions = match compile(expression, Meaning::Bytes) {
        Ok(instructions) => instructions,
        // A newer libpcap takes words about the device only with a live handle.
        Err(PcapError::Expression(_))
            if source == Source::Iface
                && link_type == LinkType::ETHERNET
                && has(&["inbound", "outbound", "ifindex"]).is_some()
                && compile(expression, Meaning::Device).is_ok() =>
        {
            compile(expression, Meaning::Device)?
        }
        Err(PcapError::Expression(message)) => {
            let at = match expression.find('\0') {
                Some(at) => Some(at..at + 1),
                None => locate(expression, &message, |text| {
                    match compile(text, Meaning::Bytes) {
                        Ok(_) => Probe::Taken,
                        Err(error) => Probe::Refused(error.to_string()),
                    }
                }),
            };
            return Err(bad(message, at).into());
        }
        Err(error) => return Err(error.into()),
    };
    match source {
        Source::Iface if link_type == LinkType::ETHERNET && has(&["vlan"]).is_some() => {
            match compile(expression, Meaning::Device) {
                Ok(instructions) => Ok(instructions),
                Err(PcapError::Expression(message)) => Err(bad(message, None).into()),
                Err(error) => Err(error.into()),
            }
        }
        Source::File if instructions.iter().any(Instruction::is_beside_bytes) => {
            let at = has(&["inbound", "outbound", "ifindex"]);
            let message = "this is known of live interfaces only, not of a file's packets";
            Err(bad(message.to_owned(), at).into())
        }
        Source::Iface | Source::File => Ok(instructions),
    }
}

#[cfg(test)]
mod tests;
