//! rtnetlink queries: links, addresses, namespace ids.
//!
//! Dumps are strict (`NETLINK_GET_STRICT_CHK`, 4.20), so that a target namespace is honoured
//! rather than ignored, and do not ask for VFs: a dump with VF info holds RTNL for hundreds of
//! milliseconds on some NICs. A dump that the kernel marks as interrupted is made again.
//!
//! The socket blocks; it belongs on the scanner's thread, never on the runtime's.

mod diag;
mod inside;
mod parse;

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
        RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage},
        link::{LinkAttribute, LinkExtentMask, LinkMessage},
        nsid::{NsidAttribute, NsidMessage},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

pub use diag::{InetSocket, TCP, UDP, sockets};
pub use inside::{NameOf, hook_name};

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

/// One answer to a request: a message, or the end of the answers.
#[derive(Debug, PartialEq, Eq)]
enum Answer<'a> {
    Message(&'a [u8]),
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
        message.attributes.push(match target {
            // With any mask the kernel first looks how long the longest answer can be, and does
            // so over all links of *this* namespace: with a thousand of them that takes ten times
            // as long as the statistics of the few in there.
            Some(Nsid(nsid)) => LinkAttribute::IfNetnsId(nsid),
            None => LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]),
        });
        let message = RouteNetlinkMessage::GetLink(message);
        let mut links = self.dump_as("list links", &message, parse::link)?;
        links.sort_by_key(|link| link.ifindex);
        let mut message = AddressMessage::default();
        if let Some(Nsid(nsid)) = target {
            message
                .attributes
                .push(AddressAttribute::TargetNetNsId(nsid));
        }
        let message = RouteNetlinkMessage::GetAddress(message);
        for (ifindex, address) in self.dump_as("list addresses", &message, parse::address)? {
            if let Ok(at) = links.binary_search_by_key(&ifindex, |link| link.ifindex) {
                links[at].addresses.push(address);
            }
        }
        Ok(links)
    }

    /// One link of this socket's namespace, without its addresses; `None` if there is none with
    /// this index.
    ///
    /// # Errors
    ///
    /// If the kernel does not answer.
    pub fn link(&mut self, ifindex: Ifindex) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = ifindex.0;
        message
            .attributes
            .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let message = RouteNetlinkMessage::GetLink(message);
        match self.request_as("look up a link", message, 0, parse::link) {
            Err(error) if error.refused_with() == Some(libc::ENODEV) => Ok(None),
            answers => Ok(answers?.into_iter().next()),
        }
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
        self.dump_as(request, message, decode)
    }

    /// Sends one request and collects its answers.
    pub(super) fn request(
        &mut self,
        request: &'static str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.request_as(request, message, flags, decode)
    }

    /// Dumps, and keeps what `parse` makes of each answer.
    fn dump_as<T>(
        &mut self,
        request: &'static str,
        message: &RouteNetlinkMessage,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            match self.request_as(request, message.clone(), NLM_F_DUMP, &parse) {
                Err(NetlinkError::Interrupted { .. }) => {}
                answer => return answer,
            }
        }
        Err(NetlinkError::Interrupted { request })
    }

    /// Sends one request, and keeps what `parse` makes of each answer.
    fn request_as<T>(
        &mut self,
        request: &'static str,
        message: RouteNetlinkMessage,
        flags: u16,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
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
                match answer(one.into_inner()).map_err(refused)? {
                    Some(Answer::Message(message)) => answers.extend(parse(message)),
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

/// What a message is to the one who asked; `None` for one that says nothing.
fn answer(message: &[u8]) -> io::Result<Option<Answer<'_>>> {
    // struct nlmsghdr, then the number.
    let code = message.get(16..).and_then(<[u8]>::first_chunk);
    let code = code.copied().map(i32::from_ne_bytes);
    match (parse::kind(message).map(i32::from), code) {
        (Some(libc::NLMSG_ERROR | libc::NLMSG_DONE), Some(code)) if code < 0 => {
            Err(io::Error::from_raw_os_error(-code))
        }
        (Some(libc::NLMSG_DONE), _) | (Some(libc::NLMSG_ERROR), Some(_)) => Ok(Some(Answer::End)),
        (None | Some(libc::NLMSG_ERROR | libc::NLMSG_NOOP | libc::NLMSG_OVERRUN), _) => Ok(None),
        _ => Ok(Some(Answer::Message(message))),
    }
}

/// Decodes one message; `None` for one that does not decode, which is passed over: a newer kernel
/// may say things that an older decoder does not know.
fn decode(message: &[u8]) -> Option<RouteNetlinkMessage> {
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
        Ok(NetlinkMessage {
            payload: NetlinkPayload::InnerMessage(message),
            ..
        }) => Some(message),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "netlink message passed over");
            None
        }
    }
}

#[cfg(test)]
mod tests;
