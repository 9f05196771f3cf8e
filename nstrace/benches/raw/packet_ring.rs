//! The ring that a capture tool shares with the kernel: `TPACKET_V3`, laid out as libpcap has it
//! (packet(7), and `Documentation/networking/packet_mmap.rst` of the kernel).

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    ptr::NonNull,
};

use super::socket::{EVERYTHING, check, packet_socket, set_option, start};

/// As libpcap chooses for a snaplen of 262,144.
const BLOCK: usize = 256 << 10;

/// A socket with a ring that takes all that passes an interface, whole.
pub(crate) struct PacketRing {
    socket: OwnedFd,
    start: NonNull<u8>,
    bytes: usize,
}

impl PacketRing {
    pub(crate) fn open(ifindex: u32, bytes: usize) -> io::Result<Self> {
        const VERSION_3: i32 = 2;
        // `VLAN_TAG_LEN`: libpcap keeps room for a tag.
        const RESERVE: u32 = 4;
        const RETIRE_MS: u32 = 1000;

        let socket = packet_socket()?;
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &VERSION_3)?;
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_RESERVE, &RESERVE)?;
        let blocks = bytes / BLOCK;
        let number = |of: usize| u32::try_from(of).unwrap();
        let request = libc::tpacket_req3 {
            tp_block_size: number(BLOCK),
            tp_block_nr: number(blocks),
            tp_frame_size: number(BLOCK),
            tp_frame_nr: number(blocks),
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let bytes = blocks * BLOCK;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let ring = Self {
            socket,
            start: NonNull::new(address.cast()).unwrap(),
            bytes,
        };
        start(&ring.socket, ifindex, &EVERYTHING)?;
        Ok(ring)
    }

    /// Packets that were taken since the last call, and those that found no room.
    pub(crate) fn counts(&self) -> io::Result<[u32; 2]> {
        // `struct tpacket_stats_v3`: all packets, drops, and how often it stood still.
        let mut counts = [0_u32; 3];
        let mut length = u32::try_from(size_of_val(&counts)).unwrap();
        // SAFETY: room for the answer, and its length.
        check(unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                counts.as_mut_ptr().cast(),
                &raw mut length,
            )
        })?;
        let [packets, drops, _] = counts;
        Ok([packets - drops, drops])
    }
}

impl Drop for PacketRing {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped. Without this the socket would outlive its descriptor.
        let undone = unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        assert_eq!(undone, 0, "what was mapped is");
    }
}
