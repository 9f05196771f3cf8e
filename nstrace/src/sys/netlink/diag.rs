//! Sockets of a namespace, by `sock_diag(7)`: no process need be looked at.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use rtnetlink::sys::{Socket, SocketAddr as NetlinkAddress, protocols::NETLINK_SOCK_DIAG};

use super::{Answer, NetlinkError, RECEIVE_BUFFER, answer, next_message};

/// A socket of TCP or UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InetSocket {
    /// `TCP_ESTABLISHED` and so on, of `include/net/tcp_states.h`.
    pub state: u8,
    /// Its own end.
    pub local: SocketAddr,
    /// The other; port 0 where there is none.
    pub remote: SocketAddr,
    /// Its number.
    pub inode: u32,
}

/// Protocols that sockets can be asked for by.
pub const TCP: i32 = libc::IPPROTO_TCP;
/// See [`TCP`].
pub const UDP: i32 = libc::IPPROTO_UDP;

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const FLAGS: u16 = 0x301;

/// Every socket of `protocol` ([`TCP`], [`UDP`]) in the calling thread's namespace.
///
/// # Errors
///
/// `ENOENT` where the kernel lacks the module (`tcp_diag`, `udp_diag`).
#[doc(alias = "SOCK_DIAG_BY_FAMILY")]
pub fn sockets(protocol: i32) -> Result<Vec<InetSocket>, NetlinkError> {
    let open = || -> io::Result<Socket> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&NetlinkAddress::new(0, 0))?;
        Ok(socket)
    };
    let socket = open().map_err(NetlinkError::Open)?;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        dump(&socket, family, protocol, &mut found)?;
    }
    Ok(found)
}

fn dump(
    socket: &Socket,
    family: libc::c_int,
    protocol: libc::c_int,
    found: &mut Vec<InetSocket>,
) -> Result<(), NetlinkError> {
    const NAME: &str = "list sockets";
    let exchange = |source| NetlinkError::Exchange {
        request: NAME,
        source,
    };
    let mut message = [0; HEADER + REQUEST];
    let length = u32::try_from(message.len()).unwrap_or_default();
    message[0..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    message[6..8].copy_from_slice(&FLAGS.to_ne_bytes());
    message[HEADER] = u8::try_from(family).unwrap_or_default();
    message[HEADER + 1] = u8::try_from(protocol).unwrap_or_default();
    // In whatever state.
    message[HEADER + 4..HEADER + 8].copy_from_slice(&u32::MAX.to_ne_bytes());
    socket.send(&message, 0).map_err(exchange)?;
    let mut buffer = vec![0; RECEIVE_BUFFER];
    loop {
        let received = socket.recv(&mut &mut buffer[..], 0).map_err(exchange)?;
        let mut rest = &buffer[..received];
        while !rest.is_empty() {
            let one = next_message(&mut rest)
                .ok_or_else(|| exchange(io::Error::from(io::ErrorKind::InvalidData)))?;
            let refused = |source| NetlinkError::Refused {
                request: NAME,
                source,
            };
            match answer(one.into_inner()).map_err(refused)? {
                Some(Answer::Message(message)) => found.extend(parse(message)),
                Some(Answer::End) => return Ok(()),
                None => {}
            }
        }
    }
}

/// `struct inet_diag_msg`, of `include/uapi/linux/inet_diag.h`.
fn parse(message: &[u8]) -> Option<InetSocket> {
    let body = message.get(HEADER..)?;
    let family = i32::from(*body.first()?);
    let port = |at: usize| Some(u16::from_be_bytes(*body.get(at..)?.first_chunk()?));
    let address = |at: usize| -> Option<IpAddr> {
        let bytes = body.get(at..)?;
        Some(match family {
            libc::AF_INET => IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?)),
            libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(*bytes.first_chunk::<16>()?)),
            _ => return None,
        })
    };
    Some(InetSocket {
        state: *body.get(1)?,
        local: SocketAddr::new(address(8)?, port(4)?),
        remote: SocketAddr::new(address(24)?, port(6)?),
        inode: u32::from_ne_bytes(*body.get(68..)?.first_chunk()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel sends of one socket.
    fn message(family: u8, local: &[u8], remote: &[u8]) -> Vec<u8> {
        let mut message = vec![0; HEADER + 72];
        let body = &mut message[HEADER..];
        (body[0], body[1]) = (family, 10);
        body[4..6].copy_from_slice(&443_u16.to_be_bytes());
        body[6..8].copy_from_slice(&50_000_u16.to_be_bytes());
        body[8..8 + local.len()].copy_from_slice(local);
        body[24..24 + remote.len()].copy_from_slice(remote);
        body[68..72].copy_from_slice(&4711_u32.to_ne_bytes());
        message
    }

    #[test]
    fn both_families_are_read() {
        let found = parse(&message(2, &[192, 0, 2, 1], &[192, 0, 2, 7])).expect("a socket");
        assert_eq!(found.local.to_string(), "192.0.2.1:443");
        assert_eq!(found.remote.to_string(), "192.0.2.7:50000");
        assert_eq!((found.state, found.inode), (10, 4711));
        let loopback = std::net::Ipv6Addr::LOCALHOST.octets();
        let found = parse(&message(10, &loopback, &loopback)).expect("a socket");
        assert_eq!(found.local.to_string(), "[::1]:443");
    }

    #[test]
    fn what_is_cut_short_or_of_another_family_is_passed_over() {
        let whole = message(2, &[1, 2, 3, 4], &[5, 6, 7, 8]);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(parse(&message(1, &[], &[])), None);
    }
}
