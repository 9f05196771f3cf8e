//! A packet that matches becomes a record of this CPU's ring, or is counted as lost.

use core::arch::asm;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, BPF_RB_NO_WAKEUP},
    btf_maps::RingBuf,
    helpers::{
        bpf_get_smp_processor_id, bpf_ktime_get_boot_ns,
        generated::{
            bpf_ringbuf_discard, bpf_ringbuf_reserve, bpf_ringbuf_submit, bpf_skb_load_bytes,
        },
    },
    programs::TcContext,
};
use nstrace_ebpf::wire::{CaptureCounters, Direction, Owner, RecordHeader, WIRE_VERSION};

use crate::{
    filter::pcap_filter,
    maps::{CONFIG, COUNTERS, RINGS, SLOTS, SLOTS_HIGH},
};

/// One of [`RINGS`]: its size here is but a template's.
type Ring = RingBuf<u8, 4096>;

const HEADER: u32 = size_of::<RecordHeader>() as u32;

/// What the filter takes for the type of a packet (packet(7)): as a socket in the netns would see it.
const fn packet_type(direction: u32) -> u32 {
    const PACKET_HOST: u32 = 0;
    const PACKET_OUTGOING: u32 = 4;
    if direction == Direction::Rx as u32 {
        PACKET_HOST
    } else {
        PACKET_OUTGOING
    }
}

/// One field of the settings.
macro_rules! config {
    ($field:ident) => {{
        // `Global` is transparent.
        let config = (&raw const CONFIG).cast::<nstrace_ebpf::wire::CaptureConfig>();
        // SAFETY: a field of a static.
        let field = unsafe { &raw const (*config).$field };
        // SAFETY: as above. Volatile, since user space has overwritten what the compiler sees.
        unsafe { field.read_volatile() }
    }};
}

/// Records one packet that goes in the direction `DIRECTION`, if it matches.
#[inline(always)]
pub(crate) fn capture<const DIRECTION: u32>(ctx: &TcContext) {
    if config!(directions) & 1 << DIRECTION == 0 {
        return;
    }
    if pcap_filter(ctx.as_ptr().cast(), const { packet_type(DIRECTION) }) == 0 {
        return;
    }
    // SAFETY: the kernel hands every tc program a valid `__sk_buff`.
    let skb = unsafe { &*ctx.as_ptr().cast::<__sk_buff>() };
    let owner = owner_of(skb.ifindex);
    if owner == 0 {
        return;
    }
    // SAFETY: has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let Some(counters) = COUNTERS.get_ptr_mut(cpu * config!(slots) + (owner & 0xffff)) else {
        return;
    };
    // SAFETY: the lookup gave a valid element; only this CPU writes it, and not at the same time,
    // since what runs at a tc hook is not interrupted by what runs at another.
    let counters = unsafe { &mut *counters };
    counters.matched += 1;
    let snaplen = config!(snaplen);
    let record = Record {
        ctx,
        skb,
        direction: DIRECTION,
        owner: owner & Owner::MASK,
        cap_len: if skb.len < snaplen { skb.len } else { snaplen },
        lost: counters.lost as u32,
    };
    match RINGS.get(cpu) {
        Some(ring) if record.submit(ring) => {}
        _ => count_lost(counters),
    }
}

#[inline(always)]
fn count_lost(counters: &mut CaptureCounters) {
    counters.lost += 1;
}

/// The owner that `ifindex` is captured for, or 0.
#[inline(always)]
fn owner_of(ifindex: u32) -> u32 {
    match SLOTS.get(ifindex) {
        Some(owner) => *owner,
        // SAFETY: nobody deletes the entry while its program is attached.
        None => unsafe { SLOTS_HIGH.get(ifindex) }.copied().unwrap_or(0),
    }
}

/// A packet, and what is known of it.
struct Record<'a> {
    ctx: &'a TcContext,
    skb: &'a __sk_buff,
    direction: u32,
    owner: u32,
    cap_len: u32,
    lost: u32,
}

