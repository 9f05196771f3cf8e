//! What is packed into words comes out of them, and stands where both sides look for it.

use core::mem::offset_of;

use proptest::prelude::*;
use zerocopy::IntoBytes as _;

use super::*;

fn kinds() -> impl Strategy<Value = FlowKind> {
    proptest::sample::select(FlowKind::ALL.to_vec())
}

proptest! {
    #[test]
    fn an_owner_survives_its_bits_and_needs_no_other(
        slot in any::<u16>(),
        tenure in 0..Owner::TENURES,
        other in any::<u32>(),
    ) {
        let owner = Owner { slot, tenure };
        let bits = owner.to_bits();
        prop_assert_eq!(bits & !Owner::MASK, 0);
        prop_assert_eq!(Owner::from_bits(bits), owner);
        prop_assert_eq!(Owner::from_bits(bits | other & !Owner::MASK), owner);
    }

    #[test]
    fn a_tail_gives_what_it_was_made_of(
        slot in any::<u16>(),
        tenure in 0..Owner::TENURES,
        kind in kinds(),
        protocol in any::<u8>(),
        ports in any::<[u16; 2]>(),
    ) {
        let owner = Owner { slot, tenure };
        let tail = FlowTail::new(owner.to_bits(), kind, protocol, ports);
        prop_assert_eq!(tail.owner(), owner);
        prop_assert_eq!(tail.kind(), Some(kind));
        prop_assert_eq!(tail.protocol(), protocol);
        prop_assert_eq!([tail.local_port, tail.remote_port], ports);
    }
}

#[test]
fn tenures_count_modulo_their_number() {
    let owner = |tenure| Owner { slot: 7, tenure };
    let next = owner(Owner::TENURES).to_bits();
    assert_eq!(Owner::from_bits(next), owner(0));
    assert_eq!(Owner::MASK & Owner::WATCHED, 0);
    let last = Owner {
        slot: u16::MAX,
        tenure: Owner::TENURES - 1,
    };
    assert_eq!(last.to_bits(), Owner::MASK);
}

#[test]
fn a_kind_that_is_none_has_no_name() {
    let tail = FlowTail {
        bits: 7 << 21,
        ..FlowTail::default()
    };
    assert_eq!(tail.kind(), None);
    for (number, kind) in (0_u8..).zip(FlowKind::ALL) {
        assert_eq!(kind as u8, number);
    }
    for (number, class) in (0_u32..).zip(Class::ALL) {
        assert_eq!(class as u32, number);
    }
}

/// The kernel side compares, hashes and copies keys and values as words from an entry's start.
#[test]
fn entries_and_spills_start_with_whole_words() {
    assert_eq!(offset_of!(FlowEntry4, key), 0);
    assert_eq!(offset_of!(FlowEntry6, key), 0);
    assert_eq!(offset_of!(FlowKey4, tail), 8);
    assert_eq!(offset_of!(FlowKey6, tail), 32);
    assert_eq!(offset_of!(Spill, key) % 8, 0);
    assert_eq!(offset_of!(Spill, stats) % 8, 0);
    assert_eq!(size_of::<FlowKey6>(), HASH_WORDS * 8);
    // Flags and SYNs are emptied as one word, the counts as words of eight bytes.
    assert_eq!(offset_of!(FlowStats, tcp_flags) % 4, 0);
    assert_eq!(
        offset_of!(FlowStats, syns),
        offset_of!(FlowStats, tcp_flags) + 2
    );
    assert_eq!(offset_of!(FlowEntry4, stats) % 8, 0);
    assert_eq!(offset_of!(FlowStats, counts) % 8, 0);
}

/// A line that one CPU writes is no other CPU's.
#[test]
fn whole_cache_lines_are_shared_by_nobody() {
    assert_eq!(
        (size_of::<FlowEntry4>(), align_of::<FlowEntry4>()),
        (64, 64)
    );
    assert_eq!(
        (size_of::<FlowEntry6>(), align_of::<FlowEntry6>()),
        (128, 128)
    );
    assert_eq!(align_of::<CpuCounters>(), 64);
    assert_eq!(offset_of!(Lane, tail), offset_of!(Lane, head) + 64);
}

#[test]
fn addresses_and_ports_stand_in_a_key_as_they_stand_in_a_packet() {
    let key = FlowKey4 {
        local: u32::from_ne_bytes([192, 0, 2, 1]),
        remote: u32::from_ne_bytes([198, 51, 100, 2]),
        tail: FlowTail::new(0, FlowKind::Ports, 0, [443_u16.to_be(), 1000_u16.to_be()]),
    };
    let expected = [192, 0, 2, 1, 198, 51, 100, 2, 0x01, 0xbb, 0x03, 0xe8];
    assert_eq!(key.as_bytes()[..12], expected);
}
