//! Where captured packets go: a file, the terminal, or both.

use std::{
    io::{self, Write as _},
    net::IpAddr,
};

use crate::{
    packet::{CaptureCounts, CaptureIface, Packet},
    sink::savefile::{SaveError, SaveFile, Saved, Tag},
};

/// Text that waits for its writer is written at this length.
const TEXT: usize = 64 << 10;

/// Packets cannot be written any more.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Not to the file.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// Not as text.
    #[error("print packets")]
    Print(#[source] io::Error),
}

impl OutputError {
    /// Whether it was text, and its reader has seen enough: a normal end.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        matches!(self, Self::Print(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// What makes text of packets.
pub trait PrintPacket: Send {
    /// Appends the line or lines of one packet.
    fn packet(&mut self, out: &mut Vec<u8>, packet: &Packet<'_>, iface: &CaptureIface);

    /// Takes in names of addresses.
    fn names(&mut self, names: &[(IpAddr, String)]);
}

/// What a capture writes to.
pub struct Outputs {
    /// The file, if any.
    pub file: Option<SaveFile>,
    /// Whether what was captured is written as soon as possible, rather than when there is much.
    pub is_prompt: bool,
    /// What makes text of packets, if they are to be printed.
    pub text: Option<Box<dyn PrintPacket>>,
}

/// The same, at work. It takes all that comes: what fails is told once, and what came later is counted.
pub struct Writer {
    outputs: Outputs,
    text: Vec<u8>,
    /// The packets in it: of which interface each is, and where its lines end.
    waiting: Vec<(usize, usize)>,
    /// For a packet whose tag has to be put back into it before it is printed.
    tagged: Vec<u8>,
    /// Packets of each interface that were printed.
    printed: Vec<u64>,
    /// The same of those that came after printing had failed.
    unprinted: Vec<u64>,
    /// What has failed and was not told yet.
    failed: Option<OutputError>,
    can_print: bool,
    can_save: bool,
}

impl Writer {
    /// Nothing written yet.
    #[must_use]
    pub fn new(outputs: Outputs) -> Self {
        Self {
            outputs,
            text: Vec::new(),
            waiting: Vec::new(),
            tagged: Vec::new(),
            printed: Vec::new(),
            unprinted: Vec::new(),
            failed: None,
            can_print: true,
            can_save: true,
        }
    }

    /// An interface, numbered in the order of introduction.
    pub fn interface(&mut self, iface: &CaptureIface) {
        self.printed.push(0);
        self.unprinted.push(0);
        if let Some(file) = &mut self.outputs.file {
            let result = file.interface(iface).map(|_number| ());
            self.take(result);
        }
    }

    /// Names of addresses.
    pub fn names(&mut self, names: &[(IpAddr, String)]) {
        if let Some(file) = &mut self.outputs.file {
            file.names(names);
        }
        if let Some(text) = &mut self.outputs.text {
            text.names(names);
        }
    }

    /// Adds a remark to what the file says of an interface at its end.
    pub(super) fn remark(&mut self, iface: usize, text: String) {
        if let Some(file) = &mut self.outputs.file {
            file.remark(iface, text);
        }
    }

    /// Takes a packet of an interface that was introduced. Whether there is room for no more: the file's
    /// own limit was reached, and the packet was not taken.
    #[inline]
    pub fn packet(&mut self, packet: &Packet<'_>, tag: Option<Tag>, iface: &CaptureIface) -> bool {
        if let Some(file) = &mut self.outputs.file {
            match file.packet(packet, tag) {
                Ok(Saved::Yes) => {}
                Ok(Saved::Complete) => return true,
                Err(error) => self.fail_save(error),
            }
        }
        if self.outputs.text.is_some() {
            self.print(packet, tag, iface);
        }
        false
    }

    fn print(&mut self, packet: &Packet<'_>, tag: Option<Tag>, iface: &CaptureIface) {
        let Self {
            outputs,
            text,
            tagged,
            ..
        } = self;
        let Some(printer) = &mut outputs.text else {
            return;
        };
        if !self.can_print {
            self.unprinted[packet.iface] += 1;
            return;
        }
        match tag {
            Some(tag) => printer.packet(text, &tag.put_back(packet, iface.snaplen, tagged), iface),
            None => printer.packet(text, packet, iface),
        }
        self.waiting.push((packet.iface, text.len()));
        if self.text.len() >= TEXT {
            self.flush_text();
        }
    }

    /// After a look at the rings that has brought something.
    pub(super) fn settle(&mut self) {
        self.flush_text();
        if self.outputs.is_prompt {
            self.flush();
        }
    }

    /// Writes all that waits.
    pub fn flush(&mut self) {
        self.flush_text();
        if let Some(file) = &mut self.outputs.file
            && self.can_save
        {
            let result = file.flush();
            self.take(result);
        }
    }

    /// Ends the file.
    pub fn finish(&mut self, counts: &[CaptureCounts], end: u64) {
        self.flush_text();
        if let Some(file) = &mut self.outputs.file {
            let result = file.finish(counts, end);
            self.take(result);
        }
    }

    /// How many packets of an interface were captured, and how many could not be written. What waits
    /// to be written counts as captured until it is known.
    #[must_use]
    pub fn count(&self, iface: usize) -> (u64, u64) {
        if let Some(file) = &self.outputs.file {
            let tally = file.tally(iface);
            return (tally.written + tally.buffered, tally.lost);
        }
        let waiting = self.waiting.iter().filter(|(of, _)| *of == iface).count();
        let count = |of: &[u64]| of.get(iface).copied().unwrap_or(0);
        (
            count(&self.printed) + waiting as u64,
            count(&self.unprinted),
        )
    }

    /// What has failed, once.
    pub fn failure(&mut self) -> Option<OutputError> {
        self.failed.take()
    }

    fn flush_text(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let (arrived, result) = write_all(&self.text);
        for (iface, end) in self.waiting.drain(..) {
            let of = if end <= arrived {
                &mut self.printed
            } else {
                &mut self.unprinted
            };
            of[iface] += 1;
        }
        self.text.clear();
        if let Err(error) = result {
            self.can_print = false;
            self.failed.get_or_insert(OutputError::Print(error));
        }
    }

    fn take(&mut self, result: Result<(), SaveError>) {
        if let Err(error) = result {
            self.fail_save(error);
        }
    }

    /// The first failure of the file is the one that is told; and rather than that of the text, whose
    /// reader may just have seen enough.
    fn fail_save(&mut self, error: SaveError) {
        if std::mem::replace(&mut self.can_save, false) {
            self.failed = Some(error.into());
        }
    }
}

/// Writes to standard output, and says how much has arrived.
fn write_all(text: &[u8]) -> (usize, io::Result<()>) {
    let mut out = io::stdout().lock();
    let mut arrived = 0;
    while let Some(rest) = text.get(arrived..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return (arrived, Err(io::ErrorKind::WriteZero.into())),
            Ok(taken) => arrived += taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (arrived, Err(error)),
        }
    }
    (arrived, out.flush())
}
