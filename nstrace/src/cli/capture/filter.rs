//! The filter: compiled, translated, listed; and what is wrong with it.

use std::io::{self, Write};

use super::super::{Failure, args::CaptureArgs};
use crate::{
    error_chain,
    filter::{
        CompileError, FilterError, Source,
        classic::listing,
        compile,
        ebpf::Ebpf,
        prepare,
        translate::{TranslateError, translate},
    },
    kernel::capture::room,
    packet::LinkType,
    sink::SinkError,
    sys::pcap::{Library, PcapError},
};

/// What the kernel is to run on each packet of an interface.
pub(super) fn for_kernel(expression: &str, snaplen: u32) -> Result<Vec<Ebpf>, Failure> {
    // Every veth is an Ethernet device.
    prepare(LinkType::ETHERNET, snaplen, expression, instructions()?).map_err(|error| match error {
        FilterError::Compile(error) => of_compile(&error),
        FilterError::Translate(error) => of_translate(&error),
    })
}

fn instructions() -> Result<usize, Failure> {
    room().map_err(|error| Failure::Failed {
        message: error_chain(&error),
        hint: None,
    })
}

fn of_translate(error: &TranslateError) -> Failure {
    Failure::Usage {
        message: error.to_string(),
        hint: None,
    }
}

/// `-d`.
pub(super) fn dump(args: &CaptureArgs, expression: &str) -> Result<(), Failure> {
    let library = Library::open().map_err(|error| of_compile(&error.into()))?;
    let source = if args.read.is_some() {
        Source::File
    } else {
        Source::Iface
    };
    let classic = compile(
        &library,
        LinkType::ETHERNET,
        args.snaplen(),
        expression,
        source,
    )
    .map_err(|error| of_compile(&error))?;
    let mut lines: Vec<String> = listing(&library, &classic).collect();
    if source == Source::Iface {
        let code = translate(&classic, instructions()?).map_err(|error| of_translate(&error))?;
        lines.push(String::new());
        let numbered = code.iter().enumerate();
        lines.extend(numbered.map(|(place, instruction)| format!("{place:4}: {instruction}")));
    }
    let text = lines.join("\n") + "\n";
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| SinkError::from(error).into()),
    }
}

/// A wrong expression is shown with a mark under the place.
pub(super) fn of_compile(error: &CompileError) -> Failure {
    let hint = error.hint().map(str::to_owned);
    match error {
        CompileError::Expression(bad) => {
            let message = format!("the filter is wrong: {bad}");
            Failure::Expression {
                message,
                caret: bad.caret(),
            }
        }
        CompileError::Pcap(PcapError::Live {
            is_denied: true, ..
        }) => Failure::Missing {
            message: error_chain(error),
            hint: hint.unwrap_or_default(),
        },
        CompileError::Pcap(_) => Failure::Failed {
            message: error_chain(error),
            hint,
        },
    }
}
