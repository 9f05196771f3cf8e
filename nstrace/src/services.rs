//! What ports are called: the text of services(5), parsed.

use std::collections::HashMap;

/// IANA protocol numbers of the protocols that have ports, as services(5) writes them.
const PROTOCOLS: [(&str, u8); 5] = [
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("sctp", 132),
    ("udplite", 136),
];

/// Names of services by protocol and port. They are untrusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services(HashMap<(u8, u16), String>);

impl Services {
    /// Reads lines of a name, `port/protocol`, aliases and a comment. The first name of a port is
    /// its name; a line that is none of that is passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut names = HashMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            if let (Some(name), Some(place)) = (words.next(), words.next())
                && let Some(key) = parse_place(place)
            {
                names.entry(key).or_insert_with(|| name.to_owned());
            }
        }
        Self(names)
    }

    /// What a port of a protocol (by its IANA number) is called. Untrusted.
    #[must_use]
    pub fn name(&self, protocol: u8, port: u16) -> Option<&str> {
        self.0.get(&(protocol, port)).map(String::as_str)
    }
}

/// Of `443/tcp`: 6 and 443.
fn parse_place(place: &str) -> Option<(u8, u16)> {
    let (port, protocol) = place.split_once('/')?;
    let (_, number) = PROTOCOLS.iter().find(|(name, _)| *name == protocol)?;
    Some((*number, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Network services, Internet style
tcpmux\t\t1/tcp\t\t\t# TCP port service multiplexer
domain          53/tcp
domain          53/udp  nameserver
https\t443/tcp
https\t443/udp\t# HTTP/3
#gone\t70/tcp
www\t80/tcp\thttp
other\t80/tcp
";

    #[track_caller]
    fn check(text: &str, protocol: u8, port: u16, expected: Option<&str>) {
        assert_eq!(Services::parse(text).name(protocol, port), expected);
    }

    #[test]
    fn a_port_has_its_name_in_its_protocol_alone() {
        check(TEXT, 6, 1, Some("tcpmux"));
        check(TEXT, 17, 1, None);
        check(TEXT, 6, 53, Some("domain"));
        check(TEXT, 17, 53, Some("domain"));
        check(TEXT, 17, 443, Some("https"));
        check(TEXT, 132, 443, None);
    }

    #[test]
    fn the_first_name_is_the_name_and_comments_and_aliases_are_none() {
        check(TEXT, 6, 80, Some("www"));
        check(TEXT, 6, 70, None);
    }

    #[test]
    fn a_line_that_is_none_is_passed_over() {
        for line in [
            "alone",
            "x 80",
            "x /tcp",
            "x 80/",
            "x 65536/tcp",
            "x -1/tcp",
            "x tcp/80",
            "x 80/ddp",
            "80/tcp x",
            "\u{0}\u{fffd}",
        ] {
            assert_eq!(Services::parse(line), Services::default(), "{line}");
            check(&format!("{line}\nnext 81/tcp"), 6, 81, Some("next"));
        }
    }
}
