//! Flows and what is in none: always all packets, in all four numbers, whatever a tenant sends.

use std::{
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use serde_json::{Value, json};

use crate::support::{
    lab::{Lab, Pod},
    nstrace::{Counts, Top, class, row, rows, run},
    send, wait_until,
};

const UDP_IPV4: u64 = 14 + 20 + 8;
const UDP_IPV6: u64 = 14 + 40 + 8;
const FIELDS: [&str; 4] = ["packets", "bytes", "wire_packets", "wire_bytes"];

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("a number: {value}"))
}

fn fields(side: &Value) -> [u64; 4] {
    FIELDS.map(|field| number(&side[field]))
}

/// That a row's flows and the rest are its totals: so it is in every line.
#[track_caller]
fn check_sum(row: &Value) {
    for direction in ["rx", "tx"] {
        let mut sum = fields(&row["other"][direction]);
        for flow in row["flows"].as_array().unwrap() {
            for (sum, part) in sum.iter_mut().zip(fields(&flow[direction])) {
                *sum += part;
            }
        }
        assert_eq!(sum, fields(&row[direction]), "{direction} of {row:#}");
    }
}

/// The flow of a row by protocol, local and remote port.
fn flow<'a>(row: &'a Value, proto: &str, local: u64, remote: u64) -> Option<&'a Value> {
    row["flows"].as_array().unwrap().iter().find(|flow| {
        flow["proto"] == proto && flow["local"]["port"] == local && flow["remote"]["port"] == remote
    })
}

/// (packets, bytes) of both kinds, where no packet is a super-packet.
fn plain(packets: u64, length: u64) -> [u64; 4] {
    [packets, packets * length, packets, packets * length]
}

/// Reads lines until a row's totals are the device's, and gives the row of the line after that, with
/// sums checked: totals are read a moment after flows, so a packet may be in those first.
#[track_caller]
fn counted(top: &mut Top<'_>, lab: &Lab, pod: &Pod) -> Value {
    loop {
        let first = top.until_counted(&pod.name, || lab.device(&pod.veth));
        let line = top.line();
        let row = row(&line, &pod.name).unwrap();
        check_sum(row);
        if Counts::of(&first) == Counts::of(row) {
            return row.clone();
        }
    }
}

/// One load at a time: a CPU's backlog is shared by all labs, and what overflows it was sent and
/// arrives nowhere.
fn alone() -> MutexGuard<'static, ()> {
    static LOAD: Mutex<()> = Mutex::new(());
    // Another test's failure is not this one's.
    LOAD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn two_pods(lab: &Lab) -> [Pod; 2] {
    ["a", "b"].map(|name| lab.pod(name))
}

/// Takes both up, knowing each other.
fn join(lab: &Lab, pods: &[&Pod]) {
    for pod in pods {
        lab.up(pod);
    }
    for (nth, pod) in pods.iter().enumerate() {
        for other in &pods[nth + 1..] {
            lab.introduce(pod, other);
        }
    }
}

/// An IPv4 header with a payload protocol, from pod to address, by itself.
fn ipv4(from: &Pod, to: &str, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().octets();
    let length = u16::try_from(20 + payload.len()).unwrap();
    let mut packet = vec![0x08, 0x00, 0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 7]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(address(&from.ipv4));
    packet.extend(address(to));
    let sum = checksum(&packet[2..]);
    packet[12..14].copy_from_slice(&sum);
    packet.extend(payload);
    packet
}

/// An ICMP echo request.
fn echo(payload: &[u8]) -> Vec<u8> {
    let mut packet = [&[8, 0, 0, 0, 0, 9, 0, 1], payload].concat();
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum);
    packet
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).unwrap().to_be_bytes()
}

/// Nobody's: what goes there is dropped where it arrives.
const NOWHERE: &str = "198.51.100.250";

