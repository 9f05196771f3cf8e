//! What IP carries, in JSON.

use serde::Serialize;

use super::{
    dns::{self, Dns},
    hex,
};
use crate::decode::packet::{
    Bytes, Cut,
    option::{END, NOP, TcpOption, TcpOptions},
};

const DNS: u16 = 53;
const MDNS: u16 = 5353;

/// One of them, or none.
#[derive(Default, Serialize)]
pub(super) struct Transport {
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<Tcp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<Udp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp: Option<Icmp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmpv6: Option<Icmp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<Dns>,
}

#[derive(Serialize)]
struct Tcp {
    src_port: u16,
    dst_port: u16,
    #[serde(flatten)]
    rest: Option<TcpRest>,
}

/// What comes after the ports.
#[derive(Serialize)]
struct TcpRest {
    flags: String,
    seq: u32,
    ack: u32,
    win: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    urgent: Option<u16>,
    options: Vec<TcpOptionRecord>,
    /// Of the payload, captured or not.
    len: usize,
}

#[derive(Default, Serialize)]
struct TcpOptionRecord {
    kind: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    mss: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wscale: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sack: Vec<[u32; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts_val: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts_ecr: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

#[derive(Serialize)]
struct Udp {
    src_port: u16,
    dst_port: u16,
    /// Of the payload, as the header says.
    #[serde(skip_serializing_if = "Option::is_none")]
    len: Option<u16>,
}

#[derive(Serialize)]
struct Icmp {
    r#type: u8,
    code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u16>,
    /// Of the message with its header, captured or not.
    len: usize,
}

impl Transport {
    /// Reads what is there of it, and says whether that is all of its headers.
    pub(super) fn read(number: u8, data: Bytes<'_>, len: usize) -> (Self, bool) {
        let mut transport = Self::default();
        let read = match number {
            1 | 58 => transport.read_icmp(number == 58, data, len),
            6 => transport.read_tcp(data, len),
            17 => transport.read_udp(data),
            _ => Ok(true),
        };
        let is_whole = read.unwrap_or(false);
        (transport, is_whole)
    }

    fn read_tcp(&mut self, data: Bytes<'_>, len: usize) -> Result<bool, Cut> {
        let (src_port, dst_port) = (data.u16(0)?, data.u16(2)?);
        let tcp = self.tcp.insert(Tcp {
            src_port,
            dst_port,
            rest: None,
        });
        data.slice(0, 20)?;
        let header_len = usize::from(data.u8(12)? >> 4) * 4;
        let flags = data.u8(13)?;
        let mut is_whole = header_len >= 20 && header_len <= len;
        let options = TcpOptions::new(data.from(20), header_len.saturating_sub(20));
        let options = options.map_while(|option| {
            is_whole &= option.is_ok();
            option.ok().map(TcpOptionRecord::from)
        });
        let options = options.collect();
        tcp.rest = Some(TcpRest {
            flags: crate::sink::flow::flag_letters(flags),
            seq: data.u32(4)?,
            ack: data.u32(8)?,
            win: data.u16(14)?,
            urgent: data.u16(18).ok().filter(|_| flags & 0x20 != 0),
            options,
            len: len.saturating_sub(header_len),
        });
        if len > header_len && [src_port, dst_port].contains(&DNS) {
            let message = data.from(header_len);
            // As long as the two bytes before it say, or the rest of it comes with the next.
            let stated = usize::from(message.u16(0)?);
            self.dns = dns::read(message.from(2).upto(stated));
        }
        Ok(is_whole)
    }

    fn read_udp(&mut self, data: Bytes<'_>) -> Result<bool, Cut> {
        let (src_port, dst_port) = (data.u16(0)?, data.u16(2)?);
        let stated = data.u16(4).ok();
        self.udp = Some(Udp {
            src_port,
            dst_port,
            len: stated.and_then(|stated| stated.checked_sub(8)),
        });
        data.slice(0, 8)?;
        let is_dns = [src_port, dst_port]
            .iter()
            .any(|port| matches!(*port, DNS | MDNS));
        if is_dns {
            self.dns = dns::read(data.upto(stated.unwrap_or_default().into()).from(8));
        }
        Ok(stated.is_some_and(|stated| stated == 0 || stated >= 8))
    }

    fn read_icmp(&mut self, is_v6: bool, data: Bytes<'_>, len: usize) -> Result<bool, Cut> {
        let (kind, code) = (data.u8(0)?, data.u8(1)?);
        let is_echo = matches!((is_v6, kind), (false, 0 | 8) | (true, 128 | 129));
        let icmp = Icmp {
            r#type: kind,
            code,
            id: data.u16(4).ok().filter(|_| is_echo),
            seq: data.u16(6).ok().filter(|_| is_echo),
            len,
        };
        let place = if is_v6 {
            &mut self.icmpv6
        } else {
            &mut self.icmp
        };
        *place = Some(icmp);
        data.slice(0, 8).map(|_| true)
    }
}

impl From<TcpOption<'_>> for TcpOptionRecord {
    fn from(option: TcpOption<'_>) -> Self {
        let value = Bytes(option.value);
        let mut record = Self {
            kind: option.kind,
            ..Self::default()
        };
        match (option.kind, option.value.len()) {
            (END | NOP, _) | (_, 0) => {}
            (2, 2) => record.mss = value.u16(0).ok(),
            (3, 1) => record.wscale = value.u8(0).ok(),
            (5, len) if len % 8 == 0 => {
                let blocks = option.value.chunks_exact(8).map(Bytes);
                let ends = |block: Bytes<'_>| Some([block.u32(0).ok()?, block.u32(4).ok()?]);
                record.sack = blocks.filter_map(ends).collect();
            }
            (8, 8) => {
                record.ts_val = value.u32(0).ok();
                record.ts_ecr = value.u32(4).ok();
            }
            _ => record.hex = Some(hex(option.value)),
        }
        record
    }
}
