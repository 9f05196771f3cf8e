//! Capture files: pcapng and pcap, whole whatever happens.
//!
//! A packet is copied once, into a buffer that goes out by one write(2) per MiB. No packet is ever
//! torn: where the disk is full or fails, the file is cut behind the last whole one, and it is
//! known to the packet how many are in it and how many are not ([`SaveFile::tally`]). Each file of
//! a rotation can be read without the others.
//!
//! `pcapng` and `pcap` make bytes, `rotate` names files, `file` writes, `loss` counts what
//! it could not; here they meet.

mod error;
mod file;
mod frame;
mod loss;
mod options;
mod pcap;
mod pcapng;
mod rotate;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf};

use jiff::tz::TimeZone;

pub use self::{
    error::SaveError,
    frame::Tag,
    loss::Tally,
    options::{FileFormat, MinFree, SaveOptions},
    rotate::{Rotation, parse_size, sanitise},
};
use self::{
    file::{Opener, Stream},
    frame::Frame,
    pcapng::Statistics,
    rotate::{Names, Next},
};
use crate::packet::{CaptureCounts, CaptureIface, LinkType, Packet};

/// As much is collected before it is written.
const BUFFER: usize = 1 << 20;
/// Names of addresses that are kept for the next file of a rotation.
const MOST_NAMES: usize = 1 << 16;
/// Names in a block. Readers refuse blocks of many megabytes.
const NAMES_PER_BLOCK: usize = 256;

/// What became of a packet that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Saved {
    /// It was taken.
    Yes,
    /// It was not: there have been as many files as `-W` wants. The capture has come to its end.
    Complete,
}

struct Iface {
    described: CaptureIface,
    snaplen: usize,
    /// Packets that were taken.
    taken: u64,
    /// Those of them that have been written.
    written: u64,
    /// Those of them, and those that came after the end, that never will be.
    lost: u64,
    /// What the packets themselves said of losses before them.
    lost_ring: u64,
    /// What else is said of it at the end.
    remark: String,
}

/// A capture's file, or one after another.
pub struct SaveFile {
    options: SaveOptions,
    opener: Opener,
    files: Names,
    /// `None` when it is finished or has failed.
    stream: Option<Stream>,
    /// The current file.
    path: PathBuf,
    buffer: Vec<u8>,
    /// pcap: the interface of each packet in the buffer, which is not in the record.
    order: Vec<u32>,
    /// A file that is larger is full, if it holds a packet.
    full: u64,
    ifaces: Vec<Iface>,
    names: BTreeSet<(IpAddr, String)>,
    /// The interface of a packet for which there is no file yet.
    waiting: Option<usize>,
}

impl SaveFile {
    /// Makes the first file. A named pipe waits here for its reader.
    ///
    /// # Errors
    ///
    /// If there is a file of that name already, if the options make no sense together, or if the
    /// kernel refuses.
    pub fn create(options: SaveOptions) -> Result<Self, SaveError> {
        let opener = file::opener(options.owner);
        Self::with_opener(options, opener, TimeZone::system())
    }

    fn with_opener(
        options: SaveOptions,
        opener: Opener,
        zone: TimeZone,
    ) -> Result<Self, SaveError> {
        let rotation = options.rotation;
        if rotate::is_stdout(&options.path)
            && (rotation.size.is_some() || rotation.seconds.is_some())
        {
            return Err(SaveError::RotatedStdout);
        }
        let path = options.path.clone();
        let files = Names::new(path, rotation, zone, options.start, options.force)?;
        let mut save = Self {
            path: files.path(),
            files,
            opener,
            stream: None,
            buffer: Vec::with_capacity(BUFFER + (BUFFER >> 2)),
            order: Vec::new(),
            full: u64::MAX,
            ifaces: Vec::new(),
            names: BTreeSet::new(),
            waiting: None,
            options,
        };
        save.begin(save.options.force)?;
        Ok(save)
    }

