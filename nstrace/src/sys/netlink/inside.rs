//! What a page about one namespace needs beyond links: routes, neighbours, queues, filters, ports.
//!
//! Asked for once, by hand: here the packet crate decodes.

use std::net::IpAddr;

use rtnetlink::{
    packet_core::NLM_F_DUMP,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        link::{
            AfSpecBridge, BridgePortState, BridgeVlanInfoFlags, InfoBridgePort, InfoData,
            InfoPortData, InfoVlan, LinkAttribute, LinkExtentMask, LinkInfo, LinkMessage,
        },
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope, RouteType, RouteVia},
        tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption, TcStats2},
    },
};

use super::{NetlinkError, RouteSocket};
use crate::{
    sys::tc::parent,
    topology::{
        inside::{Neighbour, Port, PortVlan, Program, Qdisc, Route},
        model::Ifindex,
    },
};
use nstrace_ebpf::wire::Hook;

/// The tables of local and of no addresses: what is in them follows from addresses.
const LOCAL_TABLE: u32 = 255;

/// An interface's name by its index.
pub type NameOf<'a> = &'a dyn Fn(u32) -> String;

impl RouteSocket {
    /// Routes of both families, but those of the local table.
    ///
    /// # Errors
    ///
    /// If a dump fails.
    #[doc(alias = "RTM_GETROUTE")]
    pub fn routes(&mut self, name_of: NameOf<'_>) -> Result<Vec<Route>, NetlinkError> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let answers = self.dump("list routes", &RouteNetlinkMessage::GetRoute(message))?;
            routes.extend(
                answers
                    .iter()
                    .filter_map(|answer| match answer {
                        RouteNetlinkMessage::NewRoute(route) => Some(route),
                        _ => None,
                    })
                    .flat_map(|route| of_route(route, name_of)),
            );
        }
        routes.retain(|route| route.table != LOCAL_TABLE);
        Ok(routes)
    }

    /// The neighbour table, but for what needs no asking.
    ///
    /// # Errors
    ///
    /// If the dump fails.
    #[doc(alias = "RTM_GETNEIGH")]
    pub fn neighbours(&mut self, name_of: NameOf<'_>) -> Result<Vec<Neighbour>, NetlinkError> {
        let message = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let answers = self.dump("list neighbours", &message)?;
        Ok(answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewNeighbour(neighbour) => of_neighbour(neighbour, name_of),
                _ => None,
            })
            .collect())
    }

    /// Every queueing discipline, with its device.
    ///
    /// # Errors
    ///
    /// If the dump fails.
    #[doc(alias = "RTM_GETQDISC")]
    pub fn qdiscs(&mut self) -> Result<Vec<(Ifindex, Qdisc)>, NetlinkError> {
        let dump = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let answers = self.dump("list qdiscs", &dump)?;
        Ok(answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewQueueDiscipline(qdisc) => {
                    Some((Ifindex(qdisc.header.index.cast_unsigned()), of_qdisc(qdisc)))
                }
                _ => None,
            })
            .collect())
    }

    /// The filters on a hook of the clsact qdisc, those that run first in front.
    ///
    /// # Errors
    ///
    /// If the device is gone.
    #[doc(alias = "RTM_GETTFILTER")]
    pub fn filters(&mut self, ifindex: Ifindex, hook: Hook) -> Result<Vec<Program>, NetlinkError> {
        let mut dump = TcMessage::with_index(ifindex.0.cast_signed());
        dump.header.parent = parent(hook);
        let answers = self.dump("list filters", &RouteNetlinkMessage::GetTrafficFilter(dump))?;
        let mut programs: Vec<Program> = answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewTrafficFilter(filter)
                    if filter.header.index == ifindex.0.cast_signed() =>
                {
                    of_filter(filter, hook)
                }
                _ => None,
            })
            .collect();
        programs.sort_by_key(|program| program.priority);
        Ok(programs)
    }

    /// The tag of a VLAN device, and how a device is in a bridge.
    ///
    /// # Errors
    ///
    /// If the device is gone.
    pub fn vlan_and_port(
        &mut self,
        ifindex: Ifindex,
    ) -> Result<(Option<u16>, Option<Port>), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = ifindex.0;
        let mask = vec![LinkExtentMask::SkipStats];
        message.attributes.push(LinkAttribute::ExtMask(mask));
        let answers = self.request("look up a link", RouteNetlinkMessage::GetLink(message), 0)?;
        let infos = answers.iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => {
                link.attributes.iter().find_map(|one| match one {
                    LinkAttribute::LinkInfo(infos) => Some(infos),
                    _ => None,
                })
            }
            _ => None,
        });
        let (mut vlan, mut port) = (None, None);
        for info in infos.into_iter().flatten() {
            match info {
                LinkInfo::Data(InfoData::Vlan(data)) => {
                    vlan = data.iter().find_map(|one| match one {
                        InfoVlan::Id(id) => Some(*id),
                        _ => None,
                    });
                }
                LinkInfo::PortData(InfoPortData::BridgePort(data)) => {
                    port = Some(Port {
                        vlans: self.port_vlans(ifindex)?,
                        ..of_port(data)
                    });
                }
                _ => {}
            }
        }
        Ok((vlan, port))
    }

    /// The VLANs of a bridge's port.
    fn port_vlans(&mut self, ifindex: Ifindex) -> Result<Vec<PortVlan>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.interface_family = AddressFamily::Bridge;
        let mask = vec![LinkExtentMask::Brvlan];
        message.attributes.push(LinkAttribute::ExtMask(mask));
        let message = RouteNetlinkMessage::GetLink(message);
        let answers = self.request("list VLANs", message, NLM_F_DUMP)?;
        let of_port = answers.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) if link.header.index == ifindex.0 => Some(link),
            _ => None,
        });
        Ok(of_port
            .flat_map(|link| &link.attributes)
            .filter_map(|attribute| match attribute {
                LinkAttribute::AfSpecBridge(specs) => Some(specs),
                _ => None,
            })
            .flatten()
            .filter_map(|spec| match spec {
                AfSpecBridge::VlanInfo(vlan) => Some(PortVlan {
                    id: vlan.vid,
                    pvid: vlan.flags.contains(BridgeVlanInfoFlags::Pvid),
                    untagged: vlan.flags.contains(BridgeVlanInfoFlags::Untagged),
                }),
                _ => None,
            })
            .collect())
    }
}

