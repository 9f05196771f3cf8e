//! Many interfaces at once: what is done to the machine's grace periods, and that it is undone; and
//! that looking only where events point misses nothing.

use std::{
    fs::{self, File},
    io::Read as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use nstrace_ebpf::wire::Hook;

use crate::support::{
    DEADLINE,
    bpf::tcx_programs,
    lab::Lab,
    lock_to_read,
    nstrace::{NSTRACE, Top, rows},
    wait_until,
};

const KNOB: &str = "/sys/kernel/rcu_expedited";
/// What nstrace writes.
const MARK: &str = "20051";
const MANY: usize = 200;

/// The knob is the whole machine's: one test at a time, also of those in other processes.
struct Knob {
    _lock: File,
}

impl Knob {
    fn take() -> Self {
        let path = std::env::temp_dir().join("nstrace-rcu-test.lock");
        let lock = File::create(path).unwrap();
        lock.lock().unwrap();
        assert_eq!(read(), "0", "{KNOB} is set: these tests need it to be 0");
        Self { _lock: lock }
    }
}

impl Drop for Knob {
    fn drop(&mut self) {
        fs::write(KNOB, "0").unwrap();
    }
}

fn read() -> String {
    fs::read_to_string(KNOB).unwrap().trim().to_owned()
}

/// A lab with so many namespaces, each with an eth0 whose host end is `v-N`.
fn lab_of(count: usize) -> Lab {
    let lab = Lab::new();
    lab.shell(&format!(
        "for i in $(seq 1 {count}); do \
             echo \"netns add n$i\"; \
             echo \"link add v-$i type veth peer name eth0 netns n$i\"; \
         done | ip -batch -"
    ));
    lab
}

fn is_attached(lab: &Lab, number: usize) -> bool {
    let ifindex = lab.ifindex(&format!("v-{number}"));
    let is_taken = |hook| !lab.on_host(|| tcx_programs(ifindex, hook)).is_empty();
    is_taken(Hook::Ingress) && is_taken(Hook::Egress)
}

fn until_all_attached(top: &mut Top<'_>) {
    top.until("all are attached", |line| {
        (line["interfaces"]["attached"] == MANY).then_some(())
    });
}

/// Children of a process, as this test's own PID namespace numbers them.
fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|children| {
            let ids = children.split_whitespace().map(|id| id.parse().unwrap());
            ids.collect::<Vec<i32>>()
        })
        .collect()
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Stops nstrace. Its parent stops along with it, and will wake it.
fn stop(top: &Top<'_>, pid: i32) {
    signal(pid, Signal::SIGSTOP);
    wait_until("nsenter has stopped along with it", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", top.nsenter())).ok()?;
        stat.contains(") T ").then_some(())
    });
}

/// Starts nstrace and returns as soon as it has raised the knob. That is for milliseconds, which a
/// loaded machine may miss: then once more.
fn raised(lab: &Lab) -> Top<'_> {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        let top = Top::start(lab, &[]);
        let attempt = Instant::now();
        while attempt.elapsed() < Duration::from_secs(3) {
            if read() == MARK {
                return top;
            }
        }
        top.end("INT");
    }
    panic!("the knob was never raised");
}

/// Starts nstrace and stops it in the midst of its attachments; gives its guard's id too.
fn stopped_midway(lab: &Lab) -> (Top<'_>, i32, i32) {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        let top = raised(lab);
        let [pid] = children(top.nsenter())[..] else {
            panic!("nsenter has one child");
        };
        stop(&top, pid);
        if let [guard] = children(pid)[..]
            && read() == MARK
            && !is_attached(lab, MANY)
        {
            return (top, pid, guard);
        }
        top.go_on();
        top.end("INT");
    }
    panic!("it is too fast to be stopped");
}

fn until_put_back() {
    wait_until("the knob is put back", || (read() == "0").then_some(()));
}

#[test]
fn many_are_attached_and_detached_and_the_knob_is_put_back() {
    let _knob = Knob::take();
    let lab = lab_of(MANY);
    let mut top = raised(&lab);
    until_all_attached(&mut top);
    until_put_back();
    let line = top.line();
    assert_eq!(rows(&line).count(), MANY);
    let (status, _) = top.end("INT");
    assert_eq!(status.code(), Some(0));
    assert_eq!(read(), "0");
    for number in [1, MANY] {
        assert!(!is_attached(&lab, number));
    }
}