#[test]
fn every_packet_has_its_flow() {
    let lab = Lab::new();
    let [a, b] = two_pods(&lab);
    let mut top = Top::start(&lab, &["--flows", "1000"]);
    top.until_attached(&["a", "b"]);
    join(&lab, &[&a, &b]);

    send::udp_from(&lab, &a, &b, &b.ipv4, 7001, 300, 100);
    send::udp_from(&lab, &b, &a, &a.ipv6, 7002, 70, 33);
    // Answered by b's kernel.
    let ping = ipv4(&a, &b.ipv4, 1, 0, &echo(&[7; 56]));
    send::frames(&lab, &a, &send::ethernet(&a, &b, &ping, 98), 5);
    // The second fragment of a datagram: no ports in it.
    let fragment = ipv4(&a, NOWHERE, 17, 185, &[0; 32]);
    send::frames(&lab, &a, &send::ethernet(&a, &b, &fragment, 66), 9);
    let gre = ipv4(&a, NOWHERE, 47, 0, &[0, 0, 8, 0]);
    send::frames(&lab, &a, &send::ethernet(&a, &b, &gre, 38), 4);
    send::frames(&lab, &a, &send::arp(&a, 60), 3);
    let tagged = [
        &[0x81, 0, 0, 5][..],
        &ipv4(&a, NOWHERE, 17, 0, &[0x1b, 0x5b, 0, 80, 0, 8, 0, 0]),
    ]
    .concat();
    send::frames(&lab, &a, &send::ethernet(&a, &b, &tagged, 46), 6);

    let at_b = counted(&mut top, &lab, &b);
    for (flow, rx) in [
        (flow(&at_b, "udp", 9999, 7001), plain(300, UDP_IPV4 + 100)),
        // In metadata, the tag has no length.
        (flow(&at_b, "udp", 80, 7003), plain(6, 42)),
    ] {
        let flow = flow.unwrap_or_else(|| panic!("{at_b:#}"));
        assert_eq!(fields(&flow["rx"]), rx, "{flow:#}");
        assert_eq!(fields(&flow["tx"]), plain(0, 0));
    }
    let sent = flow(&at_b, "udp", 7002, 9999).unwrap();
    assert_eq!(fields(&sent["tx"]), plain(70, UDP_IPV6 + 33));
    assert_eq!(sent["local"]["address"], b.ipv6);
    assert_eq!(sent["remote"]["address"], a.ipv6);
    let find = |proto: &str, note: Value| {
        let flows = at_b["flows"].as_array().unwrap();
        flows
            .iter()
            .find(|flow| flow["proto"] == proto && flow["note"] == note)
            .unwrap_or_else(|| panic!("{proto} {note} in {at_b:#}"))
    };
    // An echo and its answer are one flow.
    let ping = find("icmp", Value::Null);
    assert_eq!(fields(&ping["rx"]), plain(5, 98));
    assert_eq!(fields(&ping["tx"]), plain(5, 98));
    assert_eq!(
        (&ping["icmp"]["type"], &ping["icmp"]["code"]),
        (&json!(8), &json!(0))
    );
    let fragments = find("udp", json!("fragments"));
    assert_eq!(fields(&fragments["rx"]), plain(9, 66));
    assert_eq!(
        fragments["local"],
        json!({ "address": NOWHERE, "port": null })
    );
    assert_eq!(fields(&find("gre", Value::Null)["rx"]), plain(4, 38));
    assert_eq!(fields(&find("arp", Value::Null)["rx"]), plain(3, 60));
    assert_eq!(fields(&at_b["other"]["rx"]), [0; 4], "all flows are shown");
    assert_eq!(fields(&at_b["other"]["tx"]), [0; 4]);
    assert_eq!(at_b["other"]["flows"], 0);

    // The same packets from the other end.
    let at_a = top.until("a has them too", |line| {
        let sent = |row: &&Value| flow(row, "udp", 7001, 9999).is_some();
        row(line, "a").filter(sent).cloned()
    });
    check_sum(&at_a);
    for (ports, sent) in [
        ((7001, 9999), plain(300, UDP_IPV4 + 100)),
        ((7003, 80), plain(6, 42)),
    ] {
        let flow = flow(&at_a, "udp", ports.0, ports.1).unwrap();
        assert_eq!(fields(&flow["tx"]), sent, "{flow:#}");
        assert_eq!(flow["local"]["address"], a.ipv4);
    }
    let (_, lines) = top.end("INT");
    assert_eq!(
        lines.last().unwrap()["lost"],
        json!({ "samples": 0, "packets": 0, "flow_packets": 0 })
    );
}

