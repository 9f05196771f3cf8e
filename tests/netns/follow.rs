//! What comes and goes while `top` runs.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::support::{
    kernel,
    lab::Lab,
    nstrace::{Counts, Top, class, row, rows},
    send, wait_until,
};

#[test]
fn a_namespace_that_appears_is_shown_and_counted() {
    let lab = Lab::new();
    let a = lab.pod("a");
    lab.up(&a);
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["a"]);
    let late = lab.pod("late");
    top.until_attached(&["late"]);
    lab.up(&late);
    lab.introduce(&a, &late);
    send::udp(&lab, &late, &a, &a.ipv4, 120, 10);
    let row = top.until_counted("late", || lab.device(&late.veth));
    assert_eq!(class(&row, "ipv4_udp", "tx"), (120, 120 * 52));
}

#[test]
fn a_watch_that_starts_with_nothing_waits_for_it() {
    let lab = Lab::new();
    let mut top = Top::start(&lab, &[]);
    assert_eq!(rows(&top.line()).count(), 0);
    lab.pod("first");
    top.until_attached(&["first"]);
}

#[test]
fn a_target_restricts_what_is_watched_also_later() {
    let lab = Lab::new();
    lab.pod("web");
    let mut top = Top::start(&lab, &["web"]);
    top.until_attached(&["web"]);
    lab.pod("db");
    lab.run("ip netns del web");
    top.until("web is gone", |line| {
        row(line, "web").is_none().then_some(())
    });
    lab.pod("web");
    top.until_attached(&["web"]);
    let (_, lines) = top.end("INT");
    assert!(lines.iter().flat_map(rows).all(|row| row["name"] == "web"));
}

#[test]
fn a_namespace_that_goes_in_mid_traffic_leaves_its_final_totals_and_nothing_else() {
    let lab = Lab::new();
    let [a, b] = ["a", "b"].map(|name| lab.pod(name));
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["a", "b"]);
    lab.up(&a);
    lab.up(&b);
    lab.introduce(&a, &b);
    let descriptors = lab.path(&format!("/proc/{}/fd", top.pid));
    let held = || -> BTreeSet<String> {
        fs::read_dir(&descriptors)
            .unwrap()
            .filter_map(|fd| {
                Some(
                    fs::read_link(fd.ok()?.path())
                        .ok()?
                        .to_string_lossy()
                        .into_owned(),
                )
            })
            .collect()
    };
    let count = || fs::read_dir(&descriptors).unwrap().count();
    let before = count();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                send::frames(&lab, &a, &send::ethernet(&a, &b, &[0x88, 0xb5], 100), 100);
            }
        });
        top.until("traffic flows", |line| {
            (class(row(line, "b")?, "other", "rx").0 > 1000).then_some(())
        });
        lab.run("ip netns del b");
        // Nothing of ours keeps it alive.
        wait_until("its veth is gone", || {
            let links = lab.run("ip -o link");
            (!links.contains(&b.veth)).then_some(())
        });
        let gone = |line: &serde_json::Value| {
            rows(line)
                .find(|row| row["name"] == "b" && row["gone"] == true)
                .cloned()
        };
        let last = top.until("its row is gone", gone);
        assert!(class(&last, "other", "rx").0 > 1000);
        let later = top.until("the row is still shown", gone);
        assert_eq!(
            Counts::of(&last),
            Counts::of(&later),
            "final totals do not change"
        );
        assert_eq!(later["rx"]["bps"], 0);
        top.until("the row has left", |line| {
            gone(line).is_none().then_some(())
        });
        stop.store(true, Ordering::Relaxed);
    });
    // One interface less: its two links, if such they were, are closed, and no namespace is held.
    let links = if kernel::has_tcx() { 2 } else { 0 };
    wait_until("its descriptors are closed", || {
        (count() + links == before).then_some(())
    });
    assert!(
        held().iter().all(|target| !target.starts_with("net:")),
        "{:?}",
        held()
    );
}

#[test]
fn a_renamed_interface_keeps_its_row_and_totals() {
    let lab = Lab::new();
    let a = lab.pod("a");
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["a"]);
    lab.up(&a);
    send::frames(&lab, &a, &send::arp(&a, 60), 9);
    top.until("nine are counted", |line| {
        (class(row(line, "a")?, "arp", "tx").0 == 9).then_some(())
    });
    lab.run(&format!("ip link set {} down", a.veth));
    lab.run(&format!("ip link set {} name renamed0", a.veth));
    let row = top.until("the new name is shown", |line| {
        row(line, "a")
            .filter(|row| row["peer"] == "renamed0")
            .cloned()
    });
    assert_eq!(class(&row, "arp", "tx").0, 9);
}

