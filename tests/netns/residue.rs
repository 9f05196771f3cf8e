//! What is left, and what was disturbed: nothing.

use std::process::Stdio;

use nstrace_ebpf::wire::Hook;
use serde_json::Value;

use crate::support::{
    bpf::{Foreign, tcx_programs},
    kernel,
    lab::{Lab, Pod},
    nstrace::{NSTRACE, Top, class, row, rows, run},
    send,
    tty::Tty,
    wait_until,
};

/// What is attached to each hook of the lab's devices, as the kernel tells it: TCX programs, and
/// filters.
pub(crate) fn attached(lab: &Lab, pods: &[Pod]) -> Vec<(Vec<u32>, String)> {
    let mut found = Vec::new();
    for pod in pods {
        let ifindex = lab.ifindex(&pod.veth);
        for (hook, parent) in [(Hook::Ingress, "ffff:fff2"), (Hook::Egress, "ffff:fff3")] {
            let programs = lab.on_host(|| tcx_programs(ifindex, hook));
            let line = format!("tc filter show dev {} parent {parent}", pod.veth);
            found.push((programs, lab.run(&line)));
        }
    }
    found
}

/// Two pods that know each other and say nothing by themselves.
fn two_pods(lab: &Lab) -> [Pod; 2] {
    const SILENT: &str = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";

    let pods = ["a", "b"].map(|name| lab.pod(name));
    for pod in &pods {
        lab.up(pod);
    }
    lab.introduce(&pods[0], &pods[1]);
    // Or the kernel would report multicast groups, and programs that count all would count that.
    lab.shell(&format!(
        "{SILENT}; for pod in a b; do ip netns exec $pod sh -c '{SILENT}'; done"
    ));
    pods
}

#[test]
fn nothing_is_attached_after_any_end() {
    for &mechanism in kernel::mechanisms() {
        for signal in ["INT", "TERM", "HUP", "KILL"] {
            let lab = Lab::new();
            let pods = two_pods(&lab);
            let before = attached(&lab, &pods);
            let mut top = Top::start(&lab, &["--mechanism", mechanism]);
            top.until_attached(&["a", "b"]);
            assert_ne!(
                attached(&lab, &pods),
                before,
                "{mechanism}: something is attached"
            );
            let (status, _) = top.end(signal);
            if signal == "KILL" {
                if mechanism == "clsact" {
                    // A filter outlives its maker; the next start removes it.
                    assert_ne!(attached(&lab, &pods), before);
                    let output = run(&lab, &["top", "-b", "-c", "1", "-d", "0.1"]);
                    assert!(output.status.success());
                }
            } else {
                assert_eq!(status.code(), Some(0), "{mechanism} {signal}");
            }
            // A killed process's descriptors are closed while it is being buried.
            wait_until(
                &format!("{mechanism} {signal}: what is attached is as before"),
                || (attached(&lab, &pods) == before).then_some(()),
            );
        }
    }
}

#[test]
fn the_terminal_is_given_back_and_nothing_is_attached_after_q_and_term() {
    for end in ["q", "TERM", "HUP"] {
        let lab = Lab::new();
        let pods = two_pods(&lab);
        let before = attached(&lab, &pods);
        let mut tty = Tty::start(&lab, &["top", "-d", "0.2"]);
        tty.until("interfaces");
        wait_until("all hooks have a program", || {
            let is_taken = |(programs, filters): &(Vec<_>, String)| {
                !(programs.is_empty() && filters.is_empty())
            };
            attached(&lab, &pods).iter().all(is_taken).then_some(())
        });
        if end == "q" {
            tty.keys("q");
        } else {
            let pid = std::fs::read_to_string(lab.path("/run/tty.pid")).unwrap();
            lab.run(&format!("kill -{end} {}", pid.trim()));
        }
        assert_eq!(tty.end().code(), Some(0), "{end}");
        assert_eq!(attached(&lab, &pods), before, "{end}");
    }
}

