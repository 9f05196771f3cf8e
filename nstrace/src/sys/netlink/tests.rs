//! Real answers of a kernel, byte for byte, and what is made of them.
//!
//! The fixtures are what recv(2) gave to a strict socket (`NETLINK_GET_STRICT_CHK`) in a namespace
//! that plays the host: a bridge, two veth pairs into namespaces that it knows as 7 and 8, an ifb
//! with a macvlan here and one in 7, a veth pair between 7 and 8, one within 7, and a tun in 7.
//! `links_with_odd_names` is of a namespace of its own, whose veth pair is called `a\x1b[31mb` and
//! `eth\xff0`. Port ids were set to 0 and sequence numbers to 1; nothing else was touched. Linux
//! 6.18, x86-64.

use std::path::PathBuf;

use super::{
    parse::{address, link},
    *,
};
use crate::topology::model::{Facts, Identity, NetnsFacts, NetnsInode, Peer, Topology, Watch};

const HOST_LINKS: &[u8] = include_bytes!("fixtures/links_of_host.bin");
const HOST_ADDRESSES: &[u8] = include_bytes!("fixtures/addresses_of_host.bin");
const A_LINKS: &[u8] = include_bytes!("fixtures/links_of_nsid_7.bin");
const A_ADDRESSES: &[u8] = include_bytes!("fixtures/addresses_of_nsid_7.bin");
const B_LINKS: &[u8] = include_bytes!("fixtures/links_of_nsid_8.bin");
const B_ADDRESSES: &[u8] = include_bytes!("fixtures/addresses_of_nsid_8.bin");
const UNKNOWN_NSID: &[u8] = include_bytes!("fixtures/links_of_unknown_nsid.bin");
const ODD_NAMES: &[u8] = include_bytes!("fixtures/links_with_odd_names.bin");
const NSID_OF_HOST: &[u8] = include_bytes!("fixtures/nsid_of_host.bin");
const NSID_OF_A: &[u8] = include_bytes!("fixtures/nsid_of_a.bin");
const NSID_OF_B: &[u8] = include_bytes!("fixtures/nsid_of_b.bin");
const NSID_OF_NONE: &[u8] = include_bytes!("fixtures/nsid_of_none.bin");

const ALL: [&[u8]; 12] = [
    HOST_LINKS,
    HOST_ADDRESSES,
    A_LINKS,
    A_ADDRESSES,
    B_LINKS,
    B_ADDRESSES,
    UNKNOWN_NSID,
    ODD_NAMES,
    NSID_OF_HOST,
    NSID_OF_A,
    NSID_OF_B,
    NSID_OF_NONE,
];

/// The id that the recording namespace had given to itself.
const HOST_NSID: i32 = 0;

/// Each message of `bytes`, up to the first that is none.
fn cut(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = bytes;
    let next = || next_message(&mut rest).map(NetlinkBuffer::into_inner);
    std::iter::from_fn(next).collect()
}

/// The messages of a dump that ends as it should, with nothing behind its end.
#[track_caller]
fn answers(bytes: &[u8]) -> Vec<&[u8]> {
    let cut = cut(bytes);
    let (end, messages) = cut.split_last().expect("a recorded answer is not empty");
    assert!(matches!(answer(end), Ok(Some(Answer::End))));
    for one in messages {
        assert!(matches!(answer(one), Ok(Some(Answer::Message(_)))));
    }
    messages.to_vec()
}

#[track_caller]
fn links(links: &[u8], addresses: &[u8]) -> Vec<Link> {
    let mut links: Vec<Link> = answers(links).into_iter().filter_map(link).collect();
    links.sort_by_key(|link| link.ifindex);
    for (ifindex, address) in answers(addresses).into_iter().filter_map(address) {
        let link = links.iter_mut().find(|link| link.ifindex == ifindex);
        link.expect("the address is of a link")
            .addresses
            .push(address);
    }
    links
}

fn expected(ifindex: u32, name: &str, kind: &str, state: &str) -> Link {
    Link {
        ifindex: Ifindex(ifindex),
        name: name.to_owned(),
        kind: kind.to_owned(),
        mac: None,
        mtu: 1500,
        state: state.to_owned(),
        link: None,
        link_nsid: None,
        master: None,
        addresses: Vec::new(),
    }
}

fn with(mut link: Link, mac: &str, addresses: &[&str]) -> Link {
    link.mac = Some(mac.to_owned());
    link.addresses = addresses.iter().map(ToString::to_string).collect();
    link
}