#[test]
fn an_interface_that_moves_to_another_namespace_starts_anew_there() {
    let lab = Lab::new();
    let a = lab.pod("a");
    lab.run("ip netns add other");
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["a"]);
    lab.up(&a);
    send::frames(&lab, &a, &send::arp(&a, 60), 9);
    top.until("nine are counted", |line| {
        (class(row(line, "a")?, "arp", "tx").0 == 9).then_some(())
    });
    lab.run("ip -n a link set eth0 netns other");
    let moved = top.until("it is shown there", |line| row(line, "other").cloned());
    assert_eq!(class(&moved, "arp", "tx").0, 0);
    assert_eq!(moved["peer"], a.veth.as_str());
}

/// Names, inodes and ifindexes come back at once; packets must not be credited to who had them
/// before.
#[test]
fn a_namespace_made_again_under_the_same_name_and_ifindex_starts_at_zero() {
    let lab = Lab::new();
    let other = lab.pod("other");
    lab.up(&other);
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["other"]);
    for round in 1..=20_usize {
        lab.shell(
            "ip netns add x; ip link add v-x index 5000 type veth peer name eth0 netns x; \
             ip link set v-x addrgenmode none; ip -n x link set eth0 addrgenmode none",
        );
        top.until_attached(&["x"]);
        lab.shell("ip link set v-x up; ip -n x link set eth0 up");
        let pod = crate::support::lab::Pod {
            name: "x".to_owned(),
            ..other.clone()
        };
        send::frames(&lab, &pod, &send::arp(&pod, 60), round);
        top.until("this round's packets are counted, and no others", |line| {
            (class(row(line, "x")?, "arp", "tx").0 == round as u64).then_some(())
        });
        lab.run("ip netns del x");
        top.until("it is gone", |line| row(line, "x").is_none().then_some(()));
    }
    let (status, lines) = top.end("INT");
    assert!(status.success());
    // A row never shows more than one round's packets.
    for row in lines.iter().flat_map(rows).filter(|row| row["name"] == "x") {
        assert!(class(row, "arp", "tx").0 <= 20);
        assert_eq!(row["peer_ifindex"], 5000);
    }
}

#[test]
fn a_storm_of_short_lived_namespaces_leaves_nothing_behind() {
    let lab = Lab::new();
    lab.pod("stays");
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["stays"]);
    let descriptors = lab.path(&format!("/proc/{}/fd", top.pid));
    let count = || fs::read_dir(&descriptors).unwrap().count();
    let before = count();
    // No pause between the making and the removing: attaching loses many of these races.
    lab.shell(
        "for i in $(seq 100); do ip netns add s$i; ip link add v$i type veth peer name eth0 netns s$i; \
         ip link set v$i up; ip netns del s$i; done",
    );
    top.until("only the one that stays is attached", |line| {
        let interfaces = &line["interfaces"];
        (interfaces["watched"] == 1 && interfaces["attached"] == 1 && interfaces["failed"] == 0)
            .then_some(())
    });
    wait_until("all descriptors are closed", || {
        (count() == before).then_some(())
    });
}

/// The same without a pause: looks at the host and attachments race with the replacement. Rounds
/// send packets of one kind or of the other, so a row that holds both was credited wrongly.
#[test]
fn a_replaced_interface_never_counts_for_the_one_before() {
    let lab = Lab::new();
    let other = lab.pod("other");
    let mut top = Top::start(&lab, &["-d", "0.1"]);
    top.until_attached(&["other"]);
    let pod = crate::support::lab::Pod {
        name: "x".to_owned(),
        ..other.clone()
    };
    for round in 0..40 {
        lab.shell(
            "ip netns add x; ip link add v-x index 5000 type veth peer name eth0 netns x; \
             ip link set v-x addrgenmode none; ip -n x link set eth0 addrgenmode none; \
             ip link set v-x up; ip -n x link set eth0 up",
        );
        let frame = if round % 2 == 0 {
            send::arp(&pod, 60)
        } else {
            send::ethernet(&pod, &other, &[0x88, 0xb5], 60)
        };
        // Now before, now during, now after the attachment.
        for _ in 0..round % 4 * 100 {
            send::frames(&lab, &pod, &frame, 10);
        }
        lab.shell("ip link del v-x; ip netns del x");
    }
    let (_, lines) = top.end("INT");
    let of_x = || lines.iter().flat_map(rows).filter(|row| row["name"] == "x");
    let counts = |row| ["arp", "other"].map(|name| class(row, name, "tx").0);
    assert!(of_x().any(|row| counts(row)[0] > 0), "some were counted");
    assert!(of_x().any(|row| counts(row)[1] > 0), "some were counted");
    for row in of_x() {
        let [arp, other] = counts(row);
        assert!(arp == 0 || other == 0, "{row:#}");
    }
}