#[test]
fn programs_of_others_before_and_after_ours_run_and_stay() {
    if !kernel::has_tcx() {
        // Nor a chain, as this asserts. Filters have a test of their own.
        tcx_programs(1, Hook::Ingress);
        return;
    }
    let lab = Lab::new();
    let [a, b] = two_pods(&lab);
    let ifindex = lab.ifindex(&a.veth);
    let foreign =
        || lab.on_host(|| [Hook::Ingress, Hook::Egress].map(|hook| Foreign::attach(ifindex, hook)));
    let chain = || lab.on_host(|| tcx_programs(ifindex, Hook::Ingress));
    let after = foreign();
    let alone = chain();
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["a", "b"]);
    let with_ours = chain();
    assert_eq!(with_ours.len(), 2, "{with_ours:?}");
    assert_eq!(with_ours[1..], alone[..], "ours is at the head");
    let before = foreign();
    let all_three = chain();
    assert_eq!(
        all_three[1..],
        with_ours[..],
        "a later program may go before ours"
    );

    let counts = || [&before, &after].map(|pair| [pair[0].count(), pair[1].count()]);
    let start = counts();
    send::udp(&lab, &a, &b, &b.ipv4, 1000, 100);
    send::udp(&lab, &b, &a, &a.ipv4, 500, 100);
    top.until("ours has counted them all", |line| {
        let row = row(line, "a")?;
        let both = (
            class(row, "ipv4_udp", "tx").0,
            class(row, "ipv4_udp", "rx").0,
        );
        (both == (1000, 500)).then_some(())
    });
    let [first, last] = counts();
    for (at, expected) in [(0, 1000), (1, 500)] {
        assert_eq!(first[at] - start[0][at], expected, "before ours");
        assert_eq!(last[at] - start[1][at], expected, "behind ours");
    }
    top.end("KILL");
    wait_until("only ours is gone", || {
        (chain() == [all_three[0], all_three[2]]).then_some(())
    });
    send::udp(&lab, &a, &b, &b.ipv4, 10, 100);
    assert_eq!(before[0].count(), first[0] + 10);
    assert_eq!(after[0].count(), last[0] + 10);
}

#[test]
fn filters_of_others_before_and_after_ours_run_and_stay() {
    let lab = Lab::new();
    let pods = two_pods(&lab);
    let [a, b] = &pods;
    lab.run(&format!("tc qdisc add dev {} clsact", a.veth));
    let foreign = |priority| {
        [Hook::Ingress, Hook::Egress].map(|hook| Foreign::attach_filter(&lab, a, hook, priority))
    };
    let [first, last] = [1, 60_000].map(foreign);
    let before = attached(&lab, &pods);
    let mut top = Top::start(&lab, &["--mechanism", "clsact"]);
    top.until_attached(&["a", "b"]);
    let shown = lab.run(&format!("tc filter show dev {} ingress", a.veth));
    let order: Vec<usize> = ["pref 1 ", "pref 50000 bpf", "pref 60000 "]
        .iter()
        .map(|filter| {
            shown
                .find(filter)
                .unwrap_or_else(|| panic!("no {filter} in {shown}"))
        })
        .collect();
    assert!(order.is_sorted(), "{shown}");
    send::udp(&lab, a, b, &b.ipv4, 1000, 100);
    send::udp(&lab, b, a, &a.ipv4, 500, 100);
    top.until("ours has counted them all", |line| {
        let row = row(line, "a")?;
        let both = ["tx", "rx"].map(|direction| class(row, "ipv4_udp", direction).0);
        (both == [1000, 500]).then_some(())
    });
    for others in [&first, &last] {
        assert_eq!(others.each_ref().map(Foreign::count), [1000, 500]);
    }
    top.end("TERM");
    assert_eq!(attached(&lab, &pods), before);
    send::udp(&lab, a, b, &b.ipv4, 10, 100);
    for others in [&first, &last] {
        assert_eq!(others[0].count(), 1010);
    }
}

#[test]
fn a_second_nstrace_counts_the_same_and_ends_alone() {
    for &mechanism in kernel::mechanisms() {
        let lab = Lab::new();
        let [a, b] = two_pods(&lab);
        let mut first = Top::start(&lab, &["--mechanism", mechanism]);
        first.until_attached(&["a", "b"]);
        let mut second = Top::start(&lab, &["--mechanism", mechanism]);
        second.until_attached(&["a", "b"]);
        send::udp(&lab, &a, &b, &b.ipv4, 400, 100);
        for top in [&mut first, &mut second] {
            top.until("both count", |line| {
                (class(row(line, "b")?, "ipv4_udp", "rx").0 == 400).then_some(())
            });
        }
        first.end("TERM");
        send::udp(&lab, &a, &b, &b.ipv4, 50, 100);
        second.until("the other goes on", |line| {
            (class(row(line, "b")?, "ipv4_udp", "rx").0 == 450).then_some(())
        });
    }
}

