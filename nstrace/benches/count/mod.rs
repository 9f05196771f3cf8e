//! `count.*`: what the ingress program adds to a packet, in nanoseconds over an empty program, by
//! `BPF_PROG_TEST_RUN`.
//!
//! | result | packets |
//! |---|---|
//! | `ns_only` | one 60-byte IPv4 UDP packet, flow counting switched off |
//! | `flow_1` | the same one, flows counted |
//! | `flow_4k`, `flow_64k` | 60-byte IPv4 UDP of 4,096 and 65,536 flows in turn |
//! | `flow6_1` | one 78-byte IPv6 UDP packet |
//! | `mixed` | 1,024 flows: IPv4 and IPv6, UDP and TCP, a quarter each and in no order; an eighth are super-packets of three segments, in a call of their own |
//! | `hash_1`, `hash_4k`, `hash_64k` | a yardstick: the packets of `flow_*`, looked up and added up in a `PERCPU_HASH` |
//!
//! All run hot: nothing else uses the caches between two packets. `path.*` is the other view.

mod driver;
mod frames;
mod yardstick;

use std::{
    cell::RefCell,
    os::fd::{AsFd as _, OwnedFd},
};

pub(crate) use driver::{empty, run as test_run};
pub(crate) use frames::{Family, Transport, frame};

use self::driver::{Driver, Frames, TEMPLATE};
use crate::{
    Bench,
    report::Measured,
    rounds::{Arm, interleaved, pin},
    support::bpf::SkBuff,
    target::{Flows, Target},
};

const ROUNDS: usize = 41;
const QUICK_ROUNDS: usize = 15;
const PACKETS: u32 = 200_000;
/// Segments of a super-packet, and the payload of each.
const SEGMENTS: u32 = 3;
const SEGMENT: u32 = 400;
const IPV4_LEN: usize = 60;
const IPV6_LEN: usize = 78;

/// One result: the program measured and the empty one, on the same packets.
struct Case {
    name: &'static str,
    measured: Side,
    empty: Side,
}

/// One of the two.
struct Side {
    packets: Packets,
    /// Where the packets must have been counted.
    target: Option<RefCell<Target>>,
    _program: Option<OwnedFd>,
}

/// What is run to have the packets of a round.
enum Packets {
    Same(OwnedFd, Vec<u8>),
    /// And how many of each.
    Different(Vec<(Driver, u32)>),
}

/// What packets a case is about.
#[derive(Clone, Copy)]
enum Kind {
    Same(Family),
    Many(u32),
    Mix,
}

