//! Neighbour discovery (RFC 4861).

use std::net::Ipv6Addr;

use super::{
    dump,
    icmp6::address,
    line::{Line, Printed, say},
};
use crate::decode::packet::{Bytes, Cut};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

const OPTIONS: [(u16, &str); 11] = [
    (1, "source link-address"),
    (2, "destination link-address"),
    (3, "prefix info"),
    (4, "redirected header"),
    (5, "mtu"),
    (7, "advertisement interval"),
    (8, "homeagent information"),
    (14, "nonce"),
    (24, "route info"),
    (25, "rdnss"),
    (31, "dnssl"),
];

impl Line<'_> {
    pub(super) fn neighbor(&mut self, kind: u8, data: Bytes<'_>, length: usize) -> Printed {
        let is_verbose = self.style.verbose > 0;
        let options_at = match kind {
            ROUTER_SOLICITATION => 8,
            ROUTER_ADVERTISEMENT => {
                if is_verbose {
                    self.router(data)?;
                }
                16
            }
            SOLICITATION => {
                let target = address(data, 8)?;
                self.str(", who has ");
                self.host(target);
                24
            }
            ADVERTISEMENT => {
                let target = address(data, 8)?;
                self.str(", tgt is ");
                self.host(target);
                if is_verbose {
                    let flags = data.u32(4)?;
                    self.str(", Flags [");
                    self.bits(
                        flags,
                        &[
                            (1 << 31, "router"),
                            (1 << 30, "solicited"),
                            (1 << 29, "override"),
                        ],
                    );
                    self.out.push(']');
                }
                24
            }
            _ => {
                let destination = address(data, 24)?;
                self.str(", ");
                self.host(destination);
                let target = address(data, 8)?;
                self.str(" to ");
                self.host(target);
                40
            }
        };
        if is_verbose {
            self.neighbor_options(data.from(options_at), length.saturating_sub(options_at))?;
        }
        Ok(())
    }

    fn router(&mut self, data: Bytes<'_>) -> Printed {
        let (limit, flags, lifetime) = (data.u8(4)?, data.u8(5)?, data.u16(6)?);
        let (reachable, retransmit) = (data.u32(8)?, data.u32(12)?);
        say!(self, "\n\thop limit {limit}, Flags [");
        let names = [
            (0x80, "managed"),
            (0x40, "other stateful"),
            (0x20, "home agent"),
            (0x02, "ipv6 only"),
        ];
        self.bits(flags.into(), &names);
        say!(
            self,
            "], pref {}, router lifetime {lifetime}s",
            preference(flags)
        );
        say!(
            self,
            ", reachable time {reachable}ms, retrans timer {retransmit}ms"
        );
        Ok(())
    }

    fn neighbor_options(&mut self, mut data: Bytes<'_>, mut left: usize) -> Printed {
        while !data.is_empty() {
            let units = data.u8(1)?;
            if left == 0 {
                return Ok(());
            }
            let kind = data.u8(0)?;
            let len = usize::from(units) * 8;
            let option = Bytes(data.slice(0, len)?);
            if option.is_empty() {
                return Err(Cut);
            }
            self.str("\n\t  ");
            self.name_of(kind.into(), &OPTIONS, format_args!("unknown"));
            say!(self, " option ({kind}), length {len} ({units}): ");
            self.neighbor_option(kind, option)?;
            if self.style.verbose > 1 {
                dump::plain(self.out, "\n\t    ", option.from(2));
            }
            data = data.from(len);
            left = left.saturating_sub(len);
        }
        Ok(())
    }

    fn neighbor_option(&mut self, kind: u8, option: Bytes<'_>) -> Printed {
        let value = option.from(2);
        match kind {
            1 | 2 => self.mac(value.0),
            3 => {
                self.host(address(option, 16)?);
                say!(self, "/{}", option.u8(2)?);
                self.str(if option.len() == 32 { "" } else { "badlen" });
                self.str(", Flags [");
                let names = [(0x80, "onlink"), (0x40, "auto"), (0x20, "router")];
                self.bits(option.u8(3)?.into(), &names);
                self.str("], valid time ");
                self.lifetime(option.u32(4)?);
                self.str(", pref. time ");
                self.lifetime(option.u32(8)?);
            }
            5 => {
                say!(self, " {}", option.u32(4)?);
                self.str(if option.len() == 8 {
                    ""
                } else {
                    "bad option length"
                });
            }
            7 => say!(self, " {}ms", option.u32(4)?),
            8 => say!(
                self,
                " preference {}, lifetime {}",
                option.u16(4)?,
                option.u16(6)?
            ),
            24 => {
                let mut prefix = [0; 16];
                let given = option.from(8);
                for (to, from) in prefix.iter_mut().zip(given.0) {
                    *to = *from;
                }
                self.out.push(' ');
                self.host(Ipv6Addr::from(prefix).into());
                say!(
                    self,
                    "/{}, pref={}, lifetime=",
                    option.u8(2)?,
                    preference(option.u8(3)?)
                );
                self.lifetime(option.u32(4)?);
            }
            25 => {
                say!(self, " lifetime {}s,", option.u32(4)?);
                for place in 0..option.len().saturating_sub(8) / 16 {
                    self.str(" addr: ");
                    self.host(address(option, 8 + 16 * place)?);
                }
            }
            31 => {
                say!(self, " lifetime {}s, domain(s):", option.u32(4)?);
                let mut at = 8;
                while option.u8(at).is_ok_and(|len| len > 0) {
                    self.out.push(' ');
                    self.dns_name(option, at)?;
                    at = crate::decode::packet::dns::skip_name(option, at)?;
                }
            }
            // As tcpdump has it, what comes after it is not looked at.
            _ if self.style.verbose == 1 => dump::plain(self.out, "\n\t  ", value),
            _ => {}
        }
        Ok(())
    }

    fn lifetime(&mut self, seconds: u32) {
        match seconds {
            u32::MAX => self.str("infinity"),
            _ => say!(self, "{seconds}s"),
        }
    }
}

/// How much a router is preferred (RFC 4191).
const fn preference(flags: u8) -> &'static str {
    match flags >> 3 & 3 {
        0 => "medium",
        1 => "high",
        3 => "low",
        _ => "rsv",
    }
}
