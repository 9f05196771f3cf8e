//! `path.*`: what a packet costs on its way up from a veth, with nothing on the way, an empty TCX
//! program, nstrace's, or a capture tool that waits for something else.
//!
//! Frames enter at the host's end of a veth pair as if they had come through it: by XDP live
//! frames, ten million a second on one CPU. They are addressed to somebody else, so the IPv4 layer
//! drops them at once: nothing after what is measured adds to the noise. Everything happens in the
//! one thread whose CPU time is taken. 200,000 packets of one flow a round.
//!
//! - `over_af_packet`: what nstrace adds, over what the idle capture tool adds.
//! - `rate_over_empty`: packets a second with nstrace, over those with an empty TCX program.

use std::{
    cell::RefCell,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use nstrace::{sys::bpf::attach_tcx, topology::model::Ifindex};
use nstrace_ebpf::wire::Hook;

use crate::{
    Bench,
    count::{Family, Transport, frame},
    raw::{
        asm::Asm,
        bpf::{self, ProgramType},
        socket::{self, Classic},
    },
    report::Measured,
    rounds::{Arm, Series, interleaved, pin},
    support::lab::{Lab, Pod},
    target::{Flows, Target},
};

const ROUNDS: usize = 41;
const QUICK_ROUNDS: usize = 15;
const PACKETS: u32 = 200_000;
const LENGTH: usize = 60;

/// What `tcpdump -dd 'ip and udp port 9'` prints. The frames are UDP to another port, so that all of
/// it is gone through.
const MATCHES_NOTHING: [Classic; 13] = [
    classic(0x28, 0, 0, 12),
    classic(0x15, 0, 10, 0x0800),
    classic(0x30, 0, 0, 23),
    classic(0x15, 0, 8, 17),
    classic(0x28, 0, 0, 20),
    classic(0x45, 6, 0, 0x1fff),
    classic(0xb1, 0, 0, 14),
    classic(0x48, 0, 0, 14),
    classic(0x15, 2, 0, 9),
    classic(0x48, 0, 0, 16),
    classic(0x15, 0, 1, 9),
    classic(0x06, 0, 0, 262_144),
    classic(0x06, 0, 0, 0),
];

const fn classic(code: u16, jt: u8, jf: u8, k: u32) -> Classic {
    Classic { code, jt, jf, k }
}

/// A host veth, and how frames come in through it.
pub(crate) struct Way {
    ifindex: u32,
    xdp: OwnedFd,
    frame: Vec<u8>,
    packets: u32,
}

impl Way {
    /// To a device of the namespace in which [`Self::run`] will be called.
    pub(crate) fn new(ifindex: u32) -> Self {
        Self::of(ifindex, frame(Family::V4, Transport::Udp, LENGTH), PACKETS)
    }

    /// The same for other frames, and so many of them.
    pub(crate) fn of(ifindex: u32, frame: Vec<u8>, packets: u32) -> Self {
        const XDP_PASS: i32 = 2;

        Self {
            ifindex,
            xdp: bpf::load(ProgramType::Xdp, "bench_pass", &Asm::new().exit(XDP_PASS)),
            frame,
            packets,
        }
    }

    /// Lets packets come. Nanoseconds for each.
    pub(crate) fn run(&self) -> f64 {
        let cpu =
            bpf::live_frames(self.xdp.as_fd(), &self.frame, self.ifindex, self.packets).unwrap();
        cpu.as_secs_f64() * 1e9 / f64::from(self.packets)
    }

    pub(crate) fn attach(&self, program: BorrowedFd<'_>) -> OwnedFd {
        attach_tcx(program, Ifindex(self.ifindex), Hook::Ingress).unwrap()
    }
}

pub(crate) fn run(bench: &Bench) {
    pin();
    let lab = Lab::new();
    let ifindex = lab.ifindex(&silent_pod(&lab).veth);
    lab.on_host(|| measure(bench, ifindex));
}

/// A pod in which, and from whose host veth, nothing comes by itself.
pub(crate) fn silent_pod(lab: &Lab) -> Pod {
    let pod = lab.pod("path");
    // Out of the bridge: frames shall go up here. And nobody says anything by himself.
    let silent = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
    lab.shell(&format!(
        "ip link set {} nomaster; {silent}; ip netns exec {} sh -c '{silent}'",
        pod.veth, pod.name
    ));
    lab.up(&pod);
    pod
}

fn measure(bench: &Bench, ifindex: u32) {
    let way = Way::new(ifindex);
    let empty = bpf::load(ProgramType::SchedCls, "bench_empty", &Asm::new().next());
    let mut target = Target::load(Flows::On, 1);
    target.watch(ifindex, 0);
    let target = RefCell::new(target);
    let mut arms: [Arm<'_>; 4] = [
        Box::new(|| way.run()),
        Box::new(|| {
            let _link = way.attach(empty.as_fd());
            way.run()
        }),
        Box::new(|| {
            let before = target.borrow().packets(0);
            let link = way.attach(target.borrow().ingress());
            let cost = way.run();
            drop(link);
            let counted = target.borrow().packets(0) - before;
            assert!(counted >= u64::from(PACKETS), "every packet was counted");
            target.borrow_mut().drain();
            cost
        }),
        Box::new(|| {
            let _socket = socket::capture(ifindex, &MATCHES_NOTHING).unwrap();
            way.run()
        }),
    ];
    let series = interleaved(bench.pick(ROUNDS, QUICK_ROUNDS), &mut arms);
    let [none, empty, nstrace, af_packet] = &series[..] else {
        unreachable!("a series for each arm")
    };
    for (name, series) in [
        ("path.none", none),
        ("path.tcx_empty", empty),
        ("path.nstrace", nstrace),
        ("path.af_packet", af_packet),
    ] {
        bench.report(
            Measured::new(name, series.min())
                .p25(series.p25())
                .baseline("none", none.min()),
        );
    }
    let over = |at: fn(&Series) -> f64| (at(nstrace) - at(none)) / (at(af_packet) - at(none));
    bench.report(Measured::new("path.over_af_packet", over(Series::min)).p25(over(Series::p25)));
    bench.report(
        Measured::new("path.rate_over_empty", empty.min() / nstrace.min())
            .p25(empty.p25() / nstrace.p25()),
    );
    bench.report(Measured::new("path.noise", none.noise()));
}
