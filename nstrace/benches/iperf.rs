//! `iperf.*`: what is left of a TCP stream between two namespaces while nstrace counts at its
//! veths, and, for comparison, while tcpdump waits there for something else.
//!
//! Two pods in a bridge, one stream by iperf3, in turn with nothing, with nstrace watching both, and
//! with a tcpdump on the sender's host veth. `none` is the best round's rate at the receiver; the
//! others are the shares of it that their best rounds reached.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use serde_json::Value;

use crate::{
    Bench,
    report::Measured,
    rounds::{Arm, interleaved},
    support::{
        lab::{Lab, Pod},
        nstrace::Top,
        wait_until,
    },
};

const ROUNDS: usize = 9;
const QUICK_ROUNDS: usize = 2;
const SECONDS: u32 = 2;
const QUICK_SECONDS: u32 = 1;

pub(crate) fn run(bench: &Bench) {
    let lab = Lab::new();
    let [sender, receiver] = ["send", "recv"].map(|name| lab.pod(name));
    for pod in [&sender, &receiver] {
        lab.up(pod);
    }
    lab.introduce(&sender, &receiver);
    lab.run(&format!(
        "ip netns exec {} iperf3 --server --daemon",
        receiver.name
    ));
    wait_until("the receiver listens", || {
        let sockets = lab.run(&format!("ip netns exec {} ss -Htln", receiver.name));
        sockets.contains(":5201").then_some(())
    });
    let seconds = bench.pick(SECONDS, QUICK_SECONDS);
    let send = || seconds_a_gigabit(&lab, &sender, &receiver, seconds);
    let mut arms: [Arm<'_>; 3] = [
        Box::new(send),
        Box::new(|| {
            let mut top = Top::start(&lab, &["-d", "1"]);
            top.until_attached(&[&sender.name, &receiver.name]);
            let cost = send();
            top.end("TERM");
            cost
        }),
        Box::new(|| {
            let _tcpdump = Tcpdump::start(&lab, &sender);
            send()
        }),
    ];
    let series = interleaved(bench.pick(ROUNDS, QUICK_ROUNDS), &mut arms);
    let [none, nstrace, tcpdump] = &series[..] else {
        unreachable!("a series for each arm")
    };
    bench.report(Measured::new("iperf.none", 1.0 / none.min()).p25(1.0 / none.p25()));
    for (name, series) in [("iperf.nstrace", nstrace), ("iperf.tcpdump", tcpdump)] {
        bench.report(Measured::new(name, none.min() / series.min()).p25(none.p25() / series.p25()));
    }
}

/// The reverse of a rate, so that less is better, as in all that is timed here.
fn seconds_a_gigabit(lab: &Lab, sender: &Pod, receiver: &Pod, seconds: u32) -> f64 {
    let said = lab.run(&format!(
        "ip netns exec {} iperf3 --client {} --time {seconds} --json",
        sender.name, receiver.ipv4
    ));
    let said: Value = serde_json::from_str(&said).unwrap();
    let rate = said["end"]["sum_received"]["bits_per_second"].as_f64();
    1e9 / rate.unwrap()
}

/// A tcpdump that waits for what never comes.
struct Tcpdump<'a> {
    lab: &'a Lab,
    child: Child,
}

impl<'a> Tcpdump<'a> {
    fn start(lab: &'a Lab, pod: &Pod) -> Self {
        let filter = "ip and udp port 9";
        let line = format!("tcpdump -i {} -w /dev/null {filter}", pod.veth);
        let mut child = lab
            .command("sh")
            .args(["-c", &format!("echo $$ >/run/tcpdump.pid; exec {line}")])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut says = BufReader::new(child.stderr.take().unwrap());
        while !line.contains("listening on") {
            line.clear();
            assert_ne!(says.read_line(&mut line).unwrap(), 0, "tcpdump listens");
        }
        Self { lab, child }
    }
}

impl Drop for Tcpdump<'_> {
    fn drop(&mut self) {
        self.lab.shell("kill $(cat /run/tcpdump.pid)");
        self.child.wait().unwrap();
    }
}
