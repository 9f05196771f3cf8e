//! A capture that the screen of `top` starts and ends.

use super::{OWN, file, pods, send_numbered};
use crate::{
    residue::attached,
    support::{
        lab::{Lab, Pod},
        savefile::Saved,
        tty::Tty,
        wait_until,
    },
};

/// Programs of nstrace on the hooks of these pods, by whatever mechanism.
fn programs(lab: &Lab, pods: &[Pod]) -> usize {
    let hooks = attached(lab, pods);
    let of_hook = |(links, filters): &(Vec<u32>, String)| {
        links.len() + filters.matches("handle 0x4e53").count()
    };
    hooks.iter().map(of_hook).sum()
}

#[test]
fn c_captures_the_chosen_namespace_and_ends_that_again() {
    const CLEAR: &str = "\x15";

    let lab = Lab::new();
    let both = pods(&lab, ["a", "b"]);
    let [a, b] = &both;
    assert_eq!(programs(&lab, &both), 0);
    let (name, path) = file(&lab);
    let mut top = Tty::start(&lab, &["top", "--filter", &a.veth]);
    wait_until("top is attached", || {
        (programs(&lab, &both) == 4).then_some(())
    });
    top.until("eth0");
    top.keys("c");
    top.until("capture a to: ");
    top.keys(&format!("{CLEAR}{name}\r"));
    // What is wrong is said, and can be changed.
    top.keys("tcp prot 80\r");
    top.until("^^^^");
    assert_eq!(programs(&lab, &both), 4);
    top.keys(&format!("{CLEAR}{OWN}\r"));
    wait_until("the capture is attached", || {
        (programs(&lab, &both) == 6).then_some(())
    });
    let sent = send_numbered(&lab, a, b, 30, 100);
    top.keys("c");
    // Of "captured", what differs from "capturing".
    top.until("ed a to ");
    assert_eq!(programs(&lab, &both), 4);
    let saved = Saved::read(&path);
    assert_eq!(saved.bytes(), sent.iter().collect::<Vec<_>>());
    assert_eq!(saved.ifaces[0].filter.as_deref(), Some(OWN));
    let [statistics] = &saved.statistics[..] else {
        panic!("statistics of one interface: {:?}", saved.statistics);
    };
    assert_eq!(statistics.matched, Some(30));
    top.keys("q");
    assert!(top.end().success());
    assert_eq!(programs(&lab, &both), 0);
}
