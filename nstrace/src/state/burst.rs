//! The busiest window of an interval, from samples that arrive late and from several CPUs.
//!
//! A sample is sent with the first packet after its window, which may be seconds later. So the
//! windows that are still open are looked at too, and what was reported once is not reported
//! again when its sample comes.

use std::{collections::BTreeMap, time::Duration};

use nstrace_ebpf::wire::{CpuCounters, DIRECTIONS, Tally};

/// Windows that are kept, the newest: more than a second, when samples are 20 ms late. A sample of
/// an older one is of a CPU that was idle since, and was reported while it was open.
const MAX_WINDOWS: usize = 128;

type Bytes = [u64; DIRECTIONS];

/// One window, all CPUs together.
#[derive(Debug, Default)]
struct Window {
    /// What samples told of it.
    closed: Bytes,
    /// The largest sum that an earlier interval has shown.
    reported: Bytes,
}

/// Windows of one interface, and the largest so far in this interval.
#[derive(Debug, Default)]
pub(super) struct Burst {
    windows: BTreeMap<u64, Window>,
    largest: Bytes,
}

impl Burst {
    /// Adds what one CPU counted in the window that ends at `window_end`.
    pub(super) fn add(&mut self, window_end: u64, tallies: [Tally; DIRECTIONS]) {
        if let Some(window) = self.window(window_end) {
            window.closed = plus(window.closed, bytes(tallies));
            let news = news(window.closed, window.reported);
            self.largest = max(self.largest, news);
        }
    }

    /// Ends an interval: bits per second in its busiest window, by direction. `open` are the
    /// counters as they stand.
    pub(super) fn close(
        &mut self,
        length: Duration,
        open: impl Iterator<Item = CpuCounters>,
    ) -> Bytes {
        let mut still_open: BTreeMap<u64, Bytes> = BTreeMap::new();
        for cpu in open {
            let sum = still_open.entry(cpu.window_end).or_default();
            *sum = plus(*sum, bytes(cpu.window()));
        }
        let mut largest = std::mem::take(&mut self.largest);
        for window in self.windows.values_mut() {
            window.reported = max(window.reported, window.closed);
        }
        for (window_end, sum) in still_open {
            if let Some(window) = self.window(window_end) {
                let sum = plus(window.closed, sum);
                largest = max(largest, news(sum, window.reported));
                window.reported = max(window.reported, sum);
            }
        }
        largest.map(|bytes| bits_per_second(bytes, length))
    }

    /// The window that ends at `window_end`, unless it is too old to be kept.
    fn window(&mut self, window_end: u64) -> Option<&mut Window> {
        let is_known = self.windows.contains_key(&window_end);
        if !is_known && self.windows.len() >= MAX_WINDOWS {
            let (oldest, _) = self.windows.first_key_value()?;
            if window_end < *oldest {
                return None;
            }
            self.windows.pop_first();
        }
        Some(self.windows.entry(window_end).or_default())
    }
}

fn bytes(tallies: [Tally; DIRECTIONS]) -> Bytes {
    tallies.map(|tally| tally.bytes)
}

fn plus(a: Bytes, b: Bytes) -> Bytes {
    [a[0] + b[0], a[1] + b[1]]
}

fn max(a: Bytes, b: Bytes) -> Bytes {
    [a[0].max(b[0]), a[1].max(b[1])]
}

/// A sum, where it is more than was reported already; else nothing.
fn news(sum: Bytes, reported: Bytes) -> Bytes {
    let news = |at: usize| if sum[at] > reported[at] { sum[at] } else { 0 };
    [news(0), news(1)]
}

fn bits_per_second(bytes: u64, window: Duration) -> u64 {
    let nanos = window.as_nanos().max(1);
    u64::try_from(u128::from(bytes) * 8 * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(10);

    fn tallies(rx: u64, tx: u64) -> [Tally; DIRECTIONS] {
        [rx, tx].map(|bytes| Tally { packets: 1, bytes })
    }

    fn open(window_end: u64, rx: u64, tx: u64) -> CpuCounters {
        let mut counters = CpuCounters::new_zeroed();
        counters.window_end = window_end;
        for (classes, tally) in counters.classes.iter_mut().zip(tallies(rx, tx)) {
            classes[0] = tally;
        }
        counters
    }

    #[test]
    fn cpus_of_one_window_add_up_whatever_their_order() {
        let mut burst = Burst::default();
        burst.add(20, tallies(1000, 0));
        burst.add(10, tallies(300, 7));
        burst.add(20, tallies(250, 0));
        assert_eq!(
            burst.close(WINDOW, std::iter::empty()),
            [1250 * 800, 7 * 800]
        );
    }

    #[test]
    fn a_burst_that_no_later_packet_reports_is_seen_all_the_same() {
        let mut burst = Burst::default();
        burst.add(30, tallies(400, 0));
        let peak = burst.close(WINDOW, [open(30, 600, 0), open(20, 10, 0)].into_iter());
        assert_eq!(peak, [1000 * 800, 0]);
    }

    #[test]
    fn what_was_seen_open_is_not_seen_again() {
        let mut burst = Burst::default();
        assert_eq!(
            burst.close(WINDOW, [open(30, 600, 0)].into_iter()),
            [600 * 800, 0]
        );
        // Idle: the window stays open.
        assert_eq!(burst.close(WINDOW, [open(30, 600, 0)].into_iter()), [0, 0]);
        // A packet, seconds later, sends it.
        burst.add(30, tallies(600, 0));
        assert_eq!(
            burst.close(WINDOW, [open(500, 50, 0)].into_iter()),
            [50 * 800, 0]
        );
    }

    #[test]
    fn a_window_that_grows_across_the_end_of_an_interval_is_seen_whole() {
        let mut burst = Burst::default();
        assert_eq!(
            burst.close(WINDOW, [open(30, 100, 0)].into_iter()),
            [100 * 800, 0]
        );
        burst.add(30, tallies(900, 0));
        assert_eq!(burst.close(WINDOW, std::iter::empty()), [900 * 800, 0]);
    }

    #[test]
    fn a_sample_from_long_ago_is_old_news() {
        let mut burst = Burst::default();
        for window_end in 1000..1000 + MAX_WINDOWS as u64 {
            burst.add(window_end, tallies(1, 0));
        }
        burst.add(10, tallies(5000, 0));
        assert_eq!(
            burst.close(WINDOW, [open(20, 5000, 0)].into_iter()),
            [800, 0]
        );
    }

    #[test]
    fn an_interval_without_packets_has_no_peak_of_the_last() {
        let mut burst = Burst::default();
        burst.add(10, tallies(1000, 1000));
        burst.close(WINDOW, std::iter::empty());
        assert_eq!(burst.close(WINDOW, std::iter::empty()), [0, 0]);
    }

    #[test]
    fn the_table_is_bounded_and_eviction_keeps_the_peak() {
        let mut burst = Burst::default();
        burst.add(0, tallies(5000, 0));
        for window_end in 1..1000 {
            burst.add(window_end, tallies(1, 0));
        }
        assert_eq!(burst.windows.len(), MAX_WINDOWS);
        assert_eq!(burst.close(WINDOW, std::iter::empty())[0], 5000 * 800);
    }
}