/// A server in a namespace, ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn in_pod(lab: &Lab, pod: &Pod, program: &str, args: &[&str]) -> Command {
    let mut command = lab.command("ip");
    command
        .args(["netns", "exec", &pod.name, program])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// `TcpOutSegs` and `TcpRetransSegs` of a pod, added: what its TCP put on the wire.
fn segments(lab: &Lab, pod: &Pod) -> u64 {
    let snmp = lab.run(&format!("ip netns exec {} cat /proc/net/snmp", pod.name));
    let mut tcp = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let [names, values] = [(); 2].map(|()| tcp.next().unwrap().split_whitespace());
    names
        .zip(values)
        .filter(|(name, _)| ["OutSegs", "RetransSegs"].contains(name))
        .map(|(_, value)| value.parse::<u64>().unwrap())
        .sum()
}

/// What the kernel says of segments that were counted and did not arrive.
fn losses(lab: &Lab, pod: &Pod) -> String {
    let script = format!(
        "ip netns exec {} cat /proc/net/netstat /proc/net/snmp /proc/net/softnet_stat | grep -E 'Tcp|^0'; \
         ip -s link show {}",
        pod.name, pod.veth
    );
    lab.shell(&script)
}

/// Over veth a TCP stream travels in super-packets. The kernel's own count of segments says how
/// many packets it is on a wire.
fn wire_packets_are_the_segments(mechanism: &str) {
    let _alone = alone();
    let lab = Lab::new();
    let [a, b] = two_pods(&lab);
    let mut top = Top::start(&lab, &["--flows", "100", "--mechanism", mechanism]);
    top.until_attached(&["a", "b"]);
    join(&lab, &[&a, &b]);
    let server = Server(
        in_pod(&lab, &b, "iperf3", &["-s", "-1", "-B", &b.ipv4])
            .spawn()
            .unwrap(),
    );
    wait_until("iperf3 listens", || {
        lab.run("ip netns exec b cat /proc/net/tcp")
            .contains(":1451 00000000:0000 0A")
            .then_some(())
    });
    // Never so much on its way that a backlog overflows: what is dropped between the pod's TCP and
    // the host's end was sent, and arrives nowhere.
    let args = ["-c", &b.ipv4, "-n", "50M", "-w", "64K"];
    let status = in_pod(&lab, &a, "iperf3", &args).status().unwrap();
    assert!(status.success(), "{status}");
    drop(server);

    for (pod, far) in [(&a, &b), (&b, &a)] {
        let row = counted(&mut top, &lab, pod);
        let flows = row["flows"].as_array().unwrap();
        let tcp: Vec<&Value> = flows.iter().filter(|flow| flow["proto"] == "tcp").collect();
        // Control and data.
        assert_eq!(tcp.len(), 2, "{row:#}");
        let wire = |direction: &str| -> u64 {
            tcp.iter()
                .map(|flow| number(&flow[direction]["wire_packets"]))
                .sum()
        };
        assert_eq!(
            wire("tx"),
            segments(&lab, pod),
            "{}: {}",
            pod.name,
            losses(&lab, pod)
        );
        assert_eq!(wire("rx"), segments(&lab, far), "{}", pod.name);
        // iperf3 may end its connections either way.
        let has_ended = |flow: &&Value| {
            ["closed", "reset"]
                .map(Value::from)
                .contains(&flow["state"])
        };
        assert!(tcp.iter().all(has_ended), "{row:#}");
        assert_eq!(row["other"]["flows"], 0);
        let (sent, skbs) = (
            number(&row["tx"]["wire_packets"]),
            number(&row["tx"]["packets"]),
        );
        assert!(
            pod.name == "b" || sent > 2 * skbs,
            "{skbs} skbs are {sent} segments"
        );
    }
}

