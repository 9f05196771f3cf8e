//! Filters in the kernel decide as libpcap does.
//!
//! Each expression is compiled, translated, and loaded as a program by itself; the kernel runs it on
//! each packet (`BPF_PROG_TEST_RUN`), and libpcap's own interpreter judges the same bytes. Where the
//! kernel knows more of a packet than its bytes, the judge is told: loads of that are replaced by
//! what they must give. Both bodies of a translation are run: the one that reads directly where it
//! can, and the one that never does.
//!
//! Documented exceptions: a filter that follows a chain of headers gives up after [`MAX_LOOPS`]
//! (`a_chain_is_followed_so_far`); what libpcap leaves to chance is zero (`told`); frames shorter than
//! an Ethernet header are not run, since no device gives them.

mod beside;
mod compositions;
mod corpus;
mod expressions;
mod far;
mod injected;
mod programs;

use std::os::fd::{AsFd as _, OwnedFd};

use nstrace::{
    filter::{
        CompileError, Source,
        classic::{self, Instruction},
        compile,
        ebpf::Ebpf,
        translate::{MAX_LOOPS, TranslateError, translate},
    },
    packet::LinkType,
    sys::pcap::{Library, Program},
};

use crate::support::bpf::{SkBuff, load_classifier, test_run};
use corpus::{Packet, packets};

/// What the capture object has.
const ROOM: usize = 8188;
/// What a filter returns of a packet that matches.
const MATCH: u32 = 262_144;

fn library() -> Library {
    Library::open().expect("libpcap: cargo xtask setup")
}

fn compiled(library: &Library, link_type: LinkType, expression: &str) -> Vec<Instruction> {
    compile(library, link_type, MATCH, expression, Source::Iface)
        .unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// What the kernel keeps of a packet beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Beside {
    /// As the filter gets it: 0 or 4.
    packet_type: u32,
    /// Protocol and control information.
    tag: Option<(u16, u16)>,
}

impl Beside {
    /// What an ancillary load gives.
    fn value(self, offset: u32) -> u32 {
        const TYPE: u32 = 4;
        const IFINDEX: u32 = 8;
        const TAG: u32 = 44;
        const TAG_PRESENT: u32 = 48;
        /// The loopback device, on which packets of a test run are.
        const LO: u32 = 1;

        match offset {
            TYPE => self.packet_type,
            IFINDEX => LO,
            TAG => self.tag.map_or(0, |(_, tag)| tag.into()),
            TAG_PRESENT => self.tag.is_some().into(),
            other => panic!("libpcap does not read {other}"),
        }
    }

    /// The program with what it reads beside the bytes written into it. Behind some tunnels libpcap
    /// emits code that reads scratch memory which it has not written: in its interpreter, whatever
    /// was there; here, zero.
    fn told(self, program: &[Instruction]) -> Vec<Instruction> {
        let tell = |one: &Instruction| {
            if !one.is_beside_bytes() {
                return *one;
            }
            Instruction {
                // `ld #k`
                code: 0,
                k: self.value(one.k - 0xffff_f000),
                ..*one
            }
        };
        let zero = |word| Instruction {
            // `st M[k]`, while A is 0.
            code: 2,
            jt: 0,
            jf: 0,
            k: word,
        };
        (0..16).map(zero).chain(program.iter().map(tell)).collect()
    }
}

/// A translated filter, loaded, with what makes the packet before it.
struct Loaded(OwnedFd);

impl Loaded {
    fn load(filter: &[Ebpf]) -> Result<Self, String> {
        const CHANGE_TAIL: i32 = 38;
        const VLAN_PUSH: i32 = 18;
        const MARK: i16 = 8;
        const CB: i16 = 48;

        let one = |code, dst, src, off, imm| Ebpf {
            code,
            dst,
            src,
            off,
            imm,
        };
        let copy = |dst, src| one(0xbf, dst, src, 0, 0);
        let read = |dst, off| one(0x61, dst, 6, off, 0);
        let exit_unless_zero = [one(0x15, 0, 0, 1, 0), one(0x95, 0, 0, 0, 0)];
        let call = |helper| one(0x85, 0, 0, 0, helper);
        let before = [
            copy(6, 1),
            // Cut off at `mark`: the kernel makes no packet with less than its type promises.
            read(2, MARK),
            one(0x16, 2, 0, 5, 0),
            copy(1, 6),
            one(0xb4, 3, 0, 0, 0),
            call(CHANGE_TAIL),
            exit_unless_zero[0],
            exit_unless_zero[1],
            // A tag beside the bytes: protocol and control information in `cb`.
            read(2, CB),
            one(0x16, 2, 0, 5, 0),
            read(3, CB + 4),
            copy(1, 6),
            call(VLAN_PUSH),
            exit_unless_zero[0],
            exit_unless_zero[1],
            // The filter's two arguments.
            copy(1, 6),
            read(2, CB + 8),
        ];
        let all: Vec<[u8; 8]> = before
            .iter()
            .chain(filter)
            .map(|instruction| instruction.to_bytes())
            .collect();
        load_classifier(&all).map(Self)
    }