pub(crate) fn run(bench: &Bench) {
    pin();
    let all = [
        ("count.ns_only", Some(Flows::Off), Kind::Same(Family::V4)),
        ("count.flow_1", Some(Flows::On), Kind::Same(Family::V4)),
        ("count.flow_4k", Some(Flows::On), Kind::Many(4096)),
        ("count.flow_64k", Some(Flows::On), Kind::Many(65_536)),
        ("count.flow6_1", Some(Flows::On), Kind::Same(Family::V6)),
        ("count.mixed", Some(Flows::On), Kind::Mix),
        ("count.hash_1", None, Kind::Same(Family::V4)),
        ("count.hash_4k", None, Kind::Many(4096)),
        ("count.hash_64k", None, Kind::Many(65_536)),
    ];
    let cases: Vec<Case> = all
        .into_iter()
        .filter(|(name, ..)| bench.wants(name))
        .map(|(name, flows, kind)| Case::new(name, flows, kind))
        .collect();
    let mut arms: Vec<Arm<'_>> = cases
        .iter()
        .flat_map(|case| [&case.measured, &case.empty])
        .map(|side| Box::new(|| side.round()) as Arm<'_>)
        .collect();
    let series = interleaved(bench.pick(ROUNDS, QUICK_ROUNDS), &mut arms);
    for (case, series) in cases.iter().zip(series.chunks(2)) {
        let [measured, empty] = series else { continue };
        bench.report(
            Measured::new(case.name, measured.min() - empty.min())
                .p25(measured.p25() - empty.p25())
                .baseline("empty", empty.min()),
        );
        let lost = case
            .measured
            .target
            .as_ref()
            .map(|target| target.borrow().lost());
        if let Some(lost @ 1..) = lost {
            bench.note(&format!("{}: {lost} records found no room", case.name));
        }
    }
    if let Some(noise) = series
        .chunks(2)
        .map(|pair| pair[1].noise())
        .reduce(f64::max)
    {
        bench.report(Measured::new("count.noise", noise));
    }
}

impl Case {
    /// `flows`: what of nstrace is measured; `None` is the yardstick.
    fn new(name: &'static str, flows: Option<Flows>, kind: Kind) -> Self {
        let measured = if let Some(flows) = flows {
            let target = Target::on_loopback(flows);
            let packets = Packets::new(target.ingress().try_clone_to_owned().unwrap(), kind);
            Side {
                packets,
                target: Some(RefCell::new(target)),
                _program: None,
            }
        } else {
            Side::of(yardstick::per_cpu_hash(), kind)
        };
        Self {
            name,
            measured,
            empty: Side::of(driver::empty(), kind),
        }
    }
}

impl Side {
    fn of(program: OwnedFd, kind: Kind) -> Self {
        Self {
            packets: Packets::new(program.try_clone().unwrap(), kind),
            target: None,
            _program: Some(program),
        }
    }

    fn round(&self) -> f64 {
        let Some(target) = &self.target else {
            return self.packets.run();
        };
        let before = target.borrow().packets(0);
        let cost = self.packets.run();
        let counted = target.borrow().packets(0) - before;
        assert_eq!(counted, u64::from(PACKETS), "every packet was counted");
        target.borrow_mut().drain();
        cost
    }
}

impl Packets {
    fn new(program: OwnedFd, kind: Kind) -> Self {
        match kind {
            Kind::Same(Family::V4) => Self::Same(program, ipv4()),
            Kind::Same(Family::V6) => {
                Self::Same(program, frame(Family::V6, Transport::Udp, IPV6_LEN))
            }
            Kind::Many(flows) => {
                let frames = Frames::One(Family::V4, ipv4());
                let driver = Driver::new(program.as_fd(), &frames, flows, SkBuff::single());
                Self::Different(vec![(driver, PACKETS)])
            }
            Kind::Mix => {
                const FLOWS: u32 = 1024;
                let segmented = SkBuff::segmented(SEGMENTS, SEGMENT);
                let payload = (SEGMENTS * SEGMENT) as usize;
                let driver =
                    |payload, context| Driver::new(program.as_fd(), &mix(payload), FLOWS, context);
                let super_packets = PACKETS / 8;
                Self::Different(vec![
                    (driver(0, SkBuff::single()), PACKETS - super_packets),
                    (driver(payload, segmented), super_packets),
                ])
            }
        }
    }

    /// Nanoseconds a packet.
    fn run(&self) -> f64 {
        let ns = match self {
            Self::Same(program, packet) => {
                driver::run(program.as_fd(), packet, &SkBuff::single(), PACKETS)
            }
            Self::Different(drivers) => drivers
                .iter()
                .map(|(driver, count)| driver.run(*count))
                .sum(),
        };
        ns / f64::from(PACKETS)
    }
}

fn ipv4() -> Vec<u8> {
    frame(Family::V4, Transport::Udp, IPV4_LEN)
}

/// Has two packets of each of `flows` flows counted.
pub(crate) fn count_flows(target: &Target, flows: u32) {
    let frames = Frames::One(Family::V4, ipv4());
    Driver::new(target.ingress(), &frames, flows, SkBuff::single()).run(flows * 2);
}

/// One of each kind, with at least `payload` bytes behind the headers.
fn mix(payload: usize) -> Frames {
    let length = TEMPLATE + payload;
    Frames::Mix([
        frame(Family::V4, Transport::Udp, length),
        frame(Family::V4, Transport::Tcp, length),
        frame(Family::V6, Transport::Udp, length),
        frame(Family::V6, Transport::Tcp, length),
    ])
}
