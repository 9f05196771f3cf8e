//! A program without loops: each instruction with where it leads, in an order in which it leads
//! onwards only.
//!
//! Only `protochain` has loops: libpcap jumps back to follow the next header. The verifier would
//! follow a loop that counts its rounds, but not without `CAP_PERFMON`: then it also follows what a
//! processor might do on a guess, and a guess does not end a loop. So a loop becomes as many copies of
//! it as it may have rounds.

use std::collections::{BTreeMap, VecDeque};

use super::{Next, TranslateError, next};
use crate::filter::classic::Instruction;

/// How often a loop may jump back.
pub const MAX_LOOPS: usize = 32;

/// An instruction, and where it leads: to steps by their number, or, for `None`, to where packets end
/// that do not match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) one: Instruction,
    pub(super) next: [Option<usize>; 2],
}

/// An instruction in one round of its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Where its loop begins, or itself, outside of one.
    start: usize,
    round: usize,
    at: usize,
}

/// Steps in their order; only what can be reached.
pub(super) fn unroll(program: &[Instruction]) -> Result<Vec<Step>, TranslateError> {
    let loops = loops(program)?;
    let begin = |at: usize, from: Option<Place>| -> Option<Place> {
        let start = loops
            .iter()
            .find(|(start, end)| (*start..=*end).contains(&at));
        let Some((start, _)) = start.copied() else {
            return Some(Place {
                start: at,
                round: 0,
                at,
            });
        };
        let round = match from {
            Some(from) if from.start == start => from.round + usize::from(at <= from.at),
            _ => 0,
        };
        (round <= MAX_LOOPS).then_some(Place { start, round, at })
    };
    let mut found: BTreeMap<Place, [Option<Place>; 2]> = BTreeMap::new();
    let mut left: VecDeque<Place> = begin(0, None).into_iter().collect();
    while let Some(place) = left.pop_front() {
        if found.contains_key(&place) {
            continue;
        }
        let leads = targets(program, place.at)?.map(|to| begin(to?, Some(place)));
        left.extend(leads.iter().flatten());
        found.insert(place, leads);
    }
    let numbers: BTreeMap<Place, usize> = found.keys().copied().zip(0..).collect();
    let step = |(place, leads): (&Place, &[Option<Place>; 2])| {
        let one = *program.get(place.at)?;
        let next = leads.map(|lead| numbers.get(&lead?).copied());
        Some(Step { one, next })
    };
    Ok(found.iter().filter_map(step).collect())
}

/// Where an instruction leads, in the program.
fn targets(program: &[Instruction], at: usize) -> Result<[Option<usize>; 2], TranslateError> {
    let malformed = TranslateError::Malformed { at };
    let one = *program.get(at).ok_or(malformed.clone())?;
    let targets = match next(one, at) {
        Next::Ends => [None, None],
        Next::One(to) => [Some(to), None],
        Next::Two(yes, no) => [Some(yes), Some(no)],
    };
    if targets.iter().flatten().any(|to| *to >= program.len()) {
        return Err(malformed);
    }
    Ok(targets)
}

/// First and last instruction of each loop that can be reached; those that overlap are one.
fn loops(program: &[Instruction]) -> Result<Vec<(usize, usize)>, TranslateError> {
    let mut seen = vec![false; program.len()];
    let mut left = VecDeque::from([0]);
    let mut back = Vec::new();
    while let Some(at) = left.pop_front() {
        let to = targets(program, at)?;
        if std::mem::replace(&mut seen[at], true) {
            continue;
        }
        for to in to.into_iter().flatten() {
            if to <= at {
                back.push((to, at));
            }
            left.push_back(to);
        }
    }
    back.sort_unstable();
    let mut loops: Vec<(usize, usize)> = Vec::new();
    for (start, end) in back {
        match loops.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => loops.push((start, end)),
        }
    }
    Ok(loops)
}