const fn address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

const fn via(via: &RouteVia) -> Option<IpAddr> {
    match via {
        RouteVia::Inet(address) => Some(IpAddr::V4(*address)),
        RouteVia::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

/// What a message says: one route, or one for each next hop.
fn of_route(message: &RouteMessage, name_of: NameOf<'_>) -> Vec<Route> {
    let header = &message.header;
    let mut route = Route {
        destination: "default".to_owned(),
        kind: match header.kind {
            RouteType::BlackHole => "blackhole".to_owned(),
            RouteType::Other(number) => number.to_string(),
            kind => format!("{kind:?}").to_lowercase(),
        },
        protocol: header.protocol.to_string().to_lowercase(),
        scope: match header.scope {
            RouteScope::Universe => "global".to_owned(),
            scope => scope.to_string(),
        },
        table: header.table.into(),
        ..Route::default()
    };
    let mut hops = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => {
                if let Some(to) = address(to) {
                    route.destination = format!("{to}/{}", header.destination_prefix_length);
                }
            }
            RouteAttribute::Gateway(gateway) => route.gateway = address(gateway),
            RouteAttribute::Via(gateway) => route.gateway = via(gateway),
            RouteAttribute::PrefSource(source) => route.source = address(source),
            RouteAttribute::Oif(index) => route.device = Some(name_of(*index)),
            RouteAttribute::Priority(metric) => route.metric = Some(*metric),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::MultiPath(several) => hops.clone_from(several),
            _ => {}
        }
    }
    if hops.is_empty() {
        return vec![route];
    }
    let of_hop = |hop: &rtnetlink::packet_route::route::RouteNextHop| {
        let gateway = hop.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Gateway(gateway) => address(gateway),
            RouteAttribute::Via(gateway) => via(gateway),
            _ => None,
        });
        Route {
            gateway,
            device: Some(name_of(hop.interface_index)),
            ..route.clone()
        }
    };
    hops.iter().map(of_hop).collect()
}

