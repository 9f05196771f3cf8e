//! How packets are printed.

use super::super::args::CaptureArgs;
use crate::{
    engine::capture::PrintPacket,
    packet::{CaptureIface, Packet},
};

pub(super) fn printer(_args: &CaptureArgs, _is_several: bool) -> Box<dyn PrintPacket> {
    Box::new(Plain)
}

struct Plain;

impl PrintPacket for Plain {
    fn packet(&mut self, out: &mut Vec<u8>, packet: &Packet<'_>, iface: &CaptureIface) {
        out.extend_from_slice(
            format!("{} {} {:?}\n", packet.time, iface.name, packet.direction).as_bytes(),
        );
    }
}