#[test]
fn an_interrupt_midway_puts_the_knob_back() {
    let _knob = Knob::take();
    let lab = lab_of(MANY);
    let (top, pid, _) = stopped_midway(&lab);
    signal(pid, Signal::SIGINT);
    top.go_on();
    let (status, _) = top.wait();
    assert_eq!(status.code(), Some(0));
    assert_eq!(read(), "0");
    assert!(!is_attached(&lab, 1));
}

#[test]
fn a_kill_midway_has_the_guard_put_the_knob_back() {
    let _knob = Knob::take();
    let lab = lab_of(MANY);
    let (top, pid, _) = stopped_midway(&lab);
    assert_eq!(read(), MARK);
    signal(pid, Signal::SIGKILL);
    top.go_on();
    top.wait();
    until_put_back();
    wait_until("what was attached is not", || {
        (!is_attached(&lab, 1)).then_some(())
    });
}

#[test]
fn a_stopped_nstrace_does_not_keep_the_knob() {
    let _knob = Knob::take();
    let lab = lab_of(MANY);
    let (mut top, _, _) = stopped_midway(&lab);
    until_put_back();
    assert!(!is_attached(&lab, MANY), "it is still stopped");
    top.go_on();
    until_all_attached(&mut top);
    until_put_back();
}

#[test]
fn a_guard_that_is_killed_is_stood_in_for() {
    let _knob = Knob::take();
    let lab = lab_of(MANY);
    let (mut top, _, guard) = stopped_midway(&lab);
    for ignored in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signal(guard, ignored);
    }
    assert_eq!(read(), MARK, "it hears nothing");
    signal(guard, Signal::SIGKILL);
    assert_eq!(read(), MARK, "nobody is left to put it back but nstrace");
    top.go_on();
    until_all_attached(&mut top);
    until_put_back();
}

#[test]
fn what_a_killed_pair_left_is_put_back_by_the_next() {
    let _knob = Knob::take();
    let lab = Lab::new();
    lab.pod("a");
    fs::write(KNOB, MARK).unwrap();
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["a"]);
    assert_eq!(read(), "0");
}

/// Anybody may read the knob, and so may lock it against writers.
#[test]
fn a_readers_lock_does_not_keep_the_knob_up() {
    let _knob = Knob::take();
    let lab = lab_of(MANY);
    let (mut top, _, _) = stopped_midway(&lab);
    let reader = File::open(KNOB).unwrap();
    reader.lock_shared().unwrap();
    lock_to_read(&reader).unwrap();
    top.go_on();
    until_all_attached(&mut top);
    until_put_back();
}

#[test]
fn a_knob_that_somebody_has_set_is_left_alone() {
    let _knob = Knob::take();
    let lab = lab_of(MANY);
    fs::write(KNOB, "1").unwrap();
    let mut top = Top::start(&lab, &[]);
    until_all_attached(&mut top);
    assert_eq!(read(), "1");
    let (status, _) = top.end("TERM");
    assert_eq!(status.code(), Some(0));
    assert_eq!(read(), "1");
}

