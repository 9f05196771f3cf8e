//! What holds of any packet.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    judge::{Judged, judge},
    packets::packets,
    *,
};

/// The packet that goes the other way: addresses and ports have changed places.
fn turned(frame: &[u8], judged: &Judged) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let mut swap = |at: usize, length: usize| {
        let (source, destination) = frame[at..at + 2 * length].split_at_mut(length);
        source.swap_with_slice(destination);
    };
    match judged.whole.ends {
        Some([IpAddr::V4(_), _]) => swap(judged.l3 + 12, 4),
        _ => swap(judged.l3 + 8, 16),
    }
    if judged.whole.kind == FlowKind::Ports {
        swap(judged.l4, 2);
    }
    frame
}

/// Bytes that lead far into the parser: packets with some bytes changed, headers with garbage
/// behind them, and garbage.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let changed = (packets(), edits).prop_map(|(mut frame, edits)| {
        for (at, byte) in edits {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame
    });
    let types = select(vec![0x0800_u16, 0x86dd, 0x8100, 0x88a8, 0x0806]);
    let garbage = vec(any::<u8>(), 0..120);
    let headed = (types, select(vec![0x45_u8, 0x4f, 0x60]), garbage.clone()).prop_map(
        |(ethertype, first, garbage)| [ethernet(&[ethertype]), vec![first], garbage].concat(),
    );
    prop_oneof![changed, headed, garbage]
}

fn is_cut_short(seen: &Seen) -> bool {
    seen.class == Class::Truncated || seen.kind == FlowKind::Truncated
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn another_parser_says_the_same_of_any_packet_cut_anywhere(frame in packets()) {
        let judged = judge(&frame);
        for len in 0..=frame.len() {
            check(&frame[..len], &judged.cut(len));
        }
    }

    #[test]
    fn both_ends_of_a_flow_have_one_key_for_it(frame in packets()) {
        let turned = turned(&frame, &judge(&frame));
        for len in 0..=frame.len() {
            let sent = full(&&frame[..len], OWNER, Direction::Tx);
            let received = full(&&turned[..len], OWNER, Direction::Rx);
            prop_assert_eq!(sent, received, "cut at {}", len);
        }
    }

    #[test]
    fn what_is_not_linear_is_the_same_by_the_long_way(frame in packets()) {
        for linear in 0..=frame.len() {
            let paged = Paged { bytes: &frame, linear };
            for direction in DIRECTIONS {
                let packet = full(&paged, OWNER, direction);
                prop_assert_eq!(packet, full(&&frame[..], OWNER, direction));
                check_quick(&paged, &packet, direction);
            }
        }
    }

    #[test]
    fn any_bytes_are_parsed_to_something_that_makes_sense(bytes in bytes()) {
        let packet = full(&&bytes[..], OWNER, Direction::Tx);
        let seen = seen(&packet, Direction::Tx);
        check(&bytes, &seen);
        let is_unparsed = matches!(
            (seen.kind, seen.class),
            (FlowKind::Unparsed, Class::Truncated | Class::Malformed | Class::ManyTags)
        );
        prop_assert_eq!(is_unparsed, seen.kind == FlowKind::Unparsed);
        prop_assert!(!is_unparsed || seen.ports == [0, seen.class as u16]);
        let is_tcp = seen.kind == FlowKind::Ports && seen.protocol == 6;
        prop_assert!(is_tcp || seen.tcp_flags == 0);
        // Six extension headers of 2,048 bytes and the longest headers around them.
        prop_assert!((12..=14 + 8 + 60 + 6 * 2048 + 60).contains(&seen.headers));
    }

    /// What an empty entry of the cache holds, which must match nothing.
    #[test]
    fn no_packet_of_the_first_owner_has_a_key_of_zeroes(bytes in bytes()) {
        for len in [bytes.len(), bytes.len() / 2, 0] {
            for direction in DIRECTIONS {
                let packet = full(&&bytes[..len], 0, direction);
                prop_assert_ne!(packet.parsed.key, [0; 5]);
            }
        }
    }

    #[test]
    fn more_bytes_change_nothing_once_enough_are_there(bytes in bytes()) {
        let mut enough: Option<(usize, Packet)> = None;
        for len in 0..=bytes.len() {
            let packet = full(&&bytes[..len], OWNER, Direction::Rx);
            if let Some((since, enough)) = &enough {
                prop_assert_eq!(packet, *enough, "at {}, seen at {}", len, since);
            } else if !is_cut_short(&seen(&packet, Direction::Rx)) {
                enough = Some((len, packet));
            }
        }
    }
}