/// Sizes of packets, each with room for those from a length on that are in so many: a reservation
/// must be of a constant size. Steps of a third or so; and one for packets of 1,500 bytes with their
/// Ethernet header and tag.
macro_rules! submit_in {
    ($record:expr, $ring:expr; $($first:literal + $count:literal,)*) => {
        $(if $record.cap_len < $first + $count {
            return $record.submit_as::<$first, $count, { HEADER + $first + $count - 1 }>($ring);
        })*
    };
}

impl Record<'_> {
    /// Whether there was room.
    #[inline(always)]
    fn submit(&self, ring: &Ring) -> bool {
        submit_in!(self, ring;
            1 + 64, 65 + 32, 97 + 64, 161 + 64, 225 + 128, 353 + 128, 481 + 256, 737 + 256,
            993 + 256, 1249 + 256, 1505 + 16, 1521 + 512, 2033 + 1024, 3057 + 1024, 4081 + 2048,
            6129 + 4096, 10_225 + 8192, 18_417 + 16_384, 34_801 + 32_768, 67_569 + 65_536,
            133_105 + 131_072,
        );
        false
    }

    #[inline(always)]
    fn submit_as<const FIRST: u32, const COUNT: u32, const SIZE: u32>(&self, ring: &Ring) -> bool {
        // SAFETY: a valid map of that kind.
        let place = unsafe {
            bpf_ringbuf_reserve(
                core::ptr::from_ref(ring).cast_mut().cast(),
                u64::from(SIZE),
                0,
            )
        };
        if place.is_null() {
            return false;
        }
        let skb = self.skb;
        let has_tag = skb.vlan_present != 0;
        let header = RecordHeader {
            // SAFETY: has no preconditions. Since 5.8. After the reservation, so that who has read all
            // that was reserved before some moment has read all with an earlier time.
            time: unsafe { bpf_ktime_get_boot_ns() },
            owner: self.owner,
            orig_len: skb.len,
            cap_len: self.cap_len,
            lost: self.lost,
            vlan_proto: if has_tag {
                (skb.vlan_proto as u16).swap_bytes()
            } else {
                0
            },
            vlan_tci: skb.vlan_tci as u16,
            direction: self.direction as u16,
            version: WIRE_VERSION as u16,
        };
        // SAFETY: the reservation is larger than the header, and aligned to eight.
        unsafe { place.cast::<RecordHeader>().write(header) };
        // SAFETY: within the reservation.
        let packet = unsafe { place.cast::<u8>().add(HEADER as usize) };
        // SAFETY: the helper writes as many bytes as there is room for, or fails.
        let result = unsafe {
            bpf_skb_load_bytes(
                self.ctx.as_ptr().cast(),
                0,
                packet.cast(),
                within::<FIRST, COUNT>(self.cap_len),
            )
        };
        if result != 0 {
            // SAFETY: reserved above, and not handed over.
            unsafe { bpf_ringbuf_discard(place, u64::from(BPF_RB_NO_WAKEUP)) };
            return false;
        }
        // SAFETY: as above.
        unsafe { bpf_ringbuf_submit(place, u64::from(BPF_RB_NO_WAKEUP)) };
        true
    }
}

/// `value`, which is one of the `COUNT` numbers from `FIRST` on, in a way that shows it: `COUNT` is a
/// power of two. Not by comparing: without `CAP_PERFMON` verifiers before 6.16 forget the range again
/// where they follow a comparison that a processor might guess wrongly; and the oldest learn nothing
/// from `!= 0`.
#[inline(always)]
fn within<const FIRST: u32, const COUNT: u32>(value: u32) -> u32 {
    const { assert!(COUNT.is_power_of_two()) };
    let mut value = u64::from(value);
    // SAFETY: changes one register.
    unsafe {
        asm!(
            "{value} += -{first}",
            "{value} &= {mask}",
            "{value} += {first}",
            value = inout(reg) value,
            first = const FIRST,
            mask = const { COUNT - 1 },
        );
    }
    value as u32
}
