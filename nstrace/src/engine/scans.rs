//! When to look at the host: soon after an event, seldom where there is none, and never so often
//! that it is felt.
//!
//! No clock: the time is told, and the CPU time that a look took. How long it took is no measure: a
//! look waits for RTNL, most of all while many pods come and go.

use std::time::Duration;

use tokio::time::Instant;

/// Events come in groups; the first waits this long for the rest.
const SETTLE: Duration = Duration::from_millis(3);
/// Looks that events ask for take at most one part in this many of a core ..
const SHARE: u32 = 10;
/// .. over the time since so long ago: a new pod makes several groups of events, each of which is
/// looked at when it comes.
const BURST: Duration = Duration::from_secs(1);
/// What no event tells (a process that unshares its namespace), or an event that was lost unseen,
/// is found by a look at the whole. Those take at most one part in this many of a core.
const FULL_CHECK_SHARE: u32 = 1000;

/// The plan.
#[derive(Debug)]
pub(super) struct Scans {
    /// When the next one is due that something has asked for.
    asked: Option<Instant>,
    /// When the next look at the whole is due.
    full: Instant,
    /// Least time between two of those.
    full_check: Duration,
    /// Which one is under way, since when.
    running: Option<(Instant, bool)>,
    /// What was looked at is paid for then.
    paid: Instant,
}

impl Scans {
    /// The first one has just been made, and took so much CPU time. Looks at the whole come after
    /// `full_check` each, or more.
    pub(super) fn new(now: Instant, took: Duration, full_check: Duration) -> Self {
        Self {
            asked: None,
            full: now + full_check.max(took * FULL_CHECK_SHARE),
            full_check,
            running: None,
            paid: now.checked_sub(BURST).unwrap_or(now),
        }
    }

    /// Something may have changed.
    pub(super) fn ask(&mut self, now: Instant) {
        let due = (now + SETTLE).max(self.paid);
        self.asked = Some(self.asked.map_or(due, |already| already.min(due)));
    }

    /// When the next one is to be started; not while one is under way.
    pub(super) fn due(&self) -> Option<Instant> {
        let next = self.asked.map_or(self.full, |asked| asked.min(self.full));
        self.running.is_none().then_some(next)
    }

    /// One is started. Gives whether it is to be at the whole.
    pub(super) fn start(&mut self, now: Instant) -> bool {
        let is_full = self.full <= now;
        self.asked = None;
        self.running = Some((now, is_full));
        is_full
    }

    /// It has ended, after so much CPU time.
    pub(super) fn end(&mut self, now: Instant, took: Duration) {
        let Some((since, is_full)) = self.running.take() else {
            return;
        };
        if is_full {
            self.full = now + self.full_check.max(took * FULL_CHECK_SHARE);
        } else {
            let earliest = since.checked_sub(BURST).unwrap_or(since);
            self.paid = self.paid.max(earliest) + took * SHARE;
        }
        // What came meanwhile was asked for before it was known what this one would take.
        self.asked = self.asked.map(|asked| asked.max(self.paid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const FULL_CHECK: Duration = Duration::from_secs(3);

    /// A plan whose first look at the whole, of `took`, is over; and the time of its end.
    fn after_the_first(took: Duration) -> (Scans, Instant) {
        let now = Instant::now();
        (Scans::new(now, took, FULL_CHECK), now)
    }

    /// One look that took so long, started when it is due; gives that time.
    fn run(scans: &mut Scans, took: Duration) -> Instant {
        let due = scans.due().expect("nothing is under way");
        assert!(!scans.start(due), "asked for");
        assert_eq!(scans.due(), None);
        scans.end(due + took, took);
        due
    }

    #[test]
    fn an_event_is_looked_at_at_once_and_another_right_behind_it_too() {
        let (mut scans, now) = after_the_first(50 * MS);
        for at in [100, 110, 120] {
            let event = now + at * MS;
            scans.ask(event);
            scans.ask(event + MS);
            assert_eq!(run(&mut scans, 5 * MS), event + SETTLE);
        }
    }

    #[test]
    fn a_storm_of_events_gets_its_share_and_no_more() {
        let (mut scans, now) = after_the_first(MS);
        let took = 20 * MS;
        let mut looks = 0;
        let mut event = now;
        while event < now + Duration::from_secs(2) {
            scans.ask(event);
            let due = run(&mut scans, took);
            looks += 1;
            event = due + took;
        }
        let spent = took * looks;
        let share = (Duration::from_secs(2) + BURST) / SHARE;
        assert!(spent <= share + took, "{spent:?} of {share:?}");
        assert!(spent >= share / 2, "{spent:?} of {share:?}");
    }

    #[test]
    fn what_a_look_waits_for_others_is_not_its_own() {
        let (mut scans, now) = after_the_first(MS);
        let mut event = now;
        for _ in 0..100 {
            scans.ask(event);
            let due = scans.due().expect("nothing is under way");
            assert_eq!(due, event + SETTLE);
            scans.start(due);
            event = due + 15 * MS;
            scans.end(event, MS / 2);
        }
    }

    #[test]
    fn a_look_at_the_whole_comes_by_itself_and_is_seldom_where_it_is_long() {
        let (scans, now) = after_the_first(MS);
        assert_eq!(scans.due(), Some(now + FULL_CHECK));
        let (mut scans, now) = after_the_first(50 * MS);
        let full = now + 50 * MS * FULL_CHECK_SHARE;
        assert_eq!(scans.due(), Some(full));
        // Other looks do not put it off.
        scans.ask(now + MS);
        run(&mut scans, MS);
        assert_eq!(scans.due(), Some(full));
        assert!(scans.start(full), "at the whole");
        scans.end(full + MS, MS);
        assert_eq!(scans.due(), Some(full + MS + FULL_CHECK));
    }

    #[test]
    fn what_comes_while_one_is_under_way_is_looked_at_by_the_next() {
        let (mut scans, now) = after_the_first(MS);
        scans.ask(now);
        let due = scans.due().expect("asked for");
        scans.start(due);
        scans.ask(due + MS);
        assert_eq!(scans.due(), None);
        scans.end(due + 2 * MS, 2 * MS);
        assert_eq!(scans.due(), Some(due + MS + SETTLE));
    }
}
