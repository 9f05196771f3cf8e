//! The capture programs, attached nowhere, run by `BPF_PROG_TEST_RUN`.

use std::os::fd::AsFd as _;

use nstrace::{
    filter::{classic::Instruction, translate::translate},
    kernel::capture::{CaptureKernel, CaptureRequest, room},
    sys::ring::Slot,
};
use nstrace_ebpf::wire::{CaptureCounters, Direction, Hook, Owner, RecordHeader};
use zerocopy::FromBytes as _;

use crate::support::bpf::{SkBuff, test_run};

/// The loopback device, on which packets of a test run are.
const LO: u32 = 1;
/// What every program must return: the next one of the chain goes on.
const NEXT: i32 = -1;
/// Around the borders of the sizes that records come in.
const LENGTHS: [usize; 14] = [
    42, 60, 64, 65, 96, 97, 160, 161, 1248, 1249, 1504, 1505, 1520, 3056,
];
const OWNER: Owner = Owner { slot: 1, tenure: 3 };

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// `ret #262144`
fn everything() -> Vec<Instruction> {
    vec![instruction(0x06, 0, 0, 262_144)]
}

/// `udp port 53`, IPv4 only, as libpcap compiles it.
fn dns() -> Vec<Instruction> {
    vec![
        instruction(0x28, 0, 0, 12),
        instruction(0x15, 0, 10, 0x0800),
        instruction(0x30, 0, 0, 23),
        instruction(0x15, 0, 8, 17),
        instruction(0x28, 0, 0, 20),
        instruction(0x45, 6, 0, 0x1fff),
        instruction(0xb1, 0, 0, 14),
        instruction(0x48, 0, 0, 14),
        instruction(0x15, 2, 0, 53),
        instruction(0x48, 0, 0, 16),
        instruction(0x15, 0, 1, 53),
        instruction(0x06, 0, 0, 262_144),
        instruction(0x06, 0, 0, 0),
    ]
}

struct Rig(CaptureKernel);

impl Rig {
    fn load(filter: &[Instruction], snaplen: u32, buffer: u64) -> Self {
        let mut kernel = CaptureKernel::load(&CaptureRequest {
            slots: 4,
            buffer,
            snaplen,
            directions: 3,
            filter: translate(filter, room().unwrap()).unwrap(),
        })
        .unwrap();
        kernel.slots.set(LO, Some(OWNER)).unwrap();
        Self(kernel)
    }

    fn run(&self, hook: Hook, packet: &[u8]) {
        let program = match hook {
            Hook::Ingress => &self.0.programs.ingress,
            Hook::Egress => &self.0.programs.egress,
        };
        let returned = test_run(program.as_fd(), packet, &SkBuff::single(), 1, &mut []);
        assert_eq!(returned.unwrap(), NEXT);
    }

    fn records(&mut self) -> Vec<(RecordHeader, Vec<u8>)> {
        let mut found = Vec::new();
        for ring in &mut self.0.rings {
            let (mut at, end) = (ring.consumed(), ring.produced());
            while at < end {
                let Slot::Record(bytes, next) = ring.look(at, end) else {
                    panic!("no record at {at}");
                };
                let (header, rest) = RecordHeader::read_from_prefix(bytes).unwrap();
                found.push((header, rest[..header.cap_len as usize].to_vec()));
                at = next;
            }
            ring.release(at);
        }
        found
    }

    fn counters(&self) -> CaptureCounters {
        let mut sum = CaptureCounters::default();
        for one in self.0.counters.read(OWNER.slot.into()) {
            sum.matched += one.matched;
            sum.lost += one.lost;
        }
        sum
    }
}

fn udp(port: u16, length: usize) -> Vec<u8> {
    let mut packet = vec![0; 14];
    packet[12] = 8;
    packet.extend([
        0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
    ]);
    packet.extend(4000_u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend((packet.len()..length).map(|at| at.to_le_bytes()[0]));
    packet
}

#[test]
fn packets_that_match_are_recorded_whole() {
    let mut rig = Rig::load(&dns(), 262_144, 1 << 20);
    for length in LENGTHS {
        let packet = udp(53, length);
        rig.run(Hook::Ingress, &packet);
        rig.run(Hook::Egress, &udp(54, length));
        let [(header, bytes)] = &rig.records()[..] else {
            panic!("one record for {length} bytes");
        };
        assert_eq!(*bytes, packet);
        assert_eq!(header.orig_len as usize, length);
        assert_eq!(header.owner, OWNER.to_bits());
        assert_eq!(u32::from(header.direction), Direction::Tx as u32);
        assert_eq!(header.vlan_proto, 0);
    }
    assert_eq!(
        rig.counters(),
        CaptureCounters {
            matched: LENGTHS.len() as u64,
            lost: 0
        }
    );
}

#[test]
fn a_ring_that_is_full_loses_and_counts() {
    // A record tells what its own CPU has lost.
    super::stay_on_one_cpu();
    let mut rig = Rig::load(&everything(), 96, 4096 * 2);
    for _ in 0..100 {
        rig.run(Hook::Egress, &udp(53, 1514));
    }
    let records = rig.records();
    let CaptureCounters { matched, lost } = rig.counters();
    assert_eq!(matched, 100);
    assert_eq!(records.len() as u64 + lost, matched);
    assert!(lost > 0);
    let (header, bytes) = records.last().unwrap();
    assert_eq!((bytes.len(), header.orig_len), (96, 1514));
    rig.run(Hook::Egress, &udp(53, 1514));
    let (header, _) = rig.records()[0];
    assert_eq!(u64::from(header.lost), lost);
}
