//! Filters where they are in the end: in the capture object, whose counters tell what matched.

use std::os::fd::AsFd as _;

use nstrace::{
    filter::{classic::Instruction, translate::translate},
    kernel::capture::{CaptureKernel, CaptureRequest, room},
    packet::LinkType,
};
use nstrace_ebpf::wire::{Direction, Hook, Owner};

use super::{
    Beside, compiled,
    corpus::{Packet, packets},
    expressions::{BESIDE, ETHERNET},
    library,
};
use crate::support::bpf::{SkBuff, test_run};

/// The loopback device, on which packets of a test run are.
const LO: u32 = 1;
/// Every program gives every packet to the next.
const NEXT: i32 = -1;
const OWNER: Owner = Owner { slot: 1, tenure: 7 };

fn load(classic: &[Instruction]) -> CaptureKernel {
    let mut kernel = CaptureKernel::load(&CaptureRequest {
        slots: 2,
        buffer: 0,
        snaplen: 96,
        directions: 3,
        filter: translate(classic, room().unwrap()).unwrap(),
    })
    .unwrap();
    kernel.slots.set(LO, Some(OWNER)).unwrap();
    kernel
}

fn matched(kernel: &CaptureKernel) -> u64 {
    let slot = u32::from(OWNER.slot);
    kernel.counters.read(slot).map(|cpu| cpu.matched).sum()
}

/// Whether a packet matches, on its way through a hook.
fn matches(kernel: &CaptureKernel, hook: Hook, packet: &Packet) -> bool {
    let program = match hook {
        Hook::Ingress => &kernel.programs.ingress,
        Hook::Egress => &kernel.programs.egress,
    };
    let before = matched(kernel);
    let mut after = vec![0; packet.bytes.len()];
    let context = SkBuff::single().on(LO);
    let returned = test_run(program.as_fd(), &packet.bytes, &context, 1, &mut after);
    assert_eq!(returned.unwrap(), NEXT);
    assert_eq!(after, packet.bytes, "the packet is as it was");
    let matched = matched(kernel) - before;
    assert!(matched <= 1);
    matched == 1
}

#[test]
fn a_filter_in_the_capture_object_decides_as_libpcap() {
    let library = library();
    let mut packets = packets();
    // What the kernel makes a packet of as it is.
    packets.retain(|packet| packet.bytes.len() >= 54);
    let hosts: Vec<String> = (0..200).map(|n| format!("host 198.18.0.{n}")).collect();
    let hosts = format!("{} or tcp port 80", hosts.join(" or "));
    // A load takes as long as a thousand packets.
    let some = ETHERNET.iter().chain(BESIDE).step_by(7).copied();
    for expression in some.chain([&*hosts]) {
        let classic = compiled(&library, LinkType::ETHERNET, expression);
        let kernel = load(&classic);
        for hook in [Hook::Ingress, Hook::Egress] {
            let beside = Beside {
                packet_type: match Direction::of(hook) {
                    Direction::Rx => 0,
                    Direction::Tx => 4,
                },
                tag: None,
            };
            let oracle = library.program(beside.told(&classic)).unwrap();
            for packet in packets.iter().step_by(29) {
                let length = u32::try_from(packet.bytes.len()).unwrap();
                assert_eq!(
                    matches(&kernel, hook, packet),
                    oracle.matches(&packet.bytes, length),
                    "{expression}: {} {hook:?}",
                    packet.name
                );
            }
        }
    }
}
