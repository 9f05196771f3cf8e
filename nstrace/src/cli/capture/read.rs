//! `-r`: a capture file instead of namespaces. Needs no privileges.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, Read},
    net::IpAddr,
    path::Path,
};

use super::{
    super::{Failure, args::CaptureArgs},
    filter, output,
};
use crate::{
    engine::capture::{OutputError, Writer},
    error_chain,
    filter::{Source, compile},
    packet::{CaptureCounts, CaptureIface, LinkType, Packet},
    savefile::{Item, ReadError, Reader},
    sys::pcap::{Library, Program},
    topology::target::{Pattern, Pods, Target},
    untrusted::escape,
};

pub(super) fn run(
    args: &CaptureArgs,
    path: &Path,
    targets: Vec<Target>,
    expression: String,
) -> Result<(), Failure> {
    if !args.select.selector.is_empty() {
        return Err(Failure::Usage {
            message: "a file knows no labels".to_owned(),
            hint: Some("nstrace capture -r FILE [NAME..] [FILTER]".to_owned()),
        });
    }
    let names = targets
        .into_iter()
        .map(|target| match target {
            Target::Name(name) => Ok(name),
            other => Err(Failure::Usage {
                message: format!("a file knows namespaces by their names, not by `{other}`"),
                hint: Some("nstrace capture -r FILE [NAME..] [FILTER]".to_owned()),
            }),
        })
        .collect::<Result<_, _>>()?;
    let meant = Meant {
        names,
        pods: args.select.clone().selection(Vec::new(), None).pods,
    };
    let unreadable = |error: &dyn std::error::Error| Failure::Failed {
        message: format!(
            "read {}: {}",
            escape(&path.display().to_string()),
            error_chain(error)
        ),
        hint: None,
    };
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| unreadable(&error))?)
    };
    let mut reader = Reader::new(input).map_err(|error| unreadable(&error))?;
    let mut replay = Replay::new(args, meant, expression)?;
    let read = replay.all(&mut reader)?;
    replay.finish()?;
    read.map_err(|error| unreadable(&error))
}

/// A filter for each link type of a file.
struct Filters {
    expression: String,
    snaplen: u32,
    library: Option<Library>,
    programs: HashMap<LinkType, Program>,
}

impl Filters {
    fn new(expression: String, snaplen: u32) -> Result<Self, Failure> {
        let library = if expression.trim().is_empty() {
            None
        } else {
            Some(Library::open().map_err(|error| filter::of_compile(&error.into()))?)
        };
        let mut filters = Self {
            expression,
            snaplen,
            library,
            programs: HashMap::new(),
        };
        // A wrong expression is an error even if there is no packet.
        filters
            .add(LinkType::ETHERNET)
            .or_else(|failure| match failure {
                Failure::Expression { .. } => Err(failure),
                // Another link type may have a meaning for it.
                _ => Ok(()),
            })?;
        Ok(filters)
    }

    fn add(&mut self, link_type: LinkType) -> Result<(), Failure> {
        let Some(library) = &self.library else {
            return Ok(());
        };
        if self.programs.contains_key(&link_type) {
            return Ok(());
        }
        let code = compile(
            library,
            link_type,
            self.snaplen,
            &self.expression,
            Source::File,
        )
        .map_err(|error| filter::of_compile(&error))?;
        if code
            .iter()
            .any(crate::filter::classic::Instruction::is_beside_bytes)
        {
            return Err(Failure::Usage {
                message: "a file does not tell what this filter asks for".to_owned(),
                hint: Some("for the direction of packets: -Q in, or -Q out".to_owned()),
            });
        }
        let program = library.program(code).ok_or_else(|| Failure::Failed {
            message: "libpcap made a filter that it does not take itself".to_owned(),
            hint: None,
        })?;
        self.programs.insert(link_type, program);
        Ok(())
    }

    fn matches(&self, link_type: LinkType, packet: &Packet<'_>) -> bool {
        self.library.is_none()
            || self
                .programs
                .get(&link_type)
                .is_some_and(|program| program.matches(packet.data, packet.orig_len))
    }
}

/// Which namespaces of a file are meant, by their names alone.
struct Meant {
    names: Vec<Pattern>,
    pods: Option<Pods>,
}