    /// Introduces an interface, and gives its number: that of those before.
    ///
    /// # Errors
    ///
    /// If it does not fit into a pcap file, which goes on without it; or if the file is closed: it has
    /// its number then too, and its packets are counted as lost.
    pub fn interface(&mut self, iface: &CaptureIface) -> Result<usize, SaveError> {
        let mut snaplen = real_snaplen(iface.snaplen);
        match self.options.format {
            _ if self.stream.is_none() => {}
            FileFormat::Pcapng => pcapng::interface(&mut self.buffer, iface),
            FileFormat::Pcap => match self.ifaces.first() {
                None => pcap::header(&mut self.buffer, iface.link_type, snaplen),
                Some(Iface {
                    described: first, ..
                }) if first.link_type != iface.link_type => {
                    return Err(SaveError::LinkType {
                        name: iface.name.clone(),
                        link_type: iface.link_type.0,
                        first: first.link_type.0,
                    });
                }
                // What is longer than the file's header says is an error to its readers.
                Some(first) => snaplen = snaplen.min(real_snaplen(first.described.snaplen)),
            },
        }
        self.ifaces.push(Iface {
            described: iface.clone(),
            snaplen: snaplen as usize,
            taken: 0,
            written: 0,
            lost: 0,
            lost_ring: 0,
            remark: String::new(),
        });
        if self.stream.is_none() {
            return Err(SaveError::Closed);
        }
        self.set_full();
        Ok(self.ifaces.len() - 1)
    }

    /// Has the statistics of an interface, at the end of each file, say something more.
    pub fn remark(&mut self, iface: usize, text: String) {
        if let Some(iface) = self.ifaces.get_mut(iface) {
            iface.remark = text;
        }
    }

    /// Tells names of addresses. pcap has no place for them.
    pub fn names(&mut self, names: &[(IpAddr, String)]) {
        if self.options.format == FileFormat::Pcap || self.stream.is_none() {
            return;
        }
        let mut new = Vec::new();
        for name in names {
            if self.names.len() < MOST_NAMES && self.names.insert(name.clone()) {
                new.push(name.clone());
            }
        }
        write_names(&mut self.buffer, &new);
        self.set_full();
    }