/// Somebody else's clean-up may take our filter along; it comes back, as a new row.
#[test]
fn a_filter_that_others_remove_is_attached_again() {
    let lab = Lab::new();
    let pods = two_pods(&lab);
    let mut top = Top::start(&lab, &["--mechanism", "clsact"]);
    top.until_attached(&["a", "b"]);
    lab.run(&format!("tc qdisc del dev {} clsact", pods[0].veth));
    top.until("its row is gone", |line| {
        let is_gone = |row: &Value| row["name"] == "a" && row["gone"] == true;
        rows(line).any(is_gone).then_some(())
    });
    top.until_attached(&["a"]);
    assert!(
        lab.run(&format!("tc filter show dev {} ingress", pods[0].veth))
            .contains("nstrace")
    );
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let lab = Lab::new();
    two_pods(&lab);
    let script = format!("({NSTRACE} top -b -o json -d 0.1; echo status $? >&2) | head -n 2");
    let output = lab.command("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "status 0\n");
}

#[test]
fn a_reader_that_does_not_read_does_not_keep_it_from_ending() {
    let lab = Lab::new();
    let pods = two_pods(&lab);
    let before = attached(&lab, &pods);
    let mut child = lab
        .command("sh")
        .args(["-c", "echo $$ >/run/pid; exec \"$@\"", "sh", NSTRACE])
        .args(["top", "-b", "-o", "json", "-d", "0.1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the pipe is full", || {
        let pid = std::fs::read_to_string(lab.path("/run/pid")).ok()?;
        // What each thread waits in: one of them in call 1 of x86-64, write, to descriptor 1. It
        // waits for nothing but a full pipe. The file may be empty still.
        let calls = lab.shell(&format!("cat /proc/{}/task/*/syscall || true", pid.trim()));
        let is_write = |call: &str| call.starts_with("1 0x1 ");
        calls.lines().any(is_write).then_some(())
    });
    lab.shell("kill -TERM $(cat /run/pid)");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(attached(&lab, &pods), before);
}

/// What starts nstrace with these capabilities alone, and a limit on locked memory.
pub(crate) fn confined(capabilities: &str, limit: &str) -> [String; 7] {
    let script = format!("ulimit -l {limit}; exec \"$@\"");
    let bounds = format!("--bounding-set=-all,{capabilities}");
    [
        "sh",
        "-c",
        &script,
        "sh",
        "setpriv",
        &bounds,
        "--inh-caps=-all",
    ]
    .map(str::to_owned)
}

/// Asserts that it is refused for want of a privilege, and that the hint says which.
fn is_refused(lab: &Lab, [program, args @ ..]: [String; 7], needed: &str) {
    let output = lab
        .command(&program)
        .args(args)
        .args([NSTRACE, "top", "-b", "-c", "1", "-d", "0.1"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    let hint = errors.lines().find(|line| line.starts_with("hint: "));
    assert!(hint.is_some_and(|hint| hint.contains(needed)), "{errors}");
}

#[test]
fn two_capabilities_are_enough_to_watch() {
    const TWO: &str = "+bpf,+net_admin";

    let three = format!("{TWO},+perfmon");
    for mechanism in kernel::mechanisms() {
        let lab = Lab::new();
        two_pods(&lab);
        // It has no end on the host, so it would have to be entered, which takes CAP_SYS_ADMIN.
        lab.run("ip netns add bare");
        let enough = if kernel::needs_perfmon() {
            is_refused(&lab, confined(TWO, "unlimited"), "CAP_PERFMON");
            &three
        } else {
            TWO
        };
        if kernel::limits_maps() {
            is_refused(&lab, confined(enough, "64"), "ulimit -l unlimited");
        }
        let limit = if kernel::limits_maps() {
            "unlimited"
        } else {
            "64"
        };
        let by = confined(enough, limit);
        let by = by.each_ref().map(String::as_str);
        let mut top = Top::start_by(&lab, &by, &["--mechanism", mechanism]);
        top.until_attached(&["a", "b"]);
        let (status, _) = top.end("INT");
        assert!(status.success(), "{mechanism}");
    }
}

#[test]
fn the_terminal_is_given_back_however_early_the_end_comes() {
    let lab = Lab::new();
    two_pods(&lab);
    for _ in 0..5 {
        let tty = Tty::start(&lab, &["top"]);
        // The screen is taken before the programs are loaded and anything is drawn.
        tty.until("\x1b[?1049h");
        let pid = std::fs::read_to_string(lab.path("/run/tty.pid")).unwrap();
        lab.run(&format!("kill -TERM {}", pid.trim()));
        assert_eq!(tty.end().code(), Some(0));
    }
}
