//! Beside others who count, and with few privileges.

use nstrace_ebpf::wire::Hook;

use super::{OWN, file, pods, send_numbered};
use crate::{
    residue::{attached, confined},
    support::{
        bpf::{Foreign, tcx_programs},
        capture::Capture,
        kernel,
        lab::Lab,
        nstrace::{NSTRACE, Top, class},
        savefile::Saved,
        wait_until,
    },
};

#[test]
fn a_capture_by_each_mechanism_holds_what_top_counts_meanwhile() {
    for &mechanism in kernel::mechanisms() {
        let lab = Lab::new();
        let both = pods(&lab, ["a", "b"]);
        let [a, b] = &both;
        let before = attached(&lab, &both);
        let mut top = Top::start(&lab, &["--mechanism", mechanism]);
        top.until_attached(&["a", "b"]);
        let with_top = attached(&lab, &both);
        let (name, path) = file(&lab);
        let args = ["--all", "--mechanism", mechanism, "-w", name, OWN];
        let capture = Capture::start(&lab, &args);
        assert_ne!(attached(&lab, &both), with_top);
        send_numbered(&lab, a, b, 400, 100);
        send_numbered(&lab, b, a, 300, 100);
        capture.end("INT").with_code(0).assert_all(1400);
        assert_eq!(attached(&lab, &both), with_top, "{mechanism}");
        let saved = Saved::read(&path);
        for (number, pod) in both.iter().enumerate() {
            let row = top.until_counted(&pod.name, || lab.device(&pod.veth));
            let captured = |is_tx| {
                let packets = saved.packets.iter();
                let of_iface = packets.filter(|packet| packet.iface == number);
                let meant = of_iface.filter(|packet| packet.is_tx == Some(is_tx));
                meant.fold((0, 0), |(packets, bytes), packet| {
                    (packets + 1, bytes + packet.data.len() as u64)
                })
            };
            let (sent, received) = if number == 0 { (400, 300) } else { (300, 400) };
            assert_eq!(captured(true), (sent, sent * 100));
            assert_eq!(captured(false), (received, received * 100));
            assert_eq!(class(&row, "other", "tx"), captured(true));
            assert_eq!(class(&row, "other", "rx"), captured(false));
        }
        top.end("INT");
        assert_eq!(attached(&lab, &both), before);
    }
}

#[test]
fn programs_of_others_count_on_and_a_killed_capture_leaves_nothing() {
    if !kernel::has_tcx() {
        // Nor a chain, as this asserts.
        tcx_programs(1, Hook::Ingress);
        return;
    }
    let lab = Lab::new();
    let both = pods(&lab, ["a", "b"]);
    let [a, b] = &both;
    let ifindex = lab.ifindex(&a.veth);
    let foreign =
        || lab.on_host(|| [Hook::Ingress, Hook::Egress].map(|hook| Foreign::attach(ifindex, hook)));
    let behind = foreign();
    let (name, path) = file(&lab);
    let capture = Capture::start(&lab, &["a", "-w", name, OWN]);
    let before = foreign();
    let with_ours = attached(&lab, &both);
    let counts = || [&before, &behind].map(|pair| pair.each_ref().map(Foreign::count));
    send_numbered(&lab, a, b, 400, 100);
    send_numbered(&lab, b, a, 300, 100);
    assert_eq!(counts(), [[400, 300]; 2]);
    capture.until_matched(700).assert_all(700);
    capture.signal("USR2");
    wait_until("all are in the file", || {
        (Saved::so_far(&path).0.packets.len() == 700).then_some(())
    });
    capture.end("KILL");
    // A killed process's descriptors are closed while it is being buried.
    let chain = || lab.on_host(|| tcx_programs(ifindex, Hook::Ingress));
    wait_until("only ours is gone", || (chain().len() == 2).then_some(()));
    let (programs, _) = &with_ours[0];
    assert_eq!(chain(), [programs[0], programs[2]]);
    // Without its statistics, and else whole.
    let saved = Saved::read(&path);
    assert_eq!((saved.packets.len(), saved.statistics.len()), (700, 0));
    send_numbered(&lab, a, b, 10, 100);
    assert_eq!(counts(), [[410, 300]; 2]);
}

#[test]
fn two_capabilities_are_enough_to_capture() {
    const TWO: &str = "+bpf,+net_admin";

    let lab = Lab::new();
    let both = pods(&lab, ["a", "b"]);
    let capabilities = if kernel::needs_perfmon() {
        format!("{TWO},+perfmon")
    } else {
        TWO.to_owned()
    };
    let limit = if kernel::limits_maps() {
        "unlimited"
    } else {
        "64"
    };
    let by = confined(&capabilities, limit);
    let by = by.each_ref().map(String::as_str);
    let (name, path) = file(&lab);
    for filter in [
        "tcp port 80 or ether proto 0x88b5",
        "ip6 protochain 6 or ether proto 0x88b5",
        "inbound and (tcp[tcpflags] & tcp-syn != 0) or ether proto 0x88b5",
    ] {
        for mechanism in kernel::mechanisms() {
            let args = ["a", "--force", "--mechanism", mechanism, "-w", name, filter];
            let capture = Capture::start_by(&lab, &by, &args);
            let sent = send_numbered(&lab, &both[0], &both[1], 10, 100);
            capture.end("INT").with_code(0).assert_all(10);
            let saved = Saved::read(&path);
            assert_eq!(saved.bytes(), sent.iter().collect::<Vec<_>>(), "{filter}");
        }
    }
}

/// A filter outlives its maker; the next start of nstrace removes it, whatever that is for.
#[test]
fn what_a_killed_capture_leaves_is_removed_by_the_next() {
    let lab = Lab::new();
    let both = pods(&lab, ["a", "b"]);
    let before = attached(&lab, &both);
    let (name, _) = file(&lab);
    let args = ["a", "--mechanism", "clsact", "--force", "-w", name, OWN];
    Capture::start(&lab, &args).end("KILL");
    assert_ne!(attached(&lab, &both), before);
    let capture = Capture::start(&lab, &args);
    send_numbered(&lab, &both[0], &both[1], 10, 100);
    capture.end("INT").with_code(0).assert_all(10);
    assert_eq!(attached(&lab, &both), before);
}

#[test]
fn without_its_capabilities_it_says_so_and_makes_no_file() {
    let lab = Lab::new();
    pods(&lab, ["a"]);
    let (name, path) = file(&lab);
    let [program, args @ ..] = confined("+net_admin", "unlimited");
    let output = lab
        .command(&program)
        .args(args)
        .args([NSTRACE, "capture", "a", "-w", name, OWN])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("\nhint: ") && errors.contains("CAP_BPF"),
        "{errors}"
    );
    assert!(!path.exists());
}
