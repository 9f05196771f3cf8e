//! rtnetlink queries: links, addresses, namespace ids.
//!
//! Dumps are strict (`NETLINK_GET_STRICT_CHK`, 4.20), so that a target namespace is honoured
//! rather than ignored, and ask for neither statistics nor VFs: a dump with VF info holds RTNL for
//! hundreds of milliseconds on some NICs. A dump that the kernel marks as interrupted is made
//! again.
//!
//! The socket blocks; it belongs on the scanner's thread, never on the runtime's.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage,
        NetlinkPayload,
    },
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage},
        link::{InfoKind, LinkAttribute, LinkExtentMask, LinkInfo, LinkLayerType, LinkMessage},
        nsid::{NsidAttribute, NsidMessage},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

use crate::topology::model::{Ifindex, Link, Nsid};

/// A netlink request that failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket could not be made.
    #[error("open a netlink socket")]
    Open(#[source] io::Error),
    /// Sending or receiving failed.
    #[error("exchange netlink messages: {request}")]
    Exchange {
        /// What was asked.
        request: &'static str,
        /// What the socket said.
        #[source]
        source: io::Error,
    },
    /// The kernel refused.
    #[error("netlink: {request}")]
    Refused {
        /// What was asked.
        request: &'static str,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The kernel's tables changed under the dump each time it was made.
    #[error("netlink: {request}: interrupted {DUMP_ATTEMPTS} times in a row")]
    Interrupted {
        /// What was asked.
        request: &'static str,
    },
}

impl NetlinkError {
    /// The kernel's error number, where it refused.
    #[must_use]
    pub fn refused_with(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

/// A dump is interrupted when a link changes while it runs, which is over in microseconds.
const DUMP_ATTEMPTS: usize = 16;
/// The kernel fills at most 32 KiB of one read.
const RECEIVE_BUFFER: usize = 64 << 10;

/// `include/uapi/linux/rtnetlink.h`.
const RTM_NEWLINK: u16 = 16;

/// One answer to a request: a message, or the end of the answers.
enum Answer {
    Message(RouteNetlinkMessage),
    End,
}

/// A blocking rtnetlink socket of the namespace it was opened in.
pub struct RouteSocket {
    socket: Socket,
    buffer: Vec<u8>,
    sequence: u32,
}

impl std::fmt::Debug for RouteSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteSocket")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl RouteSocket {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors.
    pub fn open() -> Result<Self, NetlinkError> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_netlink_get_strict_chk(true)?;
            Ok(socket)
        };
        let socket = open().map_err(NetlinkError::Open)?;
        Ok(Self {
            socket,
            buffer: vec![0; RECEIVE_BUFFER],
            sequence: 0,
        })
    }

    /// The links of this socket's namespace, or of the one that it knows as `target`.
    ///
    /// # Errors
    ///
    /// If the namespace is gone (`EINVAL`), or `CAP_NET_ADMIN` in it is missing (`EPERM`).
    ///
    /// # Minimum kernel version
    ///
    /// 4.20, for `target` in strict dumps.
    #[doc(alias = "RTM_GETLINK")]
    pub fn links(&mut self, target: Option<Nsid>) -> Result<Vec<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message
            .attributes
            .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        if let Some(Nsid(nsid)) = target {
            message.attributes.push(LinkAttribute::IfNetnsId(nsid));
        }
        let answers = self.dump("list links", &RouteNetlinkMessage::GetLink(message))?;
        let mut links: Vec<Link> = answers.iter().filter_map(link).collect();
        links.sort_by_key(|link| link.ifindex);
        let mut message = AddressMessage::default();
        if let Some(Nsid(nsid)) = target {
            message
                .attributes
                .push(AddressAttribute::TargetNetNsId(nsid));
        }
        let answers = self.dump("list addresses", &RouteNetlinkMessage::GetAddress(message))?;
        for (ifindex, address) in answers.iter().filter_map(address) {
            if let Ok(at) = links.binary_search_by_key(&ifindex, |link| link.ifindex) {
                links[at].addresses.push(address);
            }
        }
        Ok(links)
    }

    /// One link of this socket's namespace, without its addresses.
    ///
    /// # Errors
    ///
    /// If there is none with this index (`ENODEV`).
    pub fn link(&mut self, ifindex: Ifindex) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = ifindex.0;
        message
            .attributes
            .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let message = RouteNetlinkMessage::GetLink(message);
        let answers = self.request("look up a link", message, 0)?;
        Ok(answers.iter().find_map(link))
    }

    /// The id under which this socket's namespace knows the one behind `netns`.
    ///
    /// # Errors
    ///
    /// If `netns` is not a network namespace (`EINVAL`).
    #[doc(alias = "RTM_GETNSID")]
    pub fn nsid_of(&mut self, netns: BorrowedFd<'_>) -> Result<Option<Nsid>, NetlinkError> {
        let mut message = NsidMessage::default();
        let fd = u32::try_from(netns.as_raw_fd()).unwrap_or_default();
        message.attributes.push(NsidAttribute::Fd(fd));
        let message = RouteNetlinkMessage::GetNsId(message);
        let answers = self.request("look up a namespace id", message, 0)?;
        let nsid = answers.iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewNsId(message) => {
                message
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        NsidAttribute::Id(nsid) => Some(*nsid),
                        _ => None,
                    })
            }
            _ => None,
        });
        // NETNSA_NSID_NOT_ASSIGNED is -1.
        Ok(nsid.filter(|nsid| *nsid >= 0).map(Nsid))
    }

    /// Dumps, again and again until nothing changed meanwhile.
    pub(super) fn dump(
        &mut self,
        request: &'static str,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            match self.request(request, message.clone(), NLM_F_DUMP) {
                Err(NetlinkError::Interrupted { .. }) => {}
                answer => return answer,
            }
        }
        Err(NetlinkError::Interrupted { request })
    }

    /// Sends one request and collects its answers.
    pub(super) fn request(
        &mut self,
        request: &'static str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.sequence_number = self.sequence;
        // A dump ends by itself; everything else is acknowledged, so that the end is known.
        let ack = if flags & NLM_F_DUMP == NLM_F_DUMP {
            0
        } else {
            NLM_F_ACK
        };
        message.header.flags = NLM_F_REQUEST | flags | ack;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let exchange = |source| NetlinkError::Exchange { request, source };
        self.socket.send(&bytes, 0).map_err(exchange)?;

        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            let received = self
                .socket
                .recv(&mut &mut self.buffer[..], 0)
                .map_err(exchange)?;
            let mut rest = &self.buffer[..received];
            while !rest.is_empty() {
                let Some(one) = next_message(&mut rest) else {
                    let source = io::Error::from(io::ErrorKind::InvalidData);
                    return Err(NetlinkError::Exchange { request, source });
                };
                // Answers to a request that was given up are still in the queue.
                if one.sequence_number() != self.sequence {
                    continue;
                }
                interrupted |= one.flags() & NLM_F_DUMP_INTR != 0;
                let refused = |source| NetlinkError::Refused { request, source };
                match decode(one.into_inner()).map_err(refused)? {
                    Some(Answer::Message(message)) => answers.push(message),
                    Some(Answer::End) if interrupted => {
                        return Err(NetlinkError::Interrupted { request });
                    }
                    Some(Answer::End) => return Ok(answers),
                    None => {}
                }
            }
        }
    }
}

