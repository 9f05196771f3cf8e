//! The packets that are counted.

/// Addresses for documentation (RFC 5737, RFC 3849), and locally administered ones.
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
const IPV4: [u8; 8] = [198, 51, 100, 1, 203, 0, 113, 1];
const IPV6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PORTS: [u8; 4] = [0xc0, 0, 0, 80];

const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;

/// The network layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4 without options.
    V4,
    /// IPv6 without extension headers.
    V6,
}

/// The transport layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// UDP.
    Udp = 17,
    /// TCP with ACK, without options.
    Tcp = 6,
}

/// An Ethernet frame of `length` bytes. Its checksums are 0: nothing that is measured looks.
pub(crate) fn frame(family: Family, transport: Transport, length: usize) -> Vec<u8> {
    let payload = |headers: usize| u16::try_from(length - headers).unwrap().to_be_bytes();
    let mut bytes = MACS.to_vec();
    let network_len = match family {
        Family::V4 => {
            bytes.extend([8, 0, 0x45, 0]);
            bytes.extend(payload(ETHERNET_LEN));
            bytes.extend([0, 0, 0, 0, 64, transport as u8, 0, 0]);
            bytes.extend(IPV4);
            IPV4_LEN
        }
        Family::V6 => {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            bytes.extend(payload(ETHERNET_LEN + IPV6_LEN));
            bytes.extend([transport as u8, 64]);
            bytes.extend([IPV6, IPV6].concat());
            IPV6_LEN
        }
    };
    assert_eq!(bytes.len(), ETHERNET_LEN + network_len);
    bytes.extend(PORTS);
    match transport {
        Transport::Udp => {
            bytes.extend(payload(ETHERNET_LEN + network_len));
            bytes.extend([0; UDP_LEN - 6]);
        }
        Transport::Tcp => {
            // Sequence and acknowledgement, 5 words of header, ACK, window.
            bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
        }
    }
    assert!(bytes.len() <= length);
    bytes.resize(length, 0);
    bytes
}

/// Where in a frame of `family` stand the lower 16 bits of the source address, and the source port.
pub(crate) const fn varied(family: Family) -> [i16; 2] {
    match family {
        Family::V4 => [28, 34],
        Family::V6 => [36, 54],
    }
}
