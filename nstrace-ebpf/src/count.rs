//! Counting one packet: its slot's totals, the open window, its flow. No clock, no atomics.

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_get_smp_processor_id, bpf_jiffies64},
    programs::TcContext,
};
use nstrace_ebpf::{
    parse::{self, Packet, Parsed},
    wire::{
        CpuCounters, Direction, FlowEntry4, FlowEntry6, FlowFamily, LostReason, Owner, Sample,
        Tally, WIRE_VERSION,
    },
};

use crate::{
    flow::{self, Amount, FlowEntry},
    maps::{COUNTERS, LOST, SAMPLES, SCRATCH, SLOTS, SLOTS_HIGH, Scratch, config},
    skb::{ForgetfulSkb, Skb},
};

/// What is known of a packet before it is parsed. Passed by value wherever it is inlined, so that
/// it stays in registers; by reference to what is out of line.
#[derive(Clone, Copy)]
pub(crate) struct Scene {
    /// Counters of its slot on this CPU.
    pub(crate) counters: *mut CpuCounters,
    /// This CPU.
    pub(crate) cpu: u32,
    /// [`Owner::to_bits`].
    pub(crate) owner: u32,
    /// Jiffies.
    pub(crate) now: u64,
}

impl Scene {
    #[inline(always)]
    pub(crate) fn counters(&self) -> &mut CpuCounters {
        // SAFETY: the lookup gave a valid element; only this CPU writes it, and not at the same
        // time (see `CpuCounters`).
        unsafe { &mut *self.counters }
    }
}

/// `Direction` as a constant, so that every index by it is one, to the verifier too.
const RX: usize = Direction::Rx as usize;

const fn direction_of(direction: usize) -> Direction {
    if direction == RX {
        Direction::Rx
    } else {
        Direction::Tx
    }
}

/// Counts one packet that goes in the direction `DIRECTION`.
#[inline(always)]
pub(crate) fn count<const DIRECTION: usize>(ctx: &TcContext) {
    let skb = Skb(ctx);
    let owner = owner_of(skb.ifindex());
    if owner == 0 {
        lose(LostReason::NoSlot);
        return;
    }
    // SAFETY: has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let slot = owner & 0xffff;
    let Some(counters) = COUNTERS.get_ptr_mut(cpu * config!(slots) + slot) else {
        lose(LostReason::NoSlot);
        return;
    };
    // SAFETY: has no preconditions. Since 5.5, and a plain load: no clock is read.
    let now = unsafe { bpf_jiffies64() };
    let scene = Scene {
        counters,
        cpu,
        owner: owner & Owner::MASK,
        now,
    };
    if now >= scene.counters().window_end {
        #[cfg(feature = "bpf-log")]
        aya_log_ebpf::debug!(ctx, "slot {} opens a window at jiffy {}", slot, now);
        close_window(scene.counters(), slot, now);
    }
    let direction = const { direction_of(DIRECTION) };
    if let Some(parsed) = parse::quick4(&skb, scene.owner, direction) {
        record::<FlowEntry4, _, DIRECTION>(&skb, scene, &parsed);
    } else if let Some(parsed) = parse::quick6(&skb, scene.owner, direction) {
        record::<FlowEntry6, _, DIRECTION>(&skb, scene, &parsed);
    } else {
        let scene = scene;
        count_other::<DIRECTION>(ctx, &scene);
    }
}

/// Out of line: seldom, and long.
#[inline(never)]
fn count_other<const DIRECTION: usize>(ctx: &TcContext, scene: &Scene) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return lose(LostReason::NoSlot);
    };
    parse_other::<DIRECTION>(ctx, scene.owner, scratch);
    // SAFETY: the lookup gave a valid per-CPU element, which was just written. Its family is one
    // of the two, and the verifier follows both.
    let Packet { family, parsed } = unsafe { &(*scratch).packet };
    match family {
        FlowFamily::V4 => record_other::<FlowEntry4, DIRECTION>(ctx, scene, parsed),
        FlowFamily::V6 => record_other::<FlowEntry6, DIRECTION>(ctx, scene, parsed),
    }
    return_nothing();
}

/// Apart from [`record_other`], so that their stacks do not add up.
#[inline(never)]
fn parse_other<const DIRECTION: usize>(ctx: &TcContext, owner: u32, scratch: *mut Scratch) {
    let skb = ForgetfulSkb {
        skb: Skb(ctx),
        // SAFETY: a field of a valid element.
        room: unsafe { &raw mut (*scratch).forgotten },
    };
    let Packet { family, parsed } = parse::full(&skb, owner, const { direction_of(DIRECTION) });
    // Field by field: what lies between them was never written, and may not be read without
    // CAP_PERFMON.
    // SAFETY (of all that follows): fields of a valid element, which only this CPU writes.
    unsafe {
        let packet = &raw mut (*scratch).packet;
        (&raw mut (*packet).family).write_volatile(family);
        let into = &raw mut (*packet).parsed;
        (&raw mut (*into).class).write_volatile(parsed.class);
        (&raw mut (*into).tcp_flags).write_volatile(parsed.tcp_flags);
        (&raw mut (*into).headers).write_volatile(parsed.headers);
        let mut word = 0;
        while word < parsed.key.len() {
            (&raw mut (*into).key)
                .cast::<u64>()
                .add(word)
                .write_volatile(parsed.key[word]);
            word += 1;
        }
    }
    return_nothing();
}