#[test]
fn a_flag_and_a_handful_of_interfaces_leave_the_knob_alone() {
    let _knob = Knob::take();
    for (count, args) in [(32, &["--no-expedite"][..]), (8, &[])] {
        let lab = lab_of(count);
        let mut top = Top::start(&lab, args);
        let watch = std::thread::spawn(|| {
            // Until the bulk is done, and done again: the main thread writes the knob then.
            let mut seen = Vec::new();
            loop {
                let value = read();
                if value == "1" {
                    return seen;
                }
                if seen.last() != Some(&value) {
                    seen.push(value);
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        top.until("all are attached", |line| {
            (line["interfaces"]["attached"] == count).then_some(())
        });
        top.end("INT");
        fs::write(KNOB, "1").unwrap();
        assert_eq!(watch.join().unwrap(), ["0"], "{count} {args:?}");
        fs::write(KNOB, "0").unwrap();
    }
}

/// Rows that are not gone, as `name interface host-veth`.
fn shown(line: &serde_json::Value) -> Vec<String> {
    let alive = rows(line).filter(|row| row["gone"] == false);
    let mut shown: Vec<String> = alive
        .map(|row| {
            ["name", "interface", "peer"]
                .map(|field| row[field].as_str().unwrap())
                .join(" ")
        })
        .collect();
    shown.sort();
    shown
}

/// Without a look at the whole that would find it in the end.
#[test]
fn every_change_is_found_by_its_events_alone() {
    let lab = Lab::new();
    lab.shell("for name in a b c; do ip netns add $name; done");
    let mut top = Top::start(&lab, &["--full-check", "3600"]);
    top.line();
    let mut check = |script: &str, expected: &[&str]| {
        lab.shell(script);
        top.until(script, |line| (shown(line) == expected).then_some(()));
    };
    // Made across, by either side.
    check(
        "ip link add v-a type veth peer name eth0 netns a",
        &["a eth0 v-a"],
    );
    check(
        "ip -n b link add eth0 type veth peer name v-b netns $$",
        &["a eth0 v-a", "b eth0 v-b"],
    );
    // Made here, and then moved: of the end that stays nothing is said.
    check(
        "ip link add v-c type veth peer name tmp; ip link set tmp netns c name eth0",
        &["a eth0 v-a", "b eth0 v-b", "c eth0 v-c"],
    );
    check(
        "ip -n c link set eth0 netns a name eth1",
        &["a eth0 v-a", "a eth1 v-c", "b eth0 v-b"],
    );
    check(
        "ip -n a link set eth1 netns $$ name tmp",
        &["a eth0 v-a", "b eth0 v-b"],
    );
    check(
        "ip link set tmp netns b name eth1",
        &["a eth0 v-a", "b eth0 v-b", "b eth1 v-c"],
    );
    // Names, at both ends.
    check(
        "ip -n b link set eth1 name net1; ip link set v-c name v-d",
        &["a eth0 v-a", "b eth0 v-b", "b net1 v-d"],
    );
    // The host's end leaves, and comes back.
    check("ip link set v-a netns c", &["b eth0 v-b", "b net1 v-d"]);
    check(
        "ip -n c link set v-a netns $$",
        &["a eth0 v-a", "b eth0 v-b", "b net1 v-d"],
    );
    // A namespace goes and another takes its name, and perhaps its inode and id.
    check(
        "ip netns del b; ip netns add b; ip link add v-e type veth peer name eth0 netns b",
        &["a eth0 v-a", "b eth0 v-e"],
    );
    // One that a process alone holds, and one that has lost its name.
    check(
        "unshare --net sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >/run/pid; \
         while [ \"$(readlink /proc/$!/ns/net)\" = \"$(readlink /proc/$$/ns/net)\" ]; do :; done; \
         ip link add v-p type veth peer name eth0 netns $!; \
         ip netns attach p $!",
        &["a eth0 v-a", "b eth0 v-e", "p eth0 v-p"],
    );
    check(
        "kill $(cat /run/pid); ip netns del p; ip link del v-e",
        &["a eth0 v-a"],
    );
    check("ip netns del a", &[]);
    top.end("INT");
}

/// What the kernel could not tell, since nobody listened, is looked for everywhere.
#[test]
fn lost_events_are_made_up_for() {
    let lab = Lab::new();
    lab.run("ip netns add a");
    let mut top = Top::start(&lab, &["--full-check", "3600"]);
    top.line();
    let [pid] = children(top.nsenter())[..] else {
        panic!("nsenter has one child");
    };
    stop(&top, pid);
    lab.shell(
        "for mtu in $(seq 1500 5000); do echo \"link set lo mtu $mtu\"; done | ip -batch -; \
         ip link add v-a type veth peer name eth0 netns a",
    );
    // The ninth column: messages that did not fit.
    let lost = lab.shell("awk '{ lost += $9 } END { print lost }' /proc/net/netlink");
    assert_ne!(lost.trim(), "0", "nothing was lost");
    top.go_on();
    top.until("it is found", |line| {
        (shown(line) == ["a eth0 v-a"]).then_some(())
    });
}

/// A guard on its own, that has raised the knob.
fn guard() -> Child {
    let mut guard = Command::new(NSTRACE)
        .arg("rcu-guard")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut raised = [0];
    let out = guard.stdout.as_mut().unwrap();
    out.read_exact(&mut raised).unwrap();
    guard
}

#[test]
fn the_last_of_two_guards_puts_the_knob_back() {
    let _knob = Knob::take();
    let [mut first, mut last] = [guard(), guard()];
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    assert_eq!(read(), MARK, "the other is at work");
    drop(last.stdin.take());
    assert!(last.wait().unwrap().success());
    assert_eq!(read(), "0");
}
