//! The flow cache: see `wire::flow` for what it is and what holds.

use aya_ebpf::maps::Array;
use nstrace_ebpf::{
    parse::Parsed,
    wire::{
        BUSY_PACKETS, FlowCounts, FlowEntry4, FlowEntry6, FlowFamily, FlowKey4, FlowKey6,
        FlowStats, LostReason, Spill,
    },
};

use crate::{
    count::{Scene, add, lose},
    maps::{FLOWS4, FLOWS6, LANES, SPILLS, config},
};

/// What one packet adds to its flow.
#[derive(Clone, Copy)]
pub(crate) struct Amount {
    /// `skb->len`.
    pub(crate) bytes: u32,
    /// Segments but the first.
    pub(crate) extra_packets: u32,
    /// Their headers.
    pub(crate) extra_bytes: u32,
}

impl Amount {
    /// Headers of a segment are taken for no longer than this: with the 16 bits that a number of
    /// segments has, `extra_bytes` stays below 2^30.
    pub(crate) const MAX_HEADERS: u32 = 0x3fff;
}

/// Counts beyond which an entry is spilled: see [`FlowCounts`].
const SPILL_AT: u32 = 1 << 31;
/// The same for [`FlowStats::syns`].
const SPILL_AT_SYNS: u16 = 1 << 15;
const TCP_FIN: u8 = 1;
const TCP_SYN: u8 = 2;
const TCP_RST: u8 = 4;
/// No place in the cache.
const NO_ROOM: u32 = u32::MAX;

/// An element of one of the two arrays.
///
/// # Safety
///
/// It starts with a key of `WORDS` times 64 bits.
pub(crate) unsafe trait FlowEntry: Sized + 'static {
    const WORDS: usize;
    const FAMILY: FlowFamily;
    fn map() -> &'static Array<Self>;
    fn bits() -> u32;
    fn stats(entry: *mut Self) -> *mut FlowStats;
}

macro_rules! flow_entry {
    ($entry:ty, $key:ty, $family:expr, $map:ident, $bits:ident) => {
        // SAFETY: the key is its first field, of a type made of whole words.
        unsafe impl FlowEntry for $entry {
            const WORDS: usize = size_of::<$key>() / size_of::<u64>();
            const FAMILY: FlowFamily = $family;

            #[inline(always)]
            fn map() -> &'static Array<Self> {
                &$map
            }

            #[inline(always)]
            fn bits() -> u32 {
                config!($bits)
            }

            #[inline(always)]
            fn stats(entry: *mut Self) -> *mut FlowStats {
                // SAFETY: a field of a valid entry.
                unsafe { &raw mut (*entry).stats }
            }
        }
    };
}

flow_entry!(FlowEntry4, FlowKey4, FlowFamily::V4, FLOWS4, flow4_bits);
flow_entry!(FlowEntry6, FlowKey6, FlowFamily::V6, FLOWS6, flow6_bits);

/// Adds a packet to its flow, or, where there is no room, to `other` of its slot.
#[inline(always)]
pub(crate) fn count<E: FlowEntry, const WORDS: usize, const DIRECTION: usize>(
    scene: Scene,
    parsed: &Parsed<[u64; WORDS]>,
    amount: Amount,
) {
    const { assert!(WORDS >= E::WORDS) };
    let bits = E::bits();
    if bits == 0 {
        return;
    }
    let near = hash::<E, WORDS>(&parsed.key, bits);
    let base = scene.cpu << bits;
    if let Some(entry) = E::map().get_ptr_mut(base | near) {
        if is_key::<E, WORDS>(entry, &parsed.key) {
            return hit::<E, WORDS, DIRECTION>(entry, near, scene, parsed, amount);
        }
    }
    if let Some(entry) = E::map().get_ptr_mut(base | near ^ 1) {
        if is_key::<E, WORDS>(entry, &parsed.key) {
            return hit::<E, WORDS, DIRECTION>(entry, near ^ 1, scene, parsed, amount);
        }
    }
    // Copies, so that the packet's own need not be in memory.
    let (key, flags) = (parsed.key, parsed.tcp_flags);
    let key = (&raw const key).cast();
    let place = room::<E>(scene.cpu, near, scene.now as u32);
    let is_counted = if place == NO_ROOM {
        spill_packet::<E, DIRECTION>(&scene, key, flags, &amount)
    } else {
        insert::<E, DIRECTION>(&scene, key, place, flags, &amount)
    };
    if !is_counted {
        other::<DIRECTION>(&scene, &amount);
    }
}

/// Multiply-shift: the highest bits of a sum of products with secret odd factors.
#[inline(always)]
fn hash<E: FlowEntry, const WORDS: usize>(key: &[u64; WORDS], bits: u32) -> u32 {
    let mut sum = 0_u64;
    let mut word = 0;
    while word < E::WORDS && word < WORDS {
        sum = sum.wrapping_add(key[word].wrapping_mul(config!(hash_keys[word])));
        word += 1;
    }
    (sum >> (64 - bits)) as u32
}