#[inline(never)]
fn record_other<E: FlowEntry, const DIRECTION: usize>(
    ctx: &TcContext,
    scene: &Scene,
    parsed: &Parsed<[u64; 5]>,
) {
    record::<E, _, DIRECTION>(&Skb(ctx), *scene, parsed);
    return_nothing();
}

/// For the end of what is out of line and returns nothing: the register of a result must not be
/// left with an address of the stack in it, which the verifier takes for one.
#[inline(always)]
pub(crate) fn return_nothing() {
    // SAFETY: a register that is lost in every call.
    unsafe { core::arch::asm!("r0 = 0", out("r0") _, options(nomem, nostack)) };
}

#[inline(always)]
fn record<E: FlowEntry, const WORDS: usize, const DIRECTION: usize>(
    skb: &Skb<'_>,
    scene: Scene,
    parsed: &Parsed<[u64; WORDS]>,
) {
    let amount = amount(skb, parsed.headers);
    let bytes = u64::from(amount.bytes);
    // Without CAP_PERFMON the verifier refuses to add a number to a map value that has another
    // range on each path, and it knows the class on each. So four bits are added that it cannot
    // know to be 0 (jiffies do not get that far), and what it knows after the mask is 0 to 15 on
    // all of them.
    let class = four_bits(parsed.class as u64 + (scene.now >> 60)) as usize;
    // SAFETY: the array has sixteen places.
    let tally = unsafe { scene.counters().classes[DIRECTION].get_unchecked_mut(class) };
    add(tally, 1, bytes);
    if amount.extra_packets != 0 {
        add(
            &mut scene.counters().extra[DIRECTION],
            u64::from(amount.extra_packets),
            u64::from(amount.extra_bytes),
        );
    }
    flow::count::<E, WORDS, DIRECTION>(scene, parsed, amount);
}

/// The lowest four bits, by an instruction that the compiler does not see through and drop. (An
/// empty one, or `black_box`, would cost a way through the stack.)
#[inline(always)]
fn four_bits(mut value: u64) -> u64 {
    // SAFETY: changes its operand and nothing else.
    unsafe { core::arch::asm!("{0} &= 15", inout(reg) value, options(pure, nomem, nostack)) };
    value
}

#[inline(always)]
pub(crate) fn add(tally: &mut Tally, packets: u64, bytes: u64) {
    tally.packets += packets;
    tally.bytes += bytes;
}

/// What the packet counts for: a super-packet is on a wire as many packets as it has segments,
/// each with its own headers.
///
/// `wire_len` would say the same where packets leave, but not where they arrive (there it is
/// `skb->len`, as of 6.18).
#[inline(always)]
fn amount(skb: &Skb<'_>, headers: u32) -> Amount {
    let bytes = skb.len();
    let mut extra_packets = 0;
    let size = skb.gso_size();
    if size != 0 {
        let mut segments = skb.gso_segs();
        if segments == 0 {
            segments = count_segments(bytes, headers, size);
        }
        extra_packets = segments.saturating_sub(1);
    }
    Amount {
        bytes,
        extra_packets,
        extra_bytes: extra_packets * headers.min(Amount::MAX_HEADERS),
    }
}

/// Of a super-packet from tun or virtio (`SKB_GSO_DODGY`), whose segments nobody has counted yet.
#[inline(never)]
fn count_segments(bytes: u32, headers: u32, size: u32) -> u32 {
    bytes
        .saturating_sub(headers)
        .div_ceil(size.max(1))
        .min(0xffff)
}

/// [`Owner`] of an interface, with its "watched" bit; 0 if there is none. One array lookup, unless
/// the host has made more than 65,536 interfaces since boot.
#[inline(always)]
fn owner_of(ifindex: u32) -> u32 {
    match SLOTS.get(ifindex) {
        Some(owner) => *owner,
        // SAFETY: the value is a `u32`, which user space replaces whole.
        None => unsafe { SLOTS_HIGH.get(&ifindex).copied() }.unwrap_or(0),
    }
}

/// Sends what the open window holds, if anything, and lets the next begin. Out of line: not once per
/// packet.
#[inline(never)]
fn close_window(counters: &mut CpuCounters, slot: u32, now: u64) {
    let window_end = counters.window_end;
    // No panic to be compiled in: the verifier would have to follow it.
    let length = u64::from(config!(window_jiffies));
    counters.window_end = (now.checked_div(length).unwrap_or(0) + 1) * length;
    let [rx, tx] = counters.window();
    if rx.packets + tx.packets == 0 {
        return;
    }
    match SAMPLES.reserve::<Sample>(0) {
        Some(mut record) => {
            record.write(Sample {
                version: WIRE_VERSION,
                slot,
                window_end,
                tallies: [rx, tx],
            });
            // A wake-up would cost the packet's path microseconds; the reader polls on a timer.
            record.submit(u64::from(BPF_RB_NO_WAKEUP));
        }
        None => lose(LostReason::SampleRingFull),
    }
    for (base, window) in counters.window_base.iter_mut().zip([rx, tx]) {
        base.packets += window.packets;
        base.bytes += window.bytes;
    }
}

/// Out of line: it happens when something is full, not per packet.
#[inline(never)]
pub(crate) fn lose(reason: LostReason) {
    if let Some(lost) = LOST.get_ptr_mut(reason as u32) {
        // SAFETY: the lookup gave a valid per-CPU element, which only this CPU writes.
        unsafe { *lost += 1 };
    }
}
