//! What happens to a kernel side, and what user space sees of it meanwhile.

use nstrace_ebpf::wire::{Direction, FlowFamily, FlowStats, Owner, Spill};
use proptest::{collection::vec, prelude::*, sample::select};

use super::model::{ENTRIES, Flow, Kernel, Packet};

const FAMILIES: [FlowFamily; 2] = [FlowFamily::V4, FlowFamily::V6];

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub(in crate::state) enum Step {
    /// A CPU starts with a packet.
    Packet(usize, Packet),
    /// It makes some of its writes.
    Run(usize, usize),
    /// Jiffies pass.
    Pass(u32),
    /// An entry is read, while so many writes are made of which these are seen.
    Read(usize, FlowFamily, u32, (usize, u32)),
    /// Spills are taken off a CPU's lane, and wait.
    Drain(usize, usize),
    /// Waiting spills of a CPU are taken in.
    Take(usize, usize),
}

fn packet(owners: &[Owner]) -> impl Strategy<Value = Packet> + use<> {
    let flow =
        (select(owners.to_vec()), any::<bool>(), 0..4_u16).prop_map(|(owner, is_v6, number)| {
            Flow {
                owner,
                is_v6,
                number,
            }
        });
    // One packet adds less than 2^30, as the kernel side has it.
    let bytes = prop_oneof![8 => 14..1_515_u32, 1 => 1 << 28..1_u32 << 30];
    let extra = prop_oneof![
        4 => Just((0, 0)),
        2 => (1..44_u32).prop_map(|packets| (packets, packets * 54)),
        1 => Just((0xffff, (1 << 30) - 1)),
    ];
    let flags = prop_oneof![2 => Just(0x10), 1 => Just(2), 1 => any::<u8>()];
    let direction = select(vec![Direction::Rx, Direction::Tx]);
    (flow, direction, bytes, extra, flags).prop_map(|(flow, direction, bytes, extra, tcp_flags)| {
        Packet {
            flow,
            direction,
            bytes,
            extra,
            tcp_flags,
        }
    })
}

/// On so many CPUs, with flows of these. Long: a life of an entry takes several packets.
pub(in crate::state) fn steps(
    cpus: usize,
    owners: &[Owner],
) -> impl Strategy<Value = Vec<Step>> + use<> {
    let cpu = 0..cpus;
    let family = select(FAMILIES.to_vec());
    let writes = (prop_oneof![Just(0_usize), 1..12_usize], any::<u32>());
    let step = prop_oneof![
        8 => (cpu.clone(), packet(owners)).prop_map(|(cpu, packet)| Step::Packet(cpu, packet)),
        6 => (cpu.clone(), 1..6_usize).prop_map(|(cpu, writes)| Step::Run(cpu, writes)),
        1 => (1..30_u32).prop_map(Step::Pass),
        8 => (cpu.clone(), family, 0..ENTRIES, writes)
            .prop_map(|(cpu, family, entry, writes)| Step::Read(cpu, family, entry, writes)),
        3 => (cpu.clone(), 1..4_usize).prop_map(|(cpu, most)| Step::Drain(cpu, most)),
        3 => (cpu, 1..4_usize).prop_map(|(cpu, most)| Step::Take(cpu, most)),
    ];
    vec(step, 0..300)
}

/// What user space has seen.
pub(in crate::state) enum Seen {
    Live(u32, FlowFamily, u32, [u64; 5], FlowStats),
    Spilled(u32, Spill),
}

/// A kernel side, and what was drained of it.
pub(in crate::state) struct Drive {
    pub(in crate::state) kernel: Kernel,
    /// Off the lanes, by CPU.
    waiting: Vec<Vec<Spill>>,
}

impl Drive {
    pub(in crate::state) fn new(cpus: usize) -> Self {
        Self {
            // Jiffies wrap on the way.
            kernel: Kernel::new(cpus, u32::MAX - 100),
            waiting: vec![Vec::new(); cpus],
        }
    }

    /// What is seen by this step, in order.
    pub(in crate::state) fn step(&mut self, step: &Step) -> Vec<Seen> {
        let number = |cpu| u32::try_from(cpu).expect("few");
        match *step {
            Step::Packet(cpu, packet) => self.kernel.begin(cpu, &packet),
            Step::Run(cpu, writes) => self.kernel.run(cpu, writes),
            Step::Pass(jiffies) => self.kernel.now = self.kernel.now.wrapping_add(jiffies),
            Step::Read(cpu, family, entry, writes) => {
                let read = self.kernel.read(cpu, family, entry, writes);
                let seen = |(key, stats)| Seen::Live(number(cpu), family, entry, key, stats);
                return read.map(seen).into_iter().collect();
            }
            Step::Drain(cpu, most) => self.waiting[cpu].extend(self.kernel.drain(cpu, most)),
            Step::Take(cpu, most) => {
                let waiting = &mut self.waiting[cpu];
                let spills = waiting.drain(..most.min(waiting.len()));
                return spills
                    .map(|spill| Seen::Spilled(number(cpu), spill))
                    .collect();
            }
        }
        Vec::new()
    }

    /// Lets every CPU come to rest.
    pub(in crate::state) fn rest(&mut self) {
        for cpu in 0..self.waiting.len() {
            self.kernel.run(cpu, usize::MAX);
        }
    }

    /// All there is to be seen.
    pub(in crate::state) fn see_all(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for cpu in 0..self.waiting.len() {
            seen.extend(self.step(&Step::Drain(cpu, usize::MAX)));
            seen.extend(self.step(&Step::Take(cpu, usize::MAX)));
            for family in FAMILIES {
                for entry in 0..ENTRIES {
                    seen.extend(self.step(&Step::Read(cpu, family, entry, (0, 0))));
                }
            }
        }
        seen
    }
}
