//! nstrace: live traffic per network namespace, counted by eBPF at the host's end of each veth.
//!
//! This page is the architecture: what flows where, what always holds, and what is not there on
//! purpose.
//!
//! # What flows where
//!
//! ```text
//!  packet -> tc program -> COUNTERS, mmapped ------------------> State -> Snapshot -> screen
//!            (nstrace-ebpf)                                       ^  ^             \-> printer
//!                 \-> FLOWS4/6, a cache, mmapped -> Ledger -------+  |
//!                 \-> SAMPLES ring --+                            |  |
//!                 \-> spill lanes ---+-> ring thread -> decode ---+  |
//!                                                                    |
//!  /proc, nsfs, rtnetlink ------> Facts -> Topology ----------------+
//!  runtimes' files -> Names ------^                                   |
//!  State: what is wanted -> attach thread -> TCX or clsact -> Outcome+
//! ```
//!
//! - [`sys`] asks the kernel and returns plain data. [`topology`] turns that into a graph of
//!   namespaces, interfaces and peers, with the pods and containers in them, and finds what a user
//!   means by a TARGET.
//! - [`topology::inspect`] asks for everything about one namespace, for `nstrace show`: most of it from
//!   within, on a thread that enters, asks the kernel and ends.
//! - [`kernel`] loads the object once, attaches its two programs to every wanted host veth, and
//!   drains its ring and lanes. What crosses the line is in the `nstrace-ebpf` library.
//! - [`decode`] turns their bytes into records, [`state`] keeps rows, flows and rates, [`sink`] prints,
//!   [`tui`] shows. [`engine`] is the one loop where they meet; [`cli`] is what can be typed.
//!
//! A capture stands beside all that, and only where there is one:
//!
//! ```text
//!  expression -> libpcap -> classic BPF -> eBPF -> bytes of the capture object -> load
//!  packet -> tc program: filter, then a record into the CPU's ring
//!               rings -> Merge, by time -> account -> pcapng or pcap file
//!                                            \-> text or JSON
//! ```
//!
//! - [`filter`] makes the program out of the expression, [`engine::capture`] runs captures and keeps
//!   the account, [`sink::savefile`] writes files, [`savefile`] reads them, [`sink::packet`] prints.
//!
//! Threads: the loop (and the screen) on the main one; `nstrace-scan` looks at the host when asked;
//! `nstrace-names`, four of them, look for what runtimes write, and `nstrace-asks`, where a user wants
//! it, asks sockets; `nstrace-attach` attaches, since each attachment waits for an RCU grace period;
//! `nstrace-ring` drains; `nstrace-record`, one for each capture, merges, writes and prints;
//! `nstrace-watch` waits for hints; `nstrace-netns`, short-lived, is the only one that is ever in another namespace. And one
//! process, short-lived too: `nstrace-guard`.
//!
//! # Flows
//!
//! - Counting a flow must cost less than an idle tcpdump, so it is a load, a comparison and a few
//!   additions in a cache that one CPU has to itself: no atomics, no clock, no hash map. A new flow
//!   may cost another its place in the cache, and that one's counters go through a lane to here. See
//!   `nstrace_ebpf::wire` for what holds in each moment.
//! - The cache is read through a memory map while it changes. [`state::flow::ledger`] makes of what
//!   is read and what was spilled one stream of additions, in which each packet occurs once, in
//!   whatever order they come.
//! - Whatever a tenant sends, memory is bounded: the cache, the lanes, and [`state::flow::FlowTable`],
//!   one for each interface, so that a flood in one costs no other its flows. What a table has no
//!   room for it keeps as a sum; what the cache and the lane have no room for, the kernel side adds to
//!   `other` of that namespace. So flows and the rest are the totals, always and in all four numbers.
//! - Flows are read before totals, and so are never more than those; what came in between is shown as
//!   part of the rest until the next refresh.
//!
//! # Names
//!
//! - The name that a user knows stands in files of the runtimes: no socket is needed, and none is
//!   trusted. [`sys::runtime`] finds and follows them by inotify, [`topology::runtime`] reads what is in
//!   them, [`topology::model`] says which namespace each container is in: by the nsfs file that its
//!   runtime keeps for it, by its pod's sandbox, or by its first process, whose start time tells it
//!   from the next with its id. A container whose namespace is not there is not there.
//! - The pod is the unit: its sandbox comes first, and its name is the namespace's. What several
//!   containers share is one namespace with all of them. Who uses the host's stands with the host.
//! - Names are hints in what they cost: each kind of runtime has a thread of its own, and a look takes
//!   whatever that has found by now. A file system that hangs, a document that lies, a directory that
//!   never ends cost names, and neither time nor a packet.
//! - Sockets can be asked beside ([`sys::ask`]), for labels, images and owners that no file has. An answer
//!   adds to a container that files name, and makes none.
//! - What an ordinary user's runtime says is believed about namespaces of that user alone.
//!
//! # Captures
//!
//! - The filter is part of the program that the kernel verifies, so a packet that does not match costs
//!   a few loads and comparisons: see [`filter::translate`]. What is in the kernel of a capture is its
//!   own: object, rings, attachments. Nobody pays for a capture that is not there.
//! - Each CPU has a ring; no program waits for another's, and none wakes anybody. The record thread
//!   looks every few milliseconds, and [`kernel::merge`] gives them in the order of their
//!   times without waiting for later ones.
//! - `captured + lost by ring + lost by disk == matched`, at every moment: each record carries what its
//!   CPU had lost of its interface before it, and the kernel's own counters are compared at the end. A
//!   reader that stops, a disk that is full, a file that cannot be written cost captured packets, never
//!   the account, and never the watch beside it.
//! - Times are the kernel's when the record was made, on a clock that nobody can set; see
//!   [`state::wall`] for how they become wall time that does not go back.
//!
//! # A thousand namespaces
//!
//! - Each change of a TCX chain waits for an RCU grace period while it holds RTNL: some 10 ms, two
//!   per interface, in which nobody else on the host changes its network. One new pod pays that.
//!   From 16 interfaces on, at the start, at the end or between, `/sys/kernel/rcu_expedited` is
//!   raised meanwhile: 50 us each, and the lock is free in between. It is a setting of the whole
//!   machine that outlives its writer, so a guard process holds it and puts it back, whatever ends
//!   either; `--no-expedite` leaves it alone. See [`sys::rcu`].
//! - An event says where to look: at a link, in a namespace, at files. What was found elsewhere is
//!   kept, so that a look after an event takes milliseconds, where one at the whole takes tens of
//!   them. See [`topology::discover`], and [`engine`] for how often.
//! - What is done for each outcome, sample or look is at most linear in the number of interfaces.
//!
//! # What always holds
//!
//! 1. [`decode`], [`filter::ebpf`], [`filter::inject`], [`filter::translate`], [`packet`], [`services`],
//!    [`state`], [`topology::inside`], [`topology::model`], [`topology::runtime`], [`topology::target`], [`tui::model`],
//!    `tui::view` and the eBPF
//!    parser do no I/O and read no clock: time is a
//!    parameter. They cannot fail for reasons outside their input.
//! 2. [`sys`] is the only module with syscalls; [`kernel`] the only one that names `aya`. `unsafe`
//!    is in [`sys`], in `nstrace-ebpf` and in one line of build.rs.
//! 3. Entering another namespace happens in [`sys::netns`] alone, on a thread made for it, or, for
//!    `nstrace exec`, in the process that becomes the command. No descriptor of a namespace, and no socket in one, is kept beyond a query: it would keep the
//!    namespace and its veth alive.
//! 4. [`engine`] is the only place that starts threads for the watch and where modules meet.
//! 5. What the kernel side could not hand over it counts, and we show. Totals are read from a map
//!    and never depend on a ring.
//! 6. The programs never change a packet's fate: they return NEXT (-1) on every path, so that every
//!    other program of the chain runs as if we were not there.
//! 7. What we attach we detach, on every exit. TCX links die with the process, SIGKILL included. A
//!    clsact filter outlives SIGKILL; it carries the name of the process that made it, and the next
//!    start removes those whose process is dead. A clsact qdisc is never deleted: another's filters
//!    may be in it. `rcu_expedited` is raised from 0 only, to a number that is ours, and put back to
//!    0 only from that number: by the guard, by us if the guard dies, by the next start if both do.
//! 8. Every table and channel has a bound, but for what a capture's record thread is told: of each
//!    attachment and each change of names, so that who reads the output keeps nobody waiting. No total
//!    lives in a table that evicts.
//! 9. The screen is a function of the model; what drawing keeps is scroll offsets.
//! 10. Nothing is known by its inode or ifindex alone, since the kernel gives both to the next at
//!     once. A row is an [`state::IfaceKey`], with a generation of our own, and ends with its link;
//!     a name is never carried over to what comes after.
//!
//! Tidy tests (`cargo xtask check`) hold 1, 2 and 3; unit and namespace tests the rest.
//!
//! # What is not there, on purpose
//!
//! - No second truth: counters are not mirrored, filtered or corrected in user space. A row's
//!   totals are the sum of its classes, so they cannot disagree.
//! - No event is believed. Netlink, inotify and mount events only say that it is time to look
//!   again, and where; the look is the truth. Where events did not fit (the kernel says so), where
//!   those of other namespaces are not to be heard, and every now and then in any case, the look is
//!   at the whole. So a lost event costs a moment, never a stale row.
//! - No pins, no daemon, no files but captures: when the process is gone, so is everything of it (see 7).
//! - No attachment inside a namespace. What has no end on the host is listed with the reason.
//! - No kernel version is compared. What is needed is tried, and the kernel's answer believed.

pub mod cli;
pub mod decode;
pub mod engine;
pub mod filter;
pub mod kernel;
pub mod packet;
pub mod savefile;
pub mod services;
pub mod sink;
pub mod state;
pub mod sys;
pub mod topology;
pub mod tui;
pub mod units;
pub mod untrusted;

/// An error with its causes, outermost first, as one line.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
