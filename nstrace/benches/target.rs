//! nstrace's own library as the measurements use it. When its interface changes, this file does.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    time::Duration,
};

use nstrace::{
    filter::{Source, compile, ebpf::Ebpf, translate::translate},
    kernel::{
        Kernel,
        capacity::Request,
        capture::{CaptureKernel, CaptureRequest, room},
        object::RING_BYTES,
    },
    packet::LinkType,
    state::{Settings, State},
    sys::pcap::Library,
    topology::target::Selection,
};
use nstrace_ebpf::wire::{Direction, LostReason, Owner};

/// How many rings are drained, and how the threads that do so are called.
pub(crate) const RINGS: f64 = 1.0;
/// See [`RINGS`].
pub(crate) const RING_THREAD: &str = "nstrace-ring";

/// How the thread is called that takes captured packets from the rings.
pub(crate) const RECORD_THREAD: &str = "nstrace-record";

/// Ifindex of the loopback device, which a test run shows to the program.
const LOOPBACK: u32 = 1;

/// Whether flows are counted too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flows {
    /// Namespaces only.
    Off,
    /// Flows with the capacity that is the default.
    On,
}

/// The loaded object.
pub(crate) struct Target(Kernel);

impl Target {
    /// Loads it with `slots` slots.
    pub(crate) fn load(flows: Flows, slots: u32) -> Self {
        let request = Request {
            slots,
            ring_bytes: RING_BYTES,
            flows4: (flows == Flows::Off).then_some(0),
            ..Request::default()
        };
        let kernel = Kernel::load(request).unwrap_or_else(|error| {
            panic!("{}; hint: {:?}", nstrace::error_chain(&error), error.hint())
        });
        Self(kernel)
    }

    /// Loads it, and lets it count the loopback device in slot 0.
    pub(crate) fn on_loopback(flows: Flows) -> Self {
        let mut target = Self::load(flows, 1);
        target.watch(LOOPBACK, 0);
        target
    }

    /// Lets an interface count into a slot.
    pub(crate) fn watch(&mut self, ifindex: u32, slot: u16) {
        let owner = Owner { slot, tenure: 0 };
        self.0.slots.set(ifindex, Some(owner)).unwrap();
    }

    pub(crate) fn ingress(&self) -> BorrowedFd<'_> {
        self.0.programs.ingress.as_fd()
    }

    pub(crate) fn egress(&self) -> BorrowedFd<'_> {
        self.0.programs.egress.as_fd()
    }

    /// Packets that were counted in a slot.
    pub(crate) fn packets(&self, slot: u32) -> u64 {
        let of = |direction| self.totals(slot).of(direction).packets;
        of(Direction::Rx) + of(Direction::Tx)
    }

    /// What `top` does for each row of a refresh.
    pub(crate) fn totals(&self, slot: u32) -> nstrace::state::Totals {
        nstrace::state::Totals::sum(self.0.counters.read(slot))
    }

    /// A state that has seen nothing of this object's flows yet.
    pub(crate) fn state(&self) -> State {
        let settings = Settings {
            window: self.0.window,
            jiffy: Duration::from_millis(4),
            cpus: self.0.capacity.cpus,
            flows4: self.0.capacity.flows4,
            flows6: self.0.capacity.flows6,
            flow_limit: 1 << 17,
            tells_flows: false,
        };
        State::new(Selection::default(), settings)
    }

    /// What a refresh does with the flow cache: reads all of it, and takes what is new. Gives how
    /// many flows are in it.
    pub(crate) fn read_flows(&self, state: &mut State) -> usize {
        let mut found = 0;
        self.0.flows.read(|flow| {
            found += 1;
            state.cached(flow.cpu, flow.family, flow.entry, &flow.key, &flow.stats);
        });
        found
    }

    /// Takes everything that waits to be read, as the running nstrace does on a timer.
    pub(crate) fn drain(&mut self) {
        while self.0.samples.next().is_some() {}
        for cpu in 0..self.0.lanes.cpus() {
            self.0.lanes.drain(cpu, u32::MAX, |_| {});
        }
    }

    /// How often something found no room on its way to us.
    pub(crate) fn lost(&self) -> u64 {
        [LostReason::SampleRingFull, LostReason::NoFlowRoom]
            .map(|reason| self.0.lost.count(reason).unwrap())
            .iter()
            .sum()
    }
}

/// How a filter reads a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// As nstrace has it: directly, as far as the packet is linear.
    Direct,
    /// By `LD_ABS` alone.
    LdAbs,
}

/// An expression of pcap-filter(7), translated.
pub(crate) fn filter(expression: &str, reads: Reads) -> Vec<Ebpf> {
    let library = Library::open().unwrap();
    let program = compile(
        &library,
        LinkType::ETHERNET,
        1 << 18,
        expression,
        Source::Iface,
    )
    .unwrap();
    match reads {
        Reads::Direct => translate(&program, room().unwrap()).unwrap(),
        // Where there is room for one body only, it is the slow one.
        Reads::LdAbs => (1..)
            .find_map(|room| translate(&program, room).ok())
            .unwrap(),
    }
}

/// The loaded object of a capture.
pub(crate) struct CaptureTarget(CaptureKernel);

impl CaptureTarget {
    /// Loads it with one slot. `buffer`: bytes of all rings together.
    pub(crate) fn load(filter: Vec<Ebpf>, snaplen: u32, buffer: u64) -> Self {
        let request = CaptureRequest {
            slots: 1,
            buffer,
            snaplen,
            directions: 1 << Direction::Rx as u32 | 1 << Direction::Tx as u32,
            filter,
        };
        let kernel = CaptureKernel::load(&request).unwrap_or_else(|error| {
            panic!("{}; hint: {:?}", nstrace::error_chain(&error), error.hint())
        });
        Self(kernel)
    }

    /// Has an interface captured.
    pub(crate) fn watch(&mut self, ifindex: u32) {
        let owner = Owner { slot: 0, tenure: 0 };
        self.0.slots.set(ifindex, Some(owner)).unwrap();
    }

    pub(crate) fn ingress(&self) -> BorrowedFd<'_> {
        self.0.programs.ingress.as_fd()
    }

    pub(crate) fn egress(&self) -> BorrowedFd<'_> {
        self.0.programs.egress.as_fd()
    }

    /// Size of the ring of one CPU.
    pub(crate) fn ring_bytes(&self) -> u32 {
        self.0.ring_bytes
    }

    /// Packets that matched, and those of them that found no room.
    pub(crate) fn counts(&self) -> [u64; 2] {
        let counters = self.0.counters.read(0);
        counters.fold([0, 0], |[matched, lost], one| {
            [matched + one.matched, lost + one.lost]
        })
    }

    /// Gives all that is in the rings back, unread.
    pub(crate) fn empty(&mut self) {
        for ring in &mut self.0.rings {
            ring.release(ring.produced());
        }
    }
}