/// `link` with the device that `IFLA_LINK` names, and where it is.
fn linked(mut link: Link, to: u32, nsid: Option<i32>) -> Link {
    link.link = Some(Ifindex(to));
    link.link_nsid = nsid.map(Nsid);
    link
}

fn in_bridge(mut link: Link) -> Link {
    link.master = Some(Ifindex(10));
    link
}

fn loopback() -> Link {
    let link = Link {
        mtu: 65536,
        ..expected(1, "lo", "loopback", "unknown")
    };
    with(link, "00:00:00:00:00:00", &["127.0.0.1/8", "::1/128"])
}

fn host_links() -> Vec<Link> {
    vec![
        loopback(),
        with(
            expected(10, "utbr0", "bridge", "up"),
            "02:00:00:00:00:10",
            &["198.18.0.1/24", "fe80::ff:fe00:10/64"],
        ),
        with(
            expected(11, "utd0", "ifb", "unknown"),
            "02:00:00:00:00:11",
            &["fe80::ff:fe00:11/64"],
        ),
        with(
            in_bridge(linked(expected(21, "ut-va", "veth", "up"), 2, Some(7))),
            "02:00:00:00:00:21",
            &["fe80::ff:fe00:21/64"],
        ),
        with(
            in_bridge(linked(expected(22, "ut-vb", "veth", "up"), 2, Some(8))),
            "02:00:00:00:00:22",
            &["fe80::ff:fe00:22/64"],
        ),
        with(
            linked(expected(30, "utmv0", "macvlan", "up"), 11, None),
            "02:00:00:00:00:30",
            &["fe80::ff:fe00:30/64"],
        ),
    ]
}

fn links_of_a() -> Vec<Link> {
    let host = Some(HOST_NSID);
    vec![
        loopback(),
        with(
            linked(expected(2, "eth0", "veth", "up"), 21, host),
            "02:00:00:00:0a:02",
            &["198.18.0.2/24", "2001:db8::a:2/64", "fe80::ff:fe00:a02/64"],
        ),
        expected(3, "tun0", "tun", "down"),
        with(
            linked(expected(31, "mv0", "macvlan", "down"), 11, host),
            "02:00:00:00:00:31",
            &[],
        ),
        with(
            linked(expected(40, "x0", "veth", "up"), 41, Some(8)),
            "02:00:00:00:0a:40",
            // Not 198.18.1.2, which is the far end's.
            &["198.18.1.1/32", "fe80::ff:fe00:a40/64"],
        ),
        with(
            linked(expected(42, "in0", "veth", "down"), 43, None),
            "02:00:00:00:0a:42",
            &[],
        ),
        with(
            linked(expected(43, "in1", "veth", "down"), 42, None),
            "02:00:00:00:0a:43",
            &[],
        ),
    ]
}

fn links_of_b() -> Vec<Link> {
    vec![
        loopback(),
        with(
            linked(expected(2, "eth0", "veth", "up"), 22, Some(HOST_NSID)),
            "02:00:00:00:0b:02",
            &["198.18.0.3/24", "198.18.7.3/16", "fe80::ff:fe00:b02/64"],
        ),
        with(
            linked(expected(41, "y0", "veth", "up"), 40, Some(7)),
            "02:00:00:00:0b:41",
            &["fe80::ff:fe00:b41/64"],
        ),
    ]
}

#[test]
fn a_namespaces_own_dump_gives_its_links() {
    assert_eq!(links(HOST_LINKS, HOST_ADDRESSES), host_links());
}

#[test]
fn a_dump_by_namespace_id_gives_the_links_of_the_other() {
    assert_eq!(links(A_LINKS, A_ADDRESSES), links_of_a());
    assert_eq!(links(B_LINKS, B_ADDRESSES), links_of_b());
}

#[test]
fn a_control_character_in_a_name_is_kept_for_the_printer_to_escape() {
    let names: Vec<String> = cut(ODD_NAMES)
        .into_iter()
        .filter_map(|one| Some(link(one)?.name))
        .collect();
    assert!(names.iter().any(|name| name == "a\x1b[31mb"), "{names:?}");
}

#[test]
fn an_address_message_is_no_link_and_a_link_message_no_address() {
    assert_eq!(answers(HOST_ADDRESSES).into_iter().find_map(link), None);
    assert_eq!(answers(HOST_LINKS).into_iter().find_map(address), None);
}