impl Meant {
    fn has(&self, netns: &str, iface: &str) -> bool {
        // Only pods' names have a Kubernetes namespace in front.
        let (namespace, pod) = netns.split_once('/').unwrap_or(("", netns));
        let is_pod = match &self.pods {
            None => true,
            Some(Pods::OfAny) => !namespace.is_empty(),
            Some(Pods::Of(pattern)) => pattern.matches(namespace),
        };
        let is_called = |name: &Pattern| [netns, iface, pod].iter().any(|one| name.matches(one));
        is_pod && (self.names.is_empty() || self.names.iter().any(is_called))
    }
}

struct Replay<'a> {
    args: &'a CaptureArgs,
    meant: Meant,
    filters: Filters,
    ifaces: Vec<CaptureIface>,
    /// Made with the first packet, when the interfaces are known.
    writer: Option<Writer>,
    /// Those that the writer knows.
    introduced: usize,
    /// Names that it does not know yet.
    names: Vec<(IpAddr, String)>,
    left: u64,
}

impl<'a> Replay<'a> {
    fn new(args: &'a CaptureArgs, meant: Meant, expression: String) -> Result<Self, Failure> {
        Ok(Self {
            filters: Filters::new(expression, args.snaplen())?,
            args,
            meant,
            ifaces: Vec::new(),
            writer: None,
            introduced: 0,
            names: Vec::new(),
            left: args.count.unwrap_or(u64::MAX),
        })
    }

    /// To the end of the file, or of what was asked for; an error in the file is given back, so that
    /// all before it is written first.
    fn all<R: Read>(&mut self, reader: &mut Reader<R>) -> Result<Result<(), ReadError>, Failure> {
        while self.left > 0 {
            let item = match reader.next_item() {
                None => break,
                Some(Ok(item)) => item,
                Some(Err(error)) => return Ok(Err(error)),
            };
            match item {
                Item::Interface(iface) => {
                    self.filters.add(iface.link_type)?;
                    self.ifaces.push(iface);
                }
                Item::Names(names) => self.names.extend(names),
                Item::Statistics(_) => {}
                Item::Packet(packet) => self.packet(&packet)?,
            }
        }
        Ok(Ok(()))
    }

    fn writer(&mut self) -> Result<&mut Writer, Failure> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let netnses: HashSet<&str> = self
                    .ifaces
                    .iter()
                    .map(|iface| iface.netns.as_str())
                    .collect();
                let outputs = output::outputs(self.args, netnses.len() > 1)?;
                none.insert(Writer::new(outputs))
            }
        };
        for iface in &self.ifaces[self.introduced..] {
            writer.interface(iface);
        }
        self.introduced = self.ifaces.len();
        if !self.names.is_empty() {
            writer.names(&std::mem::take(&mut self.names));
        }
        Ok(writer)
    }

    fn packet(&mut self, packet: &Packet<'_>) -> Result<(), Failure> {
        let Some(iface) = self.ifaces.get(packet.iface) else {
            return Ok(());
        };
        let bits = self.args.direction.bits();
        let is_meant = self.meant.has(&iface.netns, &iface.name)
            && packet
                .direction
                .is_none_or(|direction| bits & 1 << direction as u32 != 0)
            && self.filters.matches(iface.link_type, packet);
        if !is_meant {
            return Ok(());
        }
        let iface = iface.clone();
        let mut packet = *packet;
        let most = packet.data.len().min(self.args.snaplen() as usize);
        packet.data = &packet.data[..most];
        let writer = self.writer()?;
        let is_complete = writer.packet(&packet, None, &iface);
        check(writer)?;
        self.left = if is_complete { 0 } else { self.left - 1 };
        Ok(())
    }

    fn finish(mut self) -> Result<(), Failure> {
        let count = self.ifaces.len();
        let writer = self.writer()?;
        writer.flush();
        let counts: Vec<CaptureCounts> = (0..count)
            .map(|iface| {
                let captured = writer.count(iface).0;
                CaptureCounts {
                    matched: captured,
                    captured,
                    ..CaptureCounts::default()
                }
            })
            .collect();
        writer.finish(&counts, crate::sys::clock::clocks().wall);
        check(writer)
    }
}

/// What could not be written ends it. A reader that has seen enough is no failure.
fn check(writer: &mut Writer) -> Result<(), Failure> {
    match writer.failure() {
        None => Ok(()),
        Some(OutputError::Save(error)) => Err(output::of_save(&error)),
        Some(error) => Err(Failure::output(error_chain(&error))),
    }
}