#[inline(always)]
fn is_key<E: FlowEntry, const WORDS: usize>(entry: *mut E, key: &[u64; WORDS]) -> bool {
    let held = entry.cast::<u64>();
    let mut word = 0;
    while word < E::WORDS && word < WORDS {
        // SAFETY: within the key, with which the entry starts.
        if unsafe { held.add(word).read() } != key[word] {
            return false;
        }
        word += 1;
    }
    true
}

/// The packet's flow is in the cache.
#[inline(always)]
fn hit<E: FlowEntry, const WORDS: usize, const DIRECTION: usize>(
    entry: *mut E,
    place: u32,
    scene: Scene,
    parsed: &Parsed<[u64; WORDS]>,
    amount: Amount,
) {
    // SAFETY: the lookup gave a valid element, which only this CPU writes.
    let stats = unsafe { &mut *E::stats(entry) };
    let counts = &mut stats.counts[DIRECTION];
    let is_full = (counts.bytes | counts.extra_bytes) >= SPILL_AT;
    if is_full || parsed.tcp_flags & TCP_SYN != 0 && is_over(stats) {
        let (cpu, now) = (scene.cpu, scene.now as u32);
        if !restart::<E>(entry, place, cpu, now) {
            return other::<DIRECTION>(&scene, &amount);
        }
    }
    let counts = &mut stats.counts[DIRECTION];
    counts.packets += 1;
    counts.bytes += amount.bytes;
    if amount.extra_packets != 0 {
        counts.extra_packets += amount.extra_packets;
        counts.extra_bytes += amount.extra_bytes;
    }
    stats.last_seen = scene.now as u32;
    if parsed.tcp_flags != 0 {
        stats.tcp_flags[DIRECTION] |= parsed.tcp_flags;
        if parsed.tcp_flags & TCP_SYN != 0 {
            stats.syns += 1;
        }
    }
}

/// Whether a SYN must not be added: the connection before has ended, or the number is full.
#[inline(always)]
fn is_over(stats: &FlowStats) -> bool {
    let [rx, tx] = stats.tcp_flags;
    (rx | tx) & (TCP_FIN | TCP_RST) != 0 || stats.syns >= SPILL_AT_SYNS
}

/// Spills an entry that is about to overflow, or whose ports serve a new connection, and starts it
/// anew with the same key.
#[inline(never)]
fn restart<E: FlowEntry>(entry: *mut E, place: u32, cpu: u32, now: u32) -> bool {
    let stats = E::stats(entry);
    if !spill::<E>(cpu, place, entry.cast(), stats) {
        return false;
    }
    rewrite::<E>(entry, entry.cast(), now);
    true
}

/// What one packet adds to one direction.
#[inline(always)]
fn counts_of(amount: &Amount) -> FlowCounts {
    FlowCounts {
        packets: 1,
        bytes: amount.bytes,
        extra_packets: amount.extra_packets,
        extra_bytes: amount.extra_bytes,
    }
}

/// Gives the entry at `place` to a new flow, unless its last one cannot be spilled. Out of line:
/// once per flow, mostly.
#[inline(never)]
fn insert<E: FlowEntry, const DIRECTION: usize>(
    scene: &Scene,
    key: *const u64,
    place: u32,
    tcp_flags: u8,
    amount: &Amount,
) -> bool {
    let now = scene.now as u32;
    let Some(entry) = E::map().get_ptr_mut(scene.cpu << E::bits() | place) else {
        return false;
    };
    let stats = E::stats(entry);
    // SAFETY: the lookup gave a valid element, which only this CPU writes.
    let is_used = unsafe { (*stats).generation } != 0;
    if is_used && !spill::<E>(scene.cpu, place, entry.cast(), stats) {
        return false;
    }
    rewrite::<E>(entry, key, now);
    // SAFETY: as above.
    let stats = unsafe { &mut *stats };
    stats.tcp_flags[DIRECTION] = tcp_flags;
    stats.syns = u16::from(tcp_flags & TCP_SYN != 0);
    stats.counts[DIRECTION] = counts_of(amount);
    true
}

/// Spills a flow of one packet, which has no place in the cache. Apart from [`insert`], so that
/// their stacks do not add up.
#[inline(never)]
fn spill_packet<E: FlowEntry, const DIRECTION: usize>(
    scene: &Scene,
    key: *const u64,
    tcp_flags: u8,
    amount: &Amount,
) -> bool {
    let mut stats = FlowStats {
        last_seen: scene.now as u32,
        first_seen: scene.now as u32,
        syns: u16::from(tcp_flags & TCP_SYN != 0),
        ..FlowStats::default()
    };
    stats.tcp_flags[DIRECTION] = tcp_flags;
    stats.counts[DIRECTION] = counts_of(amount);
    spill::<E>(scene.cpu, Spill::NOT_CACHED, key, &raw mut stats)
}