#[test]
fn an_nsid_answer_holds_the_id_and_minus_one_where_there_is_none() {
    #[track_caller]
    fn check(bytes: &[u8], nsid: i32) {
        let [one] = answers(bytes)[..] else {
            panic!("not one message");
        };
        let Some(RouteNetlinkMessage::NewNsId(message)) = decode(one) else {
            panic!("not an NSID message");
        };
        assert_eq!(message.attributes[..], [NsidAttribute::Id(nsid)]);
    }

    check(NSID_OF_A, 7);
    check(NSID_OF_B, 8);
    check(NSID_OF_HOST, HOST_NSID);
    check(NSID_OF_NONE, -1);
}

/// A message of `kind` with `payload`, as the kernel writes one.
fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).expect("a small message");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(1_u32.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(payload);
    bytes
}

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// `struct nlmsgerr`: the number, and the header of what was asked.
fn error(code: i32) -> Vec<u8> {
    let payload = [&code.to_ne_bytes()[..], &[0; 16]].concat();
    message(NLMSG_ERROR, 0, &payload)
}

#[test]
fn an_error_is_a_refusal_with_its_number() {
    #[track_caller]
    fn check(bytes: &[u8], errno: i32) {
        let refused = answer(bytes).err().and_then(|error| error.raw_os_error());
        assert_eq!(refused, Some(errno));
    }

    check(&error(-libc::EPERM), libc::EPERM);
    check(
        &message(NLMSG_DONE, 2, &(-libc::EBUSY).to_ne_bytes()),
        libc::EBUSY,
    );
    // A dump by an id that no namespace has.
    check(UNKNOWN_NSID, libc::EINVAL);
}

#[test]
fn an_acknowledgement_and_the_end_of_a_dump_are_the_end() {
    let done = message(NLMSG_DONE, 2, &0_i32.to_ne_bytes());
    let done_without_a_code = message(NLMSG_DONE, 2, &[]);
    for end in [error(0), done, done_without_a_code] {
        assert!(matches!(answer(&end), Ok(Some(Answer::End))), "{end:?}");
    }
}

#[test]
fn what_does_not_decode_is_passed_over() {
    let noop = message(NLMSG_NOOP, 0, &[]);
    let error_without_a_number = message(NLMSG_ERROR, 0, &[0; 2]);
    for odd in [noop, error_without_a_number] {
        assert!(matches!(answer(&odd), Ok(None)), "{odd:?}");
    }
    let of_no_known_kind = message(4095, 0, &[1, 2, 3, 4]);
    let link_without_its_header = message(libc::RTM_NEWLINK, 0, &[0; 4]);
    for odd in [of_no_known_kind, link_without_its_header] {
        assert_eq!(decode(&odd), None, "{odd:?}");
        assert_eq!(link(&odd), None, "{odd:?}");
        assert_eq!(address(&odd), None, "{odd:?}");
    }
}

#[test]
fn an_interrupted_dump_says_so_in_any_message() {
    let flags = |bytes: &[u8]| {
        let mut rest = bytes;
        let flags = || next_message(&mut rest).map(|one| one.flags());
        std::iter::from_fn(flags).fold(0, |all, one| all | one)
    };
    assert_eq!(flags(HOST_LINKS) & NLM_F_DUMP_INTR, 0);
    let mut interrupted = HOST_LINKS.to_vec();
    interrupted.extend(message(NLMSG_DONE, NLM_F_DUMP_INTR, &[0; 4]));
    assert_ne!(flags(&interrupted) & NLM_F_DUMP_INTR, 0);
}

#[test]
fn messages_start_at_multiples_of_four() {
    let odd = message(NLMSG_NOOP, 0, b"abc");
    let done = message(NLMSG_DONE, 2, &[0; 4]);
    let both = [&odd[..], &[0], &done[..]].concat();
    assert_eq!(cut(&both), [&odd[..], &done[..]]);
    // The last one needs no padding.
    assert_eq!(cut(&odd), [&odd[..]]);
}

#[test]
fn a_length_that_cannot_be_is_no_message() {
    #[track_caller]
    fn check(length: u32) {
        let mut bytes = message(NLMSG_DONE, 2, &[0; 4]);
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        let mut rest = &bytes[..];
        assert!(next_message(&mut rest).is_none());
        assert_eq!(rest.len(), bytes.len(), "nothing is cut off");
    }

    check(0);
    check(15);
    check(21);
    check(u32::MAX);
}

