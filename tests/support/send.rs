//! Packets of known number and size.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    thread,
};

use super::lab::{Lab, Pod};

/// Where nobody answers; the receiving pod binds it, so that no ICMP error comes back.
const PORT: u16 = 9999;

/// Sends `count` UDP datagrams of `payload` bytes from one pod to another pod's address.
pub(crate) fn udp(lab: &Lab, from: &Pod, to: &Pod, address: &str, count: usize, payload: usize) {
    udp_from(lab, from, to, address, 0, count, payload);
}

/// The same, from a port; 0 is any.
pub(crate) fn udp_from(
    lab: &Lab,
    from: &Pod,
    to: &Pod,
    address: &str,
    port: u16,
    count: usize,
    payload: usize,
) {
    let address: IpAddr = address.parse().unwrap();
    let target = SocketAddr::new(address, PORT);
    let receiver = lab.inside(&to.name, || UdpSocket::bind(target).unwrap());
    lab.inside(&from.name, || {
        let any: IpAddr = if address.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((any, port)).unwrap();
        let payload = vec![0x5a; payload];
        for _ in 0..count {
            socket.send_to(&payload, target).unwrap();
        }
    });
    drop(receiver);
}

/// Sends datagrams of several flows in turn, from ports 20,000 and up, so many packets of each.
pub(crate) fn udp_steady(
    lab: &Lab,
    from: &Pod,
    to: &Pod,
    flows: u64,
    packets: usize,
    payload: usize,
) {
    let target = SocketAddr::new(to.ipv4.parse().unwrap(), PORT);
    let receiver = lab.inside(&to.name, || UdpSocket::bind(target).unwrap());
    lab.inside(&from.name, || {
        let bind = |nth: u64| {
            let port = u16::try_from(20_000 + nth).unwrap();
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap()
        };
        let sockets: Vec<UdpSocket> = (0..flows).map(bind).collect();
        let payload = vec![0x5a; payload];
        for _ in 0..packets {
            for socket in &sockets {
                socket.send_to(&payload, target).unwrap();
            }
            thread::yield_now();
        }
    });
    drop(receiver);
}

/// Sends a frame `count` times through a pod's eth0, as it is.
pub(crate) fn frames(lab: &Lab, from: &Pod, frame: &[u8], count: usize) {
    many_frames(lab, from, u32::try_from(count).unwrap(), |_, into| {
        into.clear();
        into.extend(frame);
    });
}

/// Sends frames, each of them written by `write`.
pub(crate) fn many_frames(
    lab: &Lab,
    from: &Pod,
    count: u32,
    write: impl Fn(u32, &mut Vec<u8>) + Sync,
) {
    lab.inside(&from.name, || {
        let socket = packet_socket().unwrap();
        let to = eth0();
        let mut frame = Vec::new();
        for nth in 0..count {
            write(nth, &mut frame);
            // SAFETY: the frame and the address live as long as the call, with the lengths given.
            let sent = unsafe {
                libc::sendto(
                    socket.as_raw_fd(),
                    frame.as_ptr().cast(),
                    frame.len(),
                    0,
                    (&raw const to).cast(),
                    u32::try_from(size_of_val(&to)).unwrap(),
                )
            };
            assert_eq!(
                usize::try_from(sent).ok(),
                Some(frame.len()),
                "{}",
                io::Error::last_os_error()
            );
        }
    });
}

fn packet_socket() -> io::Result<OwnedFd> {
    // Protocol 0: it sends, and receives nothing.
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A pod's eth0 has ifindex 2, like every pod's.
fn eth0() -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap(),
        sll_protocol: 0,
        sll_ifindex: 2,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    }
}

/// An Ethernet frame of `length` bytes, with whatever follows the addresses.
pub(crate) fn ethernet(from: &Pod, to: &Pod, rest: &[u8], length: usize) -> Vec<u8> {
    let mut frame = [&to.mac[..], &from.mac[..], rest].concat();
    frame.resize(length, 0);
    frame
}

/// An ARP request for an address that nobody has.
pub(crate) fn arp(from: &Pod, length: usize) -> Vec<u8> {
    let request = [0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1];
    let mut frame = [&[0xff; 6][..], &from.mac[..], &request[..], &from.mac[..]].concat();
    frame.extend([198, 51, 100, 250, 0, 0, 0, 0, 0, 0, 198, 51, 100, 251]);
    frame.resize(length, 0);
    frame
}
