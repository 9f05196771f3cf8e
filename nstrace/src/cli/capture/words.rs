//! Which words are TARGETs, and which are the filter.

use crate::topology::target::{PREFIXES, Target, TargetError};

/// Words that begin an expression of pcap-filter(7), beside those that are no words. A namespace of
/// such a name is meant by `netns:NAME`.
const KEYWORDS: [&str; 81] = [
    "action",
    "aarp",
    "address1",
    "address2",
    "address3",
    "address4",
    "ah",
    "and",
    "arp",
    "atalk",
    "broadcast",
    "carp",
    "clnp",
    "csnp",
    "decnet",
    "dir",
    "direction",
    "dst",
    "es-is",
    "esis",
    "esp",
    "ether",
    "fddi",
    "gateway",
    "geneve",
    "greater",
    "host",
    "hsh",
    "icmp",
    "icmp6",
    "ifindex",
    "ifname",
    "igmp",
    "igrp",
    "iih",
    "inbound",
    "ip",
    "ip6",
    "ipx",
    "is-is",
    "isis",
    "iso",
    "l1",
    "l2",
    "lane",
    "lat",
    "len",
    "length",
    "less",
    "link",
    "llc",
    "lsp",
    "moprc",
    "mopdl",
    "mpls",
    "multicast",
    "net",
    "netbeui",
    "not",
    "on",
    "outbound",
    "pim",
    "port",
    "portrange",
    "ppp",
    "pppoed",
    "pppoes",
    "proto",
    "protochain",
    "psnp",
    "radio",
    "rarp",
    "reason",
    "sctp",
    "slip",
    "snp",
    "src",
    "stp",
    "subtype",
    "tcp",
    "tr",
];
const MORE_KEYWORDS: [&str; 10] = [
    "type", "udp", "vlan", "vrrp", "vxlan", "wlan", "rnr", "rulenum", "rset", "srnr",
];
/// TARGETs, and the expression, empty if there is none.
pub(super) fn split(
    words: &[String],
    filter: &[String],
) -> Result<(Vec<Target>, String), TargetError> {
    let count = words.iter().take_while(|word| !begins_filter(word)).count();
    let (targets, expression) = words.split_at(count);
    let targets = targets
        .iter()
        .map(|word| word.parse())
        .collect::<Result<_, _>>()?;
    let expression: Vec<&str> = expression
        .iter()
        .chain(filter)
        .map(String::as_str)
        .collect();
    Ok((targets, expression.join(" ")))
}

fn begins_filter(word: &str) -> bool {
    if PREFIXES.iter().any(|prefix| word.starts_with(prefix)) {
        return false;
    }
    // `*` and `?` make a pattern of a name; behind a keyword or a number, `*` is arithmetic.
    let is_name = |c: char| c.is_alphanumeric() || "._-/:@%*?".contains(c);
    let front = word.split(['*', '?']).next().unwrap_or_default();
    let is_number =
        !front.is_empty() && front.len() < word.len() && front.bytes().all(|b| b.is_ascii_digit());
    !word.chars().all(is_name)
        || word.is_empty()
        || is_number
        || KEYWORDS.contains(&front)
        || MORE_KEYWORDS.contains(&front)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, targets: &[&str], expression: &str) {
        let words: Vec<String> = words.split(' ').map(ToOwned::to_owned).collect();
        let (found, text) = split(&words, &[]).expect("TARGETs");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            (found, text.as_str()),
            (targets.iter().map(|&t| t.to_owned()).collect(), expression)
        );
    }

    #[test]
    fn a_filter_begins_where_its_language_does() {
        check("web", &["web"], "");
        check("web db tcp port 80", &["web", "db"], "tcp port 80");
        check("web host db", &["web"], "host db");
        check("not arp", &[], "not arp");
        check("shop/web-1 tcp[13]&2!=0", &["shop/web-1"], "tcp[13]&2!=0");
        check("web ( arp )", &["web"], "( arp )");
        check("pid:7(sh) udp", &["pid:7"], "udp");
        check("netns:tcp tcp", &["netns:tcp"], "tcp");
        check("if:veth1 ip6", &["if:veth1"], "ip6");
        check("pod/web ctr/tcp arp", &["pod/web", "ctr/tcp"], "arp");
        check("ip:192.0.2.7 ip", &["ip:192.0.2.7"], "ip");
    }

    #[test]
    fn a_pattern_is_a_target_and_arithmetic_is_not() {
        check("shop/* tcp", &["shop/*"], "tcp");
        check("web-? * udp", &["web-?", "*"], "udp");
        check("pod/web-[0-9] icmp", &["pod/web-[0-9]"], "icmp");
        check("len*2 > 4", &[], "len*2 > 4");
        check("2*3 = 6", &[], "2*3 = 6");
    }

    #[test]
    fn a_quoted_filter_is_one_word_or_many() {
        let words = ["web".to_owned(), "tcp port 80 or icmp".to_owned()];
        let (targets, expression) = split(&words, &[]).expect("TARGETs");
        assert_eq!(targets.len(), 1);
        assert_eq!(expression, "tcp port 80 or icmp");
        let filter = ["foo".to_owned()];
        assert_eq!(split(&words[..1], &filter).expect("TARGETs").1, "foo");
    }
}