#[test]
fn wire_packets_are_the_segments_that_tcp_sent_by_tcx() {
    if crate::support::kernel::has_tcx() {
        wire_packets_are_the_segments("tcx");
    }
}

#[test]
fn wire_packets_are_the_segments_that_tcp_sent_by_clsact() {
    wire_packets_are_the_segments("clsact");
}

/// Frames of one packet each of so many flows, all of them UDP to nobody.
fn flood(lab: &Lab, from: &Pod, to: &Pod, flows: u32) {
    // As long as its headers say: a bridge may cut off what is more.
    let mut datagram = [0; 26];
    datagram[4..6].copy_from_slice(&26_u16.to_be_bytes());
    let frame = send::ethernet(from, to, &ipv4(from, NOWHERE, 17, 0, &datagram), 60);
    send::many_frames(lab, from, flows, |nth, into| {
        into.clear();
        into.extend(&frame);
        into[34..38].copy_from_slice(&(nth + 0x0001_0000).to_be_bytes());
    });
}

const STEADY: u64 = 10;
const STEADY_PACKETS: usize = 200;

/// One namespace floods with flows of one packet while another has ten that last.
fn a_flood_hides_nobody(flows: u32, sizes: &[&str]) -> u64 {
    let _alone = alone();
    let lab = Lab::new();
    let pods = ["a", "b", "c", "d"].map(|name| lab.pod(name));
    let [a, b, c, d] = &pods;
    let args = [&["--flows", "15", "--flow-limit", "100"][..], sizes].concat();
    let mut top = Top::start(&lab, &args);
    top.until_attached(&["a", "b", "c", "d"]);
    join(&lab, &[a, b]);
    join(&lab, &[c, d]);
    thread::scope(|scope| {
        scope.spawn(|| flood(&lab, a, b, flows));
        scope.spawn(|| send::udp_steady(&lab, c, d, STEADY, STEADY_PACKETS, 500));
    });
    let mut other = 0;
    for pod in &pods {
        let row = counted(&mut top, &lab, pod);
        let direction = if ["a", "c"].contains(&pod.name.as_str()) {
            "tx"
        } else {
            "rx"
        };
        if ["a", "b"].contains(&pod.name.as_str()) {
            // A namespace may say more of itself by IPv6.
            assert_eq!(
                class(&row, "ipv4_udp", direction),
                (flows.into(), u64::from(flows) * 60)
            );
            other += number(&row["other"][direction]["packets"]);
        } else {
            let packets = STEADY * STEADY_PACKETS as u64;
            let bytes = packets * (UDP_IPV4 + 500);
            assert_eq!(class(&row, "ipv4_udp", direction), (packets, bytes));
            let mut in_flows = 0;
            for nth in 0..STEADY {
                let (local, remote) = if pod.name == "c" {
                    (20_000 + nth, 9999)
                } else {
                    (9999, 20_000 + nth)
                };
                let steady = flow(&row, "udp", local, remote);
                if sizes.is_empty() {
                    let steady = steady.unwrap_or_else(|| panic!("flow {nth} of {row:#}"));
                    let whole = plain(STEADY_PACKETS as u64, UDP_IPV4 + 500);
                    assert_eq!(fields(&steady[direction]), whole, "{nth}");
                }
                in_flows += steady.map_or(0, |steady| number(&steady[direction]["packets"]));
            }
            // Where a flow has found no room at all while the flood lasted, its packets are in the rest:
            // whose place it wanted, and how soon lanes are emptied, is chance.
            let rest = number(&row["other"][direction]["packets"]);
            assert!(in_flows > 0 && in_flows + rest >= packets, "{row:#}");
        }
    }
    assert!(other > 0, "far more flows than are shown");
    for line in &top.seen {
        rows(line).for_each(check_sum);
    }
    let (_, lines) = top.end("INT");
    number(&lines.last().unwrap()["lost"]["flow_packets"])
}

