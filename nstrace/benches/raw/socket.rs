//! Sockets that the standard library does not make.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// One instruction of a classic BPF program.
pub(crate) type Classic = libc::sock_filter;

/// Takes every packet whole, as what `tcpdump -d ''` prints does.
pub(crate) const EVERYTHING: [Classic; 1] = [Classic {
    code: 0x06,
    jt: 0,
    jf: 0,
    k: 262_144,
}];

/// A packet socket that takes what passes an interface, and `filter` lets through: what a capture
/// tool has open.
pub(crate) fn capture(ifindex: u32, filter: &[Classic]) -> io::Result<OwnedFd> {
    let socket = packet_socket()?;
    start(&socket, ifindex, filter)?;
    Ok(socket)
}

/// A packet socket that takes nothing yet.
pub(super) fn packet_socket() -> io::Result<OwnedFd> {
    // Protocol 0 takes nothing yet: what is taken before the filter stands would stay.
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets it take packets.
pub(super) fn start(socket: &OwnedFd, ifindex: u32, filter: &[Classic]) -> io::Result<()> {
    let protocol = u16::try_from(libc::ETH_P_ALL).unwrap().to_be();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap(),
        filter: filter.as_ptr().cast_mut(),
    };
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap(),
        sll_protocol: protocol,
        sll_ifindex: i32::try_from(ifindex).unwrap(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: an address and its length, which the kernel copies.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            u32::try_from(size_of_val(&address)).unwrap(),
        )
    })
}

/// Sets an option, whose value the kernel copies.
pub(super) fn set_option<T>(socket: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: a value and its length.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            u32::try_from(size_of_val(value)).unwrap(),
        )
    })
}

/// Hears of links of the calling thread's namespace.
pub(crate) struct LinkEvents(OwnedFd);

impl LinkEvents {
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: takes numbers only.
        let fd = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                libc::NETLINK_ROUTE,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that was just made for us.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: a `sockaddr_nl` is made of numbers.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = u16::try_from(libc::AF_NETLINK).unwrap();
        address.nl_groups = u32::try_from(libc::RTMGRP_LINK).unwrap();
        // SAFETY: an address and its length, which the kernel copies.
        check(unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                u32::try_from(size_of_val(&address)).unwrap(),
            )
        })?;
        Ok(Self(socket))
    }

    /// Ifindexes of the next message, if there is one, that says of links that they are there.
    pub(crate) fn next(&self) -> Option<Vec<u32>> {
        const HEADER: usize = 16;

        let mut buffer = [0_u8; 16 << 10];
        // SAFETY: a buffer and its length.
        let length = unsafe {
            libc::recv(
                self.0.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
            )
        };
        let mut rest = &buffer[..usize::try_from(length).ok()?];
        let word =
            |bytes: &[u8], at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut found = Vec::new();
        while rest.len() >= HEADER + 8 {
            // `struct nlmsghdr`, then `struct ifinfomsg`, whose second word is the ifindex.
            let kind = u16::from_ne_bytes([rest[4], rest[5]]);
            if kind == libc::RTM_NEWLINK {
                found.push(word(rest, HEADER + 4));
            }
            let message = (word(rest, 0) as usize).next_multiple_of(4);
            rest = rest.get(message..).unwrap_or_default();
        }
        Some(found)
    }
}

/// Somebody else who needs the kernel's lock of all network devices.
pub(crate) struct Rtnl(OwnedFd);

impl Rtnl {
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that was just made for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes the lock and gives it back: sets the length of the loopback device's queue to what it
    /// is, which changes nothing and tells nobody.
    pub(crate) fn take(&self) -> io::Result<()> {
        const QUEUE_LENGTH: i32 = 1000;

        // SAFETY: an `ifreq` is made of numbers.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (into, from) in request.ifr_name.iter_mut().zip(*b"lo") {
            *into = from.cast_signed();
        }
        request.ifr_ifru.ifru_metric = QUEUE_LENGTH;
        // SAFETY: the request that this number takes.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SIOCSIFTXQLEN, &raw const request) })
    }
}

pub(super) fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