fn of_neighbour(message: &NeighbourMessage, name_of: NameOf<'_>) -> Option<Neighbour> {
    use rtnetlink::packet_route::neighbour::NeighbourState;

    // Multicast and broadcast: every namespace has them.
    if message.header.state == NeighbourState::Noarp {
        return None;
    }
    let mut found = None;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => {
                found = Some(IpAddr::V4(*address));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
                found = Some(IpAddr::V6(*address));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                mac = Some(bytes.join(":"));
            }
            _ => {}
        }
    }
    Some(Neighbour {
        address: found?,
        device: name_of(message.header.ifindex),
        mac,
        state: message.header.state.to_string(),
    })
}

/// As tc(8) writes it.
fn handle(handle: TcHandle) -> String {
    match u32::from(handle) {
        u32::MAX => "root".to_owned(),
        0xffff_fff1 => "ingress".to_owned(),
        _ if handle.minor == 0 => format!("{:x}:", handle.major),
        _ => format!("{:x}:{:x}", handle.major, handle.minor),
    }
}

fn of_qdisc(message: &TcMessage) -> Qdisc {
    let mut qdisc = Qdisc {
        handle: handle(message.header.handle),
        parent: handle(message.header.parent),
        ..Qdisc::default()
    };
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Kind(kind) => qdisc.kind.clone_from(kind),
            TcAttribute::Stats2(stats) => {
                for one in stats {
                    match one {
                        TcStats2::Basic(basic) => {
                            (qdisc.bytes, qdisc.packets) = (basic.bytes, basic.packets.into());
                        }
                        TcStats2::Queue(queue) => {
                            qdisc.drops = queue.drops.into();
                            qdisc.overlimits = queue.overlimits.into();
                            qdisc.backlog = queue.backlog.into();
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    qdisc
}

fn of_filter(message: &TcMessage, hook: Hook) -> Option<Program> {
    // Of each priority there is a message without a handle, about none of its filters.
    if u32::from(message.header.handle) == 0 {
        return None;
    }
    let mut program = Program {
        hook: hook_name(hook),
        mechanism: "clsact",
        id: None,
        name: String::new(),
        priority: Some((message.header.info >> 16) as u16),
        ours: false,
    };
    let mut kind = String::new();
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Kind(name) => kind.clone_from(name),
            TcAttribute::Options(options) => {
                for option in options {
                    match option {
                        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => {
                            program.name.clone_from(name);
                        }
                        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => program.id = Some(*id),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    program.ours = program.name.starts_with("nstrace:");
    if program.name.is_empty() {
        program.name = kind;
    }
    Some(program)
}

fn of_port(data: &[InfoBridgePort]) -> Port {
    let mut port = Port::default();
    for one in data {
        match one {
            // The upper bits of the id are its priority.
            InfoBridgePort::PortNumber(number) => port.number = Some(number & 0x3ff),
            InfoBridgePort::State(state) => {
                port.state = match state {
                    BridgePortState::Other(number) => number.to_string(),
                    state => format!("{state:?}").to_lowercase(),
                };
            }
            _ => {}
        }
    }
    port
}

/// A hook's name in all output.
#[must_use]
pub const fn hook_name(hook: Hook) -> &'static str {
    match hook {
        Hook::Ingress => "ingress",
        Hook::Egress => "egress",
    }
}