/// Cuts the first message off `rest`; `None` if what stands there is not one.
fn next_message<'a>(rest: &mut &'a [u8]) -> Option<NetlinkBuffer<&'a [u8]>> {
    let message = NetlinkBuffer::new_checked(*rest).ok()?;
    let length = message.length() as usize;
    // Messages start at multiples of four (NLMSG_ALIGN).
    let (message, after) = rest.split_at(length);
    *rest = after
        .get(length.next_multiple_of(4) - length..)
        .unwrap_or_default();
    NetlinkBuffer::new_checked(message).ok()
}

/// Decodes one message; `None` for one that does not decode, which is passed over: a newer kernel
/// may say things that an older decoder does not know.
fn decode(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let deserialize = NetlinkMessage::<RouteNetlinkMessage>::deserialize;
    let decoded = deserialize(bytes).or_else(|error| {
        // struct nlmsghdr: length, type.
        let is_link = bytes.get(4..6) == Some(&RTM_NEWLINK.to_ne_bytes());
        if is_link {
            deserialize(&with_valid_names(bytes))
        } else {
            Err(error)
        }
    });
    let message = match decoded {
        Ok(message) => message,
        Err(error) => {
            tracing::debug!(%error, "netlink message passed over");
            return Ok(None);
        }
    };
    match message.payload {
        NetlinkPayload::InnerMessage(message) => Ok(Some(Answer::Message(message))),
        NetlinkPayload::Done(done) if done.code < 0 => {
            Err(io::Error::from_raw_os_error(-done.code))
        }
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        NetlinkPayload::Done(_) | NetlinkPayload::Error(_) => Ok(Some(Answer::End)),
        _ => Ok(None),
    }
}