#[test]
fn every_truncation_gives_whole_messages_or_none() {
    for whole in ALL {
        let messages = cut(whole);
        let mut starts_at = 0;
        let mut complete = 0;
        for len in 0..whole.len() {
            let ends_at = messages
                .get(complete)
                .map_or(usize::MAX, |one| starts_at + one.len());
            if len >= ends_at {
                starts_at = ends_at.next_multiple_of(4);
                complete += 1;
            }
            assert_eq!(cut(&whole[..len]).len(), complete, "cut at {len}");
        }
    }
}

#[test]
fn a_message_whose_payload_is_cut_decodes_without_a_panic() {
    for whole in ALL {
        for one in cut(whole) {
            for len in 16..one.len() {
                let mut short = one[..len].to_vec();
                let length = u32::try_from(len).expect("a small message");
                short[..4].copy_from_slice(&length.to_ne_bytes());
                drop((answer(&short), link(&short), address(&short)));
            }
        }
    }
}

/// The recorded namespaces as one look at the host gives them.
fn facts() -> Facts {
    let netns = |inode: u32, nsid: i32, path: &str, links| NetnsFacts {
        identity: Identity::Inode(NetnsInode(inode), None),
        nsid: Some(Nsid(nsid)),
        paths: vec![PathBuf::from(path)],
        processes: Vec::new(),
        links,
    };
    Facts {
        netnses: vec![
            netns(
                4_026_531_840,
                HOST_NSID,
                "/run/netns/ut-host",
                links(HOST_LINKS, HOST_ADDRESSES),
            ),
            netns(
                4_026_532_001,
                7,
                "/run/netns/ut-a",
                links(A_LINKS, A_ADDRESSES),
            ),
            netns(
                4_026_532_002,
                8,
                "/run/netns/ut-b",
                links(B_LINKS, B_ADDRESSES),
            ),
        ],
        containers: Vec::new(),
        before: std::collections::HashMap::new(),
        warnings: Vec::new(),
    }
}

#[test]
fn recorded_namespaces_are_watched_at_the_right_host_ends() {
    let topology = Topology::new(&facts());
    let watched: Vec<(&str, &str, &Peer)> = topology
        .watchable()
        .map(|(netns, iface, peer)| (&*netns.name, &*iface.link.name, peer))
        .collect();
    let peer = |name: &str, ifindex| Peer {
        name: name.to_owned(),
        ifindex: Ifindex(ifindex),
        master: Some("utbr0".to_owned()),
    };
    assert_eq!(
        watched,
        [
            ("ut-a", "eth0", &peer("ut-va", 21)),
            ("ut-b", "eth0", &peer("ut-vb", 22)),
        ]
    );
}

#[test]
fn recorded_interfaces_without_a_host_end_say_why() {
    let topology = Topology::new(&facts());
    let why: Vec<(&str, &str, &str)> = topology
        .netnses
        .iter()
        .skip(1)
        .flat_map(|netns| netns.interfaces.iter().map(|iface| (&*netns.name, iface)))
        .filter_map(|(name, iface)| match &iface.watch {
            Watch::No(why) => Some((name, &*iface.link.name, &**why)),
            Watch::HostVeth => None,
        })
        .collect();
    assert_eq!(
        why,
        [
            ("ut-a", "lo", "loopback"),
            (
                "ut-a",
                "tun0",
                "tun: a process (slirp4netns, pasta, a VPN) carries its packets, and it has no host end"
            ),
            (
                "ut-a",
                "mv0",
                "macvlan on the host's utd0: it has no host end"
            ),
            ("ut-a", "x0", "its peer is in ut-b, not on the host"),
            ("ut-a", "in0", "both ends are in this namespace"),
            ("ut-a", "in1", "both ends are in this namespace"),
            ("ut-b", "lo", "loopback"),
            ("ut-b", "y0", "its peer is in ut-a, not on the host"),
        ]
    );
}

#[test]
fn a_name_that_is_not_utf8_hides_no_link() {
    let names: Vec<String> = cut(ODD_NAMES)
        .into_iter()
        .filter_map(|one| Some(link(one)?.name))
        .collect();
    assert_eq!(names, ["lo", "a\x1b[31mb", "eth\u{fffd}0"]);
}
