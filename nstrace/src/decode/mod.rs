//! Ring bytes to records. Total: it never panics, and says how much it could not read.

pub mod packet;

use nstrace_ebpf::wire::{Sample, Spill, WIRE_VERSION};
use zerocopy::FromBytes as _;

/// The samples in a batch of whole records, and the number of records of another version or of a
/// length that is none.
#[must_use]
pub fn samples(batch: &[u8]) -> (Vec<Sample>, usize) {
    let mut found = Vec::with_capacity(batch.len() / size_of::<Sample>());
    let mut unreadable = 0;
    for record in batch.chunks(size_of::<Sample>()) {
        match Sample::read_from_bytes(record) {
            Ok(sample) if sample.version == WIRE_VERSION => found.push(sample),
            _ => unreadable += 1,
        }
    }
    (found, unreadable)
}

/// The spills in a batch of whole records, and the number of records of a length that is none.
#[must_use]
pub fn spills(batch: &[u8]) -> (Vec<Spill>, usize) {
    let records = batch.chunks_exact(size_of::<Spill>());
    let unreadable = usize::from(!records.remainder().is_empty());
    let found = records.filter_map(|record| Spill::read_from_bytes(record).ok());
    (found.collect(), unreadable)
}

#[cfg(test)]
mod tests {
    use nstrace_ebpf::wire::Tally;
    use proptest::prelude::*;
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;

    fn sample(slot: u32, version: u32) -> Sample {
        let tally = Tally {
            packets: 3,
            bytes: 4500,
        };
        Sample {
            version,
            slot,
            window_end: 77,
            tallies: [tally, Tally::default()],
        }
    }

    #[test]
    fn whole_records_are_read_in_order() {
        let sent = [sample(1, WIRE_VERSION), sample(2, WIRE_VERSION)];
        assert_eq!(samples(sent.as_bytes()), (sent.to_vec(), 0));
    }

    #[test]
    fn a_record_of_another_version_is_counted_and_hides_no_other() {
        let sent = [sample(1, WIRE_VERSION + 1), sample(2, WIRE_VERSION)];
        assert_eq!(samples(sent.as_bytes()), (vec![sent[1]], 1));
    }

    #[test]
    fn whole_spills_are_read_in_order_and_what_is_left_is_counted() {
        let spill = |entry| Spill {
            entry,
            ..Spill::new_zeroed()
        };
        let sent = [spill(1), spill(2)];
        assert_eq!(spills(sent.as_bytes()), (sent.to_vec(), 0));
        let cut = &sent.as_bytes()[..2 * size_of::<Spill>() - 1];
        assert_eq!(spills(cut), (vec![sent[0]], 1));
        assert_eq!(spills(&[]), (vec![], 0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(batch in prop::collection::vec(any::<u8>(), 0..500)) {
            let (found, unreadable) = samples(&batch);
            prop_assert_eq!(found.len() + unreadable, batch.len().div_ceil(size_of::<Sample>()));
        }
    }
}
