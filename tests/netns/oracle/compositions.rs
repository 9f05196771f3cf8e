//! Random compositions of what pcap-filter(7) has.

use nstrace::{
    filter::{CompileError, Source, compile},
    packet::LinkType,
};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{Beside, Judge, MATCH, corpus::packets, expressions::ETHERNET, library};

/// A runner that does the same each time.
pub(super) fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// A value: of the packet, a constant, or worked out.
fn value() -> impl Strategy<Value = String> {
    let layer =
        prop::sample::select(&["ether", "ip", "ip6", "tcp", "udp", "icmp", "icmp6", "arp"][..]);
    let size = prop::sample::select(&["", ":1", ":2", ":4"][..]);
    let constant = prop_oneof![0..70_u32, Just(1500), Just(0x7fff_ffff), any::<u32>()];
    let leaf = prop_oneof![
        4 => (layer.clone(), 0..70_u32, size.clone())
            .prop_map(|(layer, offset, size)| format!("{layer}[{offset}{size}]")),
        2 => constant.prop_map(|number| number.to_string()),
        1 => Just("len".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 2, move |inner| {
        let operator = prop::sample::select(&["+", "-", "*", "/", "%", "&", "|", "^"][..]);
        let shift = prop::sample::select(&["<<", ">>"][..]);
        prop_oneof![
            4 => (inner.clone(), operator, inner.clone())
                .prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            1 => (inner.clone(), shift, 0..32_u32)
                .prop_map(|(a, shift, by)| format!("({a} {shift} {by})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} << {b})")),
            1 => inner.clone().prop_map(|a| format!("(- {a})")),
            2 => (layer.clone(), inner, size.clone())
                .prop_map(|(layer, at, size)| format!("{layer}[{at} & 127{size}]")),
        ]
    })
}

fn expression() -> impl Strategy<Value = String> {
    let relation = prop::sample::select(&["=", "!=", "<", ">", "<=", ">="][..]);
    let primitive = ETHERNET.iter().filter(|text| !text.is_empty());
    let primitive = prop::sample::select(primitive.copied().collect::<Vec<_>>());
    let leaf = prop_oneof![
        3 => primitive.prop_map(|primitive| format!("({primitive})")),
        2 => (value(), relation, value())
            .prop_map(|(a, relation, b)| format!("{a} {relation} {b}")),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            1 => inner.prop_map(|a| format!("not {a}")),
        ]
    })
}

#[test]
fn compositions_decide_as_libpcap() {
    const CASES: u32 = 600;

    let library = library();
    let packets: Vec<_> = packets().into_iter().step_by(11).collect();
    let mut decided = [0_usize; 2];
    let mut refused = 0;
    let mut runner = runner(CASES);
    for _ in 0..CASES {
        let text = expression().new_tree(&mut runner).unwrap().current();
        let (link_type, source) = (LinkType::ETHERNET, Source::Iface);
        let classic = match compile(&library, link_type, MATCH, &text, source) {
            Ok(classic) => classic,
            // That nothing can match, or a division by a constant that is 0, or too long.
            Err(CompileError::Expression(_)) => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("{text}: {error}"),
        };
        let judge = Judge::new(&library, &text, classic)
            .unwrap_or_else(|reason| panic!("{text}: {reason}"));
        let matches = judge.agree(&packets, Beside::default());
        decided[1] += matches;
        decided[0] += packets.len() - matches;
    }
    assert!(refused < usize::try_from(CASES / 2).unwrap(), "{refused}");
    let all = decided[0] + decided[1];
    assert!(decided.iter().all(|some| *some > all / 10), "{decided:?}");
}