    /// Takes a packet. `data` and `orig_len` are those without the `tag` that is put back into it.
    ///
    /// # Errors
    ///
    /// If the file cannot be written or the next one not be made. The file is then closed, and
    /// whatever comes after is counted as lost.
    #[inline]
    pub fn packet(&mut self, packet: &Packet<'_>, tag: Option<Tag>) -> Result<Saved, SaveError> {
        let is_over = packet.time >= self.files.next_slice;
        if (is_over || self.size() > self.full)
            && self.turn_for(packet.iface, packet.time)? == Saved::Complete
        {
            return Ok(Saved::Complete);
        }
        let Some(iface) = self.ifaces.get_mut(packet.iface) else {
            return Err(SaveError::NoInterface(packet.iface));
        };
        iface.taken += 1;
        iface.lost_ring = iface.lost_ring.saturating_add(packet.lost);
        if self.stream.is_none() {
            iface.lost += 1;
            return Err(SaveError::Closed);
        }
        let frame = Frame::new(packet.data, packet.orig_len, tag, iface.snaplen);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is an index of a vector that is far shorter"
        )]
        let number = packet.iface as u32;
        match self.options.format {
            FileFormat::Pcapng => pcapng::packet(
                &mut self.buffer,
                number,
                packet.time,
                packet.direction,
                packet.lost,
                &frame,
            ),
            FileFormat::Pcap => {
                pcap::packet(&mut self.buffer, packet.time, &frame);
                self.order.push(number);
            }
        }
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(Saved::Yes)
    }

    /// Writes what is in the buffer.
    ///
    /// # Errors
    ///
    /// If that fails. The file is then closed.
    pub fn flush(&mut self) -> Result<(), SaveError> {
        let Some(stream) = &mut self.stream else {
            return Err(SaveError::Closed);
        };
        if let Err((arrived, cause)) = stream.write(&self.buffer) {
            return Err(self.fail(arrived, cause));
        }
        self.buffer.clear();
        self.order.clear();
        for iface in &mut self.ifaces {
            iface.written = iface.taken - iface.lost;
        }
        Ok(())
    }

    /// Ends the file: with what became of each interface's packets, if it is pcapng. `end` is when
    /// the capture ended. Nothing is left to do where it has failed before.
    ///
    /// # Errors
    ///
    /// If what is left cannot be written.
    pub fn finish(&mut self, counts: &[CaptureCounts], end: u64) -> Result<(), SaveError> {
        if self.stream.is_none() {
            return Ok(());
        }
        self.statistics(counts, end);
        if self.options.format == FileFormat::Pcap && self.ifaces.is_empty() {
            pcap::header(&mut self.buffer, LinkType::ETHERNET, real_snaplen(0));
        }
        self.flush()?;
        self.stream = None;
        Ok(())
    }

    /// Where the packets of an interface are, at any time.
    #[must_use]
    pub fn tally(&self, iface: usize) -> Tally {
        self.ifaces.get(iface).map_or(Tally::default(), |iface| {
            let Iface {
                taken,
                written,
                lost,
                ..
            } = *iface;
            Tally {
                written,
                buffered: taken - written - lost,
                lost,
            }
        })
    }

    /// Whether somebody reads what is written while it is: a pipe.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.stream.as_ref().is_some_and(Stream::is_pipe)
    }

    /// The current file.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    fn size(&self) -> u64 {
        let written = self.stream.as_ref().map_or(0, |stream| stream.written);
        written + self.buffer.len() as u64
    }

    /// The first file is not full before its first packet, whatever its head takes; those after it
    /// begin with one.
    fn set_full(&mut self) {
        if self.ifaces.iter().all(|iface| iface.taken == 0) {
            self.full = self.files.full.max(self.size());
        }
    }

    /// Goes on with another file because a packet has come that does not go into this.
    #[cold]
    fn turn_for(&mut self, iface: usize, now: u64) -> Result<Saved, SaveError> {
        if self.stream.is_none() {
            return Ok(Saved::Yes);
        }
        self.waiting = Some(iface);
        let turned = self.turn(now);
        let waiting = self.waiting.take();
        if turned.is_err()
            && let Some(iface) = waiting.and_then(|iface| self.ifaces.get_mut(iface))
        {
            iface.taken += 1;
            iface.lost += 1;
        }
        turned
    }

    fn turn(&mut self, now: u64) -> Result<Saved, SaveError> {
        let next = if now >= self.files.next_slice {
            self.files.by_time(now, self.options.force)?
        } else {
            self.files.by_size()
        };
        let (path, is_ours) = match next {
            Next::Same => return Ok(Saved::Yes),
            Next::Enough => return Ok(Saved::Complete),
            Next::File { path, is_ours } => (path, is_ours),
        };
        let counts: Vec<_> = self.ifaces.iter().map(Iface::counts).collect();
        self.finish(&counts, now)?;
        self.path = path;
        self.begin(is_ours || self.options.force)?;
        Ok(Saved::Yes)
    }

    /// Opens the file and writes its head.
    fn begin(&mut self, replace: bool) -> Result<(), SaveError> {
        let lower = (self.opener)(&self.path, replace).map_err(|source| SaveError::Create {
            path: self.path.display().to_string(),
            source,
        })?;
        self.stream = Some(Stream::new(lower, self.options.min_free));
        match self.options.format {
            FileFormat::Pcapng => {
                let application = concat!("nstrace ", env!("CARGO_PKG_VERSION"));
                let os = format!("Linux {}", self.options.kernel);
                pcapng::section(&mut self.buffer, application, &os);
                for iface in &self.ifaces {
                    pcapng::interface(&mut self.buffer, &iface.described);
                }
                let names: Vec<_> = self.names.iter().cloned().collect();
                write_names(&mut self.buffer, &names);
            }
            FileFormat::Pcap => {
                if let Some(Iface { described, .. }) = self.ifaces.first() {
                    let snaplen = real_snaplen(described.snaplen);
                    pcap::header(&mut self.buffer, described.link_type, snaplen);
                }
            }
        }
        self.set_full();
        Ok(())
    }

    fn statistics(&mut self, counts: &[CaptureCounts], end: u64) {
        if self.options.format == FileFormat::Pcap {
            return;
        }
        for ((number, counts), iface) in (0..).zip(counts).zip(&self.ifaces) {
            let statistics = Statistics {
                iface: number,
                remark: &iface.remark,
                start: self.options.start,
                end,
                matched: counts.matched,
                lost_ring: counts.lost_ring,
                captured: counts.captured,
                lost_disk: counts.lost_disk,
            };
            pcapng::statistics(&mut self.buffer, &statistics);
        }
    }
}

impl Drop for SaveFile {
    /// For ways out that nobody thought of.
    fn drop(&mut self) {
        if self.stream.is_some()
            && let Err(error) = self.flush()
        {
            tracing::error!(%error, "the last packets are not in the file");
        }
    }
}

impl Iface {
    /// As far as the packets tell.
    fn counts(&self) -> CaptureCounts {
        let captured = self.taken - self.lost;
        CaptureCounts {
            matched: captured.saturating_add(self.lost_ring),
            captured,
            lost_ring: self.lost_ring,
            lost_disk: 0,
        }
    }
}

fn write_names(out: &mut Vec<u8>, names: &[(IpAddr, String)]) {
    for some in names.chunks(NAMES_PER_BLOCK) {
        pcapng::names(out, some);
    }
}

/// The snaplen that 0 stands for, and that none exceeds: readers refuse longer packets.
fn real_snaplen(snaplen: u32) -> u32 {
    const LONGEST: u32 = 262_144;
    match snaplen {
        0 => LONGEST,
        snaplen => snaplen.min(LONGEST),
    }
}