/// The place that a new flow takes, or [`NO_ROOM`] where both are busy.
#[inline(never)]
fn room<E: FlowEntry>(cpu: u32, near: u32, now: u32) -> u32 {
    let base = cpu << E::bits();
    let mut chosen = NO_ROOM;
    let mut fewest = BUSY_PACKETS;
    let mut way = 0;
    while way < 2 {
        // Its own first: most flows are found there, without a second look.
        let place = near ^ way;
        let Some(entry) = E::map().get_ptr_mut(base | place) else {
            return NO_ROOM;
        };
        // SAFETY: the lookup gave a valid element, which only this CPU writes.
        let stats = unsafe { &*E::stats(entry) };
        let is_idle = now.wrapping_sub(stats.last_seen) > config!(idle_jiffies);
        if stats.generation == 0 || is_idle {
            return place;
        }
        let packets = stats.counts[0].packets + stats.counts[1].packets;
        if packets < fewest {
            fewest = packets;
            chosen = place;
        }
        way += 1;
    }
    chosen
}

/// Gives an entry to a flow, with nothing counted yet.
#[inline(always)]
fn rewrite<E: FlowEntry>(entry: *mut E, key: *const u64, now: u32) {
    let stats = E::stats(entry);
    // SAFETY (of all that follows): a valid element, which only this CPU writes, and a valid key.
    // Volatile, so that a reader sees the odd generation before any change and the even one after
    // all of them, and so that no memset comes of it (see `close_window`).
    unsafe {
        let generation = (*stats).generation;
        (&raw mut (*stats).generation).write_volatile(generation | 1);
        let mut word = 0;
        while word < E::WORDS {
            let value = key.add(word).read_volatile();
            entry.cast::<u64>().add(word).write_volatile(value);
            word += 1;
        }
        (&raw mut (*stats).last_seen).write_volatile(now);
        (&raw mut (*stats).first_seen).write_volatile(now);
        // Flags and SYNs in one, then the counts in words.
        (&raw mut (*stats).tcp_flags)
            .cast::<u32>()
            .write_volatile(0);
        let counts = (&raw mut (*stats).counts).cast::<u64>();
        let mut word = 0;
        while word < size_of::<[FlowCounts; 2]>() / size_of::<u64>() {
            counts.add(word).write_volatile(0);
            word += 1;
        }
        let next = (generation | 1).wrapping_add(1);
        // 0 would mean that it is empty.
        (&raw mut (*stats).generation).write_volatile(if next == 0 { 2 } else { next });
    }
}

/// Puts a flow onto the CPU's lane, unless that is full.
#[inline(always)]
fn spill<E: FlowEntry>(cpu: u32, place: u32, key: *const u64, stats: *mut FlowStats) -> bool {
    let Some(lane) = LANES.get_ptr_mut(cpu) else {
        return false;
    };
    let length = config!(lane_length);
    // SAFETY: the lookup gave a valid element; the head is ours, the tail is read whole.
    let (head, tail) = unsafe { ((*lane).head, (&raw const (*lane).tail).read_volatile()) };
    if head.wrapping_sub(tail) >= length {
        return false;
    }
    let Some(spill) = SPILLS.get_ptr_mut(cpu * length + (head & (length - 1))) else {
        return false;
    };
    // SAFETY (of all that follows): a valid element, between head and tail, hence not read by user
    // space yet; a valid key and valid values. Volatile: the head must move last.
    unsafe {
        (&raw mut (*spill).entry).write_volatile(place);
        (&raw mut (*spill).family).write_volatile(E::FAMILY as u32);
        let mut word = 0;
        while word < E::WORDS {
            let value = key.add(word).read_volatile();
            (&raw mut (*spill).key)
                .cast::<u64>()
                .add(word)
                .write_volatile(value);
            word += 1;
        }
        let (from, to) = (stats.cast::<u64>(), (&raw mut (*spill).stats).cast::<u64>());
        let mut word = 0;
        while word < size_of::<FlowStats>() / size_of::<u64>() {
            let value = from.add(word).read_volatile();
            to.add(word).write_volatile(value);
            word += 1;
        }
        (&raw mut (*lane).head).write_volatile(head.wrapping_add(1));
    }
    true
}

/// Counts a packet that no flow can hold.
#[inline(never)]
fn other<const DIRECTION: usize>(scene: &Scene, amount: &Amount) {
    let other = &mut scene.counters().other[DIRECTION];
    add(&mut other.skbs, 1, u64::from(amount.bytes));
    add(
        &mut other.extra,
        u64::from(amount.extra_packets),
        u64::from(amount.extra_bytes),
    );
    lose(LostReason::NoFlowRoom);
}
