//! Counting: two additions for the totals, two for the open window, no clock and no atomics.

use core::hint::black_box;

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_get_smp_processor_id, bpf_jiffies64},
    programs::TcContext,
};
use nstrace_ebpf::{
    parse::classify,
    wire::{CpuCounters, Direction, Hook, LostReason, Sample, Tally, WIRE_VERSION},
};

use crate::{
    maps::{CONFIG, COUNTERS, LOST, SAMPLES, SLOTS, SLOTS_HIGH},
    skb::Skb,
};

/// Counts one packet at `hook`.
#[inline(always)]
pub(crate) fn count(ctx: &TcContext, hook: Hook) {
    let skb = Skb(ctx);
    let Some(slot) = slot_of(skb.ifindex()) else {
        lose(LostReason::NoSlot);
        return;
    };
    let config = CONFIG.load();
    // SAFETY: has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let Some(counters) = COUNTERS.get_ptr_mut(cpu * config.slots + slot) else {
        lose(LostReason::NoSlot);
        return;
    };
    // SAFETY: the lookup gave a valid element; only this CPU writes it, and not at the same time
    // (see `CpuCounters`).
    let counters = unsafe { &mut *counters };
    // SAFETY: has no preconditions. Since 5.5, and a plain load: no clock is read.
    let now = unsafe { bpf_jiffies64() };
    if now >= counters.window_end {
        #[cfg(feature = "bpf-log")]
        aya_log_ebpf::debug!(ctx, "slot {} opens a window at jiffy {}", slot, now);
        close_window(counters, slot);
        // No panic to be compiled in: the verifier would have to follow it.
        let length = u64::from(config.window_jiffies);
        counters.window_end = (now.checked_div(length).unwrap_or(0) + 1) * length;
    }
    let direction = Direction::of(hook) as usize;
    let class = classify(&skb) as usize;
    let bytes = u64::from(skb.len());
    // Without CAP_PERFMON the verifier refuses to add a number to a map value that has another
    // range on each path, and it knows the class on each. So four bits are added that it cannot
    // know to be 0 (jiffies do not get that far), and what it knows after the mask is 0 to 15 on
    // all of them. The black box keeps the compiler from taking the sum apart.
    let class = black_box(class + (now >> 60) as usize) & 0xf;
    // SAFETY: a class is below CLASSES, the length of the array. (15 would still be within the
    // element, which is all that the verifier asks: see `CpuCounters::reserved`.)
    let tally = unsafe { counters.classes[direction].get_unchecked_mut(class) };
    add(tally, bytes);
    add(&mut counters.window[direction], bytes);
}

#[inline(always)]
fn add(tally: &mut Tally, bytes: u64) {
    tally.packets += 1;
    tally.bytes += bytes;
}

/// One array lookup, unless the host has made more than 65,536 interfaces since boot.
#[inline(always)]
fn slot_of(ifindex: u32) -> Option<u32> {
    let slot = match SLOTS.get(ifindex) {
        Some(slot) => *slot,
        // SAFETY: the value is a `u32`, which user space replaces whole.
        None => unsafe { SLOTS_HIGH.get(&ifindex).copied() }.unwrap_or(0),
    };
    slot.checked_sub(1)
}

/// Sends what the open window holds, if anything, and empties it.
#[inline(always)]
fn close_window(counters: &mut CpuCounters, slot: u32) {
    let [rx, tx] = counters.window;
    if rx.packets + tx.packets == 0 {
        return;
    }
    match SAMPLES.reserve::<Sample>(0) {
        Some(mut record) => {
            record.write(Sample {
                version: WIRE_VERSION,
                slot,
                window_end: counters.window_end,
                tallies: counters.window,
            });
            // A wake-up would cost the packet's path microseconds; the reader polls on a timer.
            record.submit(u64::from(BPF_RB_NO_WAKEUP));
        }
        None => lose(LostReason::SampleRingFull),
    }
    for tally in &mut counters.window {
        // Word by word: a memset would be a loop over a map value, which the verifier forbids
        // without CAP_PERFMON.
        // SAFETY: two fields of a valid, exclusive reference.
        unsafe { (&raw mut tally.packets).write_volatile(0) };
        // SAFETY: as above.
        unsafe { (&raw mut tally.bytes).write_volatile(0) };
    }
}

/// Out of line: it happens when something is full, not per packet.
#[inline(never)]
fn lose(reason: LostReason) {
    if let Some(lost) = LOST.get_ptr_mut(reason as u32) {
        // SAFETY: the lookup gave a valid per-CPU element, which only this CPU writes.
        unsafe { *lost += 1 };
    }
}