/// The message with every byte of a name that is not UTF-8 replaced by `?`.
///
/// The decoder refuses a link message whole for such a name, and a container may choose its own:
/// it could hide by it.
fn with_valid_names(bytes: &[u8]) -> Vec<u8> {
    // struct nlmsghdr, struct ifinfomsg; then attributes: length, type, value, at multiples of 4.
    const ATTRIBUTES: usize = 16 + 16;
    const IFLA_IFNAME: u16 = 3;
    const IFLA_IFALIAS: u16 = 20;
    const IFLA_PROP_LIST: u16 = 52;
    /// Of no meaning to anybody, so that the decoder leaves the value alone.
    const UNKNOWN: u16 = 0x3fff;

    let mut bytes = bytes.to_vec();
    let mut at = ATTRIBUTES;
    while let Some(&[l0, l1, t0, t1]) = bytes.get(at..at + 4) {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        if length < 4 || at + length > bytes.len() {
            break;
        }
        match u16::from_ne_bytes([t0, t1]) & UNKNOWN {
            IFLA_IFNAME | IFLA_IFALIAS => replace_invalid(&mut bytes[at + 4..at + length]),
            // Alternative names, which are not shown.
            IFLA_PROP_LIST => bytes[at + 2..at + 4].copy_from_slice(&UNKNOWN.to_ne_bytes()),
            _ => {}
        }
        at += length.next_multiple_of(4);
    }
    bytes
}

/// Replaces, byte by byte, what is not UTF-8.
fn replace_invalid(name: &mut [u8]) {
    let mut at = 0;
    while let Err(error) = std::str::from_utf8(&name[at..]) {
        at += error.valid_up_to();
        name[at] = b'?';
    }
}

/// What nstrace needs of a link message.
fn link(message: &RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else {
        return None;
    };
    let mut link = Link {
        ifindex: Ifindex(message.header.index),
        name: String::new(),
        kind: match message.header.link_layer_type {
            LinkLayerType::Loopback => "loopback".to_owned(),
            _ => "device".to_owned(),
        },
        mac: None,
        mtu: 0,
        state: "unknown".to_owned(),
        link: None,
        link_nsid: None,
        master: None,
        addresses: Vec::new(),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::OperState(state) => link.state = format!("{state:?}").to_lowercase(),
            // IFLA_LINK 0 means "none, and not itself" (tunnels).
            LinkAttribute::Link(index) if *index != 0 => link.link = Some(Ifindex(*index)),
            LinkAttribute::LinkNetNsId(nsid) if *nsid >= 0 => link.link_nsid = Some(Nsid(*nsid)),
            LinkAttribute::Controller(index) => link.master = Some(Ifindex(*index)),
            LinkAttribute::Address(bytes) => link.mac = mac(bytes),
            LinkAttribute::LinkInfo(infos) => {
                if let Some(kind) = infos.iter().find_map(kind) {
                    link.kind = kind.to_string();
                }
            }
            _ => {}
        }
    }
    Some(link)
}

fn kind(info: &LinkInfo) -> Option<&InfoKind> {
    match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    }
}

fn mac(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(":")
    })
}

fn address(message: &RouteNetlinkMessage) -> Option<(Ifindex, String)> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return None;
    };
    if !matches!(
        message.header.family,
        AddressFamily::Inet | AddressFamily::Inet6
    ) {
        return None;
    }
    // On a point-to-point link IFA_ADDRESS is the far end; IFA_LOCAL, where present, is ours.
    let find = |local: bool| {
        message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Local(address) if local => Some(address),
                AddressAttribute::Address(address) if !local => Some(address),
                _ => None,
            })
    };
    let address = find(true).or_else(|| find(false))?;
    Some((
        Ifindex(message.header.index),
        format!("{address}/{}", message.header.prefix_len),
    ))
}

#[cfg(test)]
mod tests;