    /// Whether a packet matches.
    fn matches(&self, bytes: &[u8], beside: Beside) -> bool {
        const SHORTEST: usize = 60;

        let mut context = SkBuff::single().with(56, beside.packet_type);
        if let Some((protocol, tag)) = beside.tag {
            context = context
                .with(48, protocol.to_be().into())
                .with(52, tag.into());
        }
        let mut padded = [0x5a; SHORTEST];
        let packet = if bytes.len() < SHORTEST {
            context = context.with(8, u32::try_from(bytes.len()).unwrap());
            padded[..bytes.len()].copy_from_slice(bytes);
            &padded[..]
        } else {
            bytes
        };
        let returned = test_run(self.0.as_fd(), packet, &context, 1, &mut []).unwrap();
        match returned.cast_unsigned() {
            0 => false,
            MATCH => true,
            other => panic!("returned {other:#x}"),
        }
    }
}

/// A filter as libpcap decides and as the kernel does.
struct Judge {
    name: String,
    library: Library,
    classic: Vec<Instruction>,
    /// By each body.
    loaded: Vec<Loaded>,
}

impl Judge {
    fn new(library: &Library, name: &str, classic: Vec<Instruction>) -> Result<Self, String> {
        let both = translate(&classic, ROOM).map_err(|error| error.to_string())?;
        let mut loaded = vec![Loaded::load(&both)?];
        // Where there is no room for both bodies, there is one.
        match translate(&classic, both.len() - 1) {
            Ok(slow) => loaded.push(Loaded::load(&slow)?),
            Err(TranslateError::TooLong { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        Ok(Self {
            name: name.to_owned(),
            library: library.clone(),
            classic,
            loaded,
        })
    }

    #[track_caller]
    fn of(library: &Library, link_type: LinkType, expression: &str) -> Self {
        let classic = compiled(library, link_type, expression);
        Self::new(library, expression, classic)
            .unwrap_or_else(|reason| panic!("{expression}: {reason}"))
    }

    /// libpcap's own decision on packets of which that is known.
    fn oracle(&self, beside: Beside) -> Program {
        let told = beside.told(&self.classic);
        self.library.program(told).expect("what libpcap made")
    }

    /// Runs all on all; how many packets match.
    #[track_caller]
    fn agree<'a>(&self, packets: impl IntoIterator<Item = &'a Packet>, beside: Beside) -> usize {
        let oracle = self.oracle(beside);
        let mut matches = 0;
        for packet in packets {
            let length = u32::try_from(packet.bytes.len()).unwrap();
            let expected = oracle.matches(&packet.bytes, length);
            matches += usize::from(expected);
            for (body, loaded) in self.loaded.iter().enumerate() {
                let decided = loaded.matches(&packet.bytes, beside);
                assert!(
                    decided == expected,
                    "{}: body {body} says {decided}, libpcap {expected}, of {} ({beside:?}):\n\
                     {:02x?}\n{}",
                    self.name,
                    packet.name,
                    packet.bytes,
                    self.listing()
                );
            }
        }
        matches
    }

    fn listing(&self) -> String {
        let lines: Vec<String> = classic::listing(&self.library, &self.classic).collect();
        lines.join("\n")
    }
}

/// All packets that are whole, and of those that are cut off others for each `nth`: in a guest that
/// is emulated, all would take minutes.
fn some(packets: &[Packet], nth: usize) -> impl Iterator<Item = &Packet> {
    packets
        .iter()
        .enumerate()
        .filter(move |(at, packet)| !packet.is_cut || (at + nth).is_multiple_of(8))
        .map(|(_, packet)| packet)
}

#[test]
fn each_primitive_decides_as_libpcap() {
    /// Beyond a packet's end, or beyond what the field can be.
    const NEVER: &[&str] = &[
        "ether proto 1500",
        "ether[0x7ffffffc:4] = 0",
        "ether[0x7fffffff] = 0",
        "ether[0x80000000] = 0",
        "ether[0xffffefff] = 0",
        "ether[60000] = 0",
        "ether[ether[0:4]] = 0",
        "ether[ether[0] + 0x7ffffffd] = 0",
        "ether[len] = 0",
        "ip[8] > 0x7fffffff",
    ];
    const ALWAYS: &[&str] = &["", "1 = 1", "tcp or 1 = 1"];

    let library = library();
    let packets = packets();
    assert!(expressions::ETHERNET.len() + expressions::BESIDE.len() > 300);
    let mut wrong = Vec::new();
    for (nth, expression) in expressions::ETHERNET.iter().enumerate() {
        let judge = Judge::of(&library, LinkType::ETHERNET, expression);
        let matches = judge.agree(some(&packets, nth), Beside::default());
        let is_as_said = match matches {
            0 => NEVER.contains(expression),
            all if all == some(&packets, nth).count() => ALWAYS.contains(expression),
            _ => !NEVER.contains(expression) && !ALWAYS.contains(expression),
        };
        if !is_as_said {
            wrong.push((expression, matches));
        }
    }
    assert!(wrong.is_empty(), "matches so often: {wrong:#?}");
}

#[test]
fn long_and_deep_filters_decide_as_libpcap() {
    let library = library();
    let packets = packets();
    let join = |many: &mut dyn Iterator<Item = String>| many.collect::<Vec<_>>().join(" or ");
    let hosts = |last: &str| {
        let mut hosts = (0..200).map(|n| format!("host 198.18.{}.{}", n / 100, n % 100 * 2));
        format!("{} or {last}", join(&mut hosts))
    };
    let networks = join(&mut (0..200).map(|n| format!("net 2001:db8:{n:x}::/48")));
    let ports = join(&mut (0..300).map(|n| format!("tcp port {}", n * 7 + 3)));
    let nested = (0..60).fold("tcp port 80".to_owned(), |inner, n| {
        format!("not ({inner} and not udp port {n})")
    });
    let sum = (0..40).fold("ip[8]".to_owned(), |sum, n| {
        format!("({sum} * 3 + ip[{n}])")
    });
    let expressions = [
        hosts("host 192.0.2.10"),
        format!("not ({})", hosts("tcp port 80")),
        networks,
        ports,
        nested,
        format!("{sum} & 0x100 != 0"),
    ];
    for (nth, expression) in expressions.iter().enumerate() {
        let judge = Judge::of(&library, LinkType::ETHERNET, expression);
        let matches = judge.agree(some(&packets, nth), Beside::default());
        let all = some(&packets, nth).count();
        assert!((1..all).contains(&matches), "{expression}");
    }
}

/// Of an interface without link-layer headers.
#[test]
fn packets_that_begin_with_ip_are_decided_as_libpcap_does() {
    const IP: [[u8; 2]; 2] = [[0x08, 0x00], [0x86, 0xdd]];

    let library = library();
    let mut packets: Vec<Packet> = packets().into_iter().step_by(7).collect();
    // What is left is at least what the kernel takes.
    packets.retain(|packet| {
        packet.bytes.len() >= 28 && IP.iter().any(|ip| packet.bytes[12..14] == *ip)
    });
    for packet in &mut packets {
        packet.bytes.drain(..14);
    }
    let (mut taken, mut matches) = (0, 0);
    for expression in expressions::ETHERNET {
        let source = Source::Iface;
        let Ok(classic) = compile(&library, LinkType::RAW, MATCH, expression, source) else {
            continue;
        };
        let judge = Judge::new(&library, expression, classic);
        let judge = judge.unwrap_or_else(|reason| panic!("{expression}: {reason}"));
        matches += judge.agree(&packets, Beside::default());
        taken += 1;
    }
    assert!(taken > 200, "{taken} expressions");
    let decisions = taken * packets.len();
    assert!(
        (decisions / 10..decisions / 2).contains(&matches),
        "{matches} of {decisions}"
    );
}

/// A header chain longer than what the verifier lets a filter follow matches to libpcap, and here
/// not.
#[test]
fn a_chain_is_followed_so_far() {
    let library = library();
    let judge = Judge::of(&library, LinkType::ETHERNET, "ip6 protochain 6");
    let oracle = judge.oracle(Beside::default());
    let follows = |headers: usize| {
        let packet = corpus::chain(headers);
        let length = u32::try_from(packet.len()).unwrap();
        assert!(oracle.matches(&packet, length), "{headers}");
        judge.loaded[0].matches(&packet, Beside::default())
    };
    assert!(follows(MAX_LOOPS));
    assert!(!follows(MAX_LOOPS + 1));
}

/// What libpcap takes for a place far behind the packet's end is where the kernel keeps what stands
/// beside the bytes. Where it keeps nothing, the filter is refused, as a socket refuses it.
#[test]
fn what_the_kernel_does_not_keep_cannot_be_read() {
    let library = library();
    for offset in ["0xffffffff", "0xfffff001", "0xfffff034"] {
        let expression = format!("ether[{offset}] = 0");
        let classic = compiled(&library, LinkType::ETHERNET, &expression);
        let refused = translate(&classic, ROOM);
        assert!(
            matches!(refused, Err(TranslateError::Ancillary { at: 0, .. })),
            "{expression}: {refused:?}"
        );
    }
}

#[test]
fn what_libpcap_refuses_of_ethernet_stays_refused() {
    let library = library();
    for (expression, reason) in expressions::REFUSED {
        let refused = compile(
            &library,
            LinkType::ETHERNET,
            MATCH,
            expression,
            Source::Iface,
        );
        match refused {
            Err(CompileError::Expression(bad)) => {
                assert!(bad.message.contains(reason), "{expression}: {bad}");
            }
            other => panic!("{expression}: {other:?}"),
        }
    }
}
