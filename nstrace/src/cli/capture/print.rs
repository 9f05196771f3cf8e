//! How packets are printed.

use std::{collections::HashMap, net::IpAddr, sync::mpsc};

use jiff::tz::TimeZone;

use super::super::args::{CaptureArgs, PacketFormat};
use crate::{
    engine::capture::PrintPacket,
    packet::{CaptureIface, Packet},
    services::Services,
    sink::packet::{Hex, Names, NoNames, Proto, Style, Text, TimeStyle, json},
    sys,
};

/// What prints packets as the options say; each line begins with the netns if there are several.
pub(super) fn printer(args: &CaptureArgs, is_several: bool) -> Box<dyn PrintPacket> {
    if args.output == PacketFormat::Json {
        return Box::new(Json);
    }
    let style = Style {
        link: args.link,
        verbose: args.verbose,
        quiet: args.quiet,
        hex: match args.hex {
            0 => Hex::None,
            1 => Hex::Network,
            _ => Hex::Link,
        },
        ascii: args.ascii,
        time: TimeStyle::from_count(args.time),
        prefix: is_several,
    };
    let (known, told) = mpsc::channel();
    let names: Box<dyn Names + Send> = if args.resolve {
        Box::new(Resolver {
            told,
            known: HashMap::new(),
            services: sys::services::services(),
        })
    } else {
        Box::new(NoNames)
    };
    Box::new(Lines {
        text: Text::new(style, TimeZone::system(), names),
        line: String::new(),
        known: args.resolve.then_some(known),
    })
}

struct Lines {
    text: Text,
    line: String,
    /// To the resolver, which is the text's own.
    known: Option<mpsc::Sender<Vec<(IpAddr, String)>>>,
}

impl PrintPacket for Lines {
    fn packet(&mut self, out: &mut Vec<u8>, packet: &Packet<'_>, iface: &CaptureIface) {
        self.line.clear();
        self.text.packet(&mut self.line, packet, iface);
        out.extend_from_slice(self.line.as_bytes());
    }

    fn names(&mut self, names: &[(IpAddr, String)]) {
        if let Some(known) = &self.known
            && known.send(names.to_vec()).is_err()
        {
            tracing::debug!("nobody resolves");
        }
    }
}

struct Json;

impl PrintPacket for Json {
    fn packet(&mut self, out: &mut Vec<u8>, packet: &Packet<'_>, iface: &CaptureIface) {
        if let Err(error) = json::line(out, packet, iface) {
            tracing::error!(%error, "a packet has no JSON");
        }
    }

    fn names(&mut self, _names: &[(IpAddr, String)]) {}
}

/// `--resolve`: names of pods first, then whatever the system's resolver says. It waits for that, as
/// tcpdump does; packets that come meanwhile wait in the rings.
struct Resolver {
    told: mpsc::Receiver<Vec<(IpAddr, String)>>,
    known: HashMap<IpAddr, Option<String>>,
    services: Services,
}

/// Answers that are remembered. Then all are forgotten: a table that a flood of addresses fills helps
/// nobody.
const MOST_NAMES: usize = 1 << 16;

impl Names for Resolver {
    fn host(&mut self, address: IpAddr) -> Option<String> {
        for (address, name) in self.told.try_iter().flatten() {
            self.known.insert(address, Some(name));
        }
        if self.known.len() >= MOST_NAMES {
            self.known.clear();
        }
        let known = self.known.entry(address);
        known
            .or_insert_with(|| sys::resolve::name_of(address))
            .clone()
    }

    fn port(&mut self, port: u16, proto: Proto) -> Option<String> {
        let protocol = match proto {
            Proto::Tcp => 6,
            Proto::Udp => 17,
        };
        self.services.name(protocol, port).map(ToOwned::to_owned)
    }
}
