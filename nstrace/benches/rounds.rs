//! How something is timed on a machine that others use too: every variant in turn, round after
//! round, in CPU time of the one thread; then the least and the first quartile.
//!
//! A noisy neighbour makes rounds slower, never faster, and all variants of a round alike. So
//! differences and ratios within one run are facts, while single figures of two runs are not.

use std::time::Duration;

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

/// What one variant has taken, a number a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value that `share` (0 to 1) of all are not above: the nearest rank.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a small length"
        )]
        let rank = (share * to_f64(sorted.len())).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    pub(crate) fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    /// The first quartile.
    pub(crate) fn p25(&self) -> f64 {
        self.quantile(0.25)
    }

    /// How restless the machine was: 1 on one where nothing else happens.
    pub(crate) fn noise(&self) -> f64 {
        self.p25() / self.min()
    }
}

/// A number of something, for arithmetic. Exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no count here is that large")]
pub(crate) fn to_f64(count: usize) -> f64 {
    count as f64
}

/// One variant: what it gives is a number of the round.
pub(crate) type Arm<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// Runs all arms in turn, `rounds` times after one that does not count.
pub(crate) fn interleaved(rounds: usize, arms: &mut [Arm<'_>]) -> Vec<Series> {
    let mut series = vec![Series::default(); arms.len()];
    for arm in &mut *arms {
        arm();
    }
    for _ in 0..rounds {
        for (arm, series) in arms.iter_mut().zip(&mut series) {
            series.push(arm());
        }
    }
    series
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("every Linux has this clock")
        .into()
}

/// Keeps the calling thread, and those that it makes, on the last CPU that it may use. Flows are
/// cached for each CPU: a thread that moves would find them gone.
pub(crate) fn pin() {
    let me = Pid::from_raw(0);
    let allowed = sched_getaffinity(me).unwrap();
    let last = (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .unwrap();
    let mut only = CpuSet::new();
    only.set(last).unwrap();
    sched_setaffinity(me, &only).unwrap();
}