#[test]
fn two_hundred_thousand_flows_hide_nobody_elses() {
    a_flood_hides_nobody(200_000, &[]);
}

#[test]
fn a_flood_through_a_tiny_cache_loses_no_packet() {
    let sizes = ["--ipv4-flows", "64", "--ipv6-flows", "16", "--spills", "8"];
    let lost = a_flood_hides_nobody(20_000, &sizes);
    assert!(lost > 0, "eight spills are not enough for a flood");
}

/// Nobody takes what spills: it is said how many packets are in no flow, and which they were is all
/// that is missing.
#[test]
fn a_lane_that_nobody_empties_costs_flows_and_no_packet() {
    const FLOWS: u32 = 5000;

    let _alone = alone();
    let lab = Lab::new();
    let [a, b] = two_pods(&lab);
    let sizes = [
        "--ipv4-flows",
        "256",
        "--ipv6-flows",
        "16",
        "--spills",
        "64",
    ];
    let all = ["--flows", "100000", "--flow-limit", "100000"];
    let mut top = Top::start(&lab, &[&sizes[..], &all[..]].concat());
    top.until_attached(&["a", "b"]);
    join(&lab, &[&a, &b]);
    top.signal("STOP");
    flood(&lab, &a, &b, FLOWS);
    top.go_on();
    let mut in_no_flow = 0;
    for pod in [&a, &b] {
        let row = counted(&mut top, &lab, pod);
        let direction = if pod.name == "a" { "tx" } else { "rx" };
        let bytes = u64::from(FLOWS) * 60;
        assert_eq!(class(&row, "ipv4_udp", direction), (FLOWS.into(), bytes));
        assert_eq!(
            row["other"]["flows"], 0,
            "every flow that is known is shown"
        );
        let flows = row["flows"].as_array().unwrap();
        let udp: Vec<&Value> = flows.iter().filter(|flow| flow["proto"] == "udp").collect();
        assert!(
            udp.iter()
                .all(|flow| fields(&flow[direction]) == plain(1, 60))
        );
        let other = number(&row["other"][direction]["packets"]);
        assert_eq!(udp.len() as u64 + other, u64::from(FLOWS));
        in_no_flow += other;
    }
    // The kernel side's own count of it, which knows nothing of flows that were shown.
    let (_, lines) = top.end("INT");
    let lost = number(&lines.last().unwrap()["lost"]["flow_packets"]);
    assert_eq!(in_no_flow, lost);
    assert!(lost > 0);
}

/// New, updates, one end; and what is printed adds up to what was sent.
#[test]
fn what_happens_to_flows_is_told() {
    let lab = Lab::new();
    let [a, b] = two_pods(&lab);
    join(&lab, &[&a, &b]);
    let output = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            wait_until("it is attached", || {
                let ingress = nstrace_ebpf::wire::Hook::Ingress;
                let ifindex = lab.ifindex(&a.veth);
                let is_attached = if crate::support::kernel::has_tcx() {
                    !lab.on_host(|| crate::support::bpf::tcx_programs(ifindex, ingress))
                        .is_empty()
                } else {
                    lab.run(&format!("tc filter show dev {} egress", a.veth))
                        .contains("nstrace")
                };
                is_attached.then_some(())
            });
            send::udp_from(&lab, &a, &b, &b.ipv4, 7001, 25, 100);
        });
        let output = run(&lab, &["flows", "a", "-o", "json", "-d", "2", "--once"]);
        sender.join().unwrap();
        output
    });
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["proto"] == "udp")
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    let line = &lines[0];
    assert_eq!(line["schema"], "nstrace.flow/v1");
    assert_eq!(
        (&line["event"], &line["name"]),
        (&json!("new"), &json!("a"))
    );
    assert_eq!(line["remote"], json!({ "address": b.ipv4, "port": 9999 }));
    assert_eq!(fields(&line["tx"]), plain(25, UDP_IPV4 + 100));
}
