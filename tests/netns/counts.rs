//! Counted == sent == what the device itself says, in packets and bytes.

use std::time::{Duration, Instant};

use crate::support::{
    kernel,
    lab::Lab,
    nstrace::{Top, class, row, run},
    send,
};

/// Bytes of the headers of a UDP datagram on Ethernet, over IPv4 and IPv6.
const UDP_IPV4: usize = 14 + 20 + 8;
const UDP_IPV6: usize = 14 + 40 + 8;

fn tally(packets: usize, length: usize) -> (u64, u64) {
    (packets as u64, (packets * length) as u64)
}

/// Traffic of every kind in both directions, with the numbers known beforehand.
fn every_packet_is_counted_once(mechanism: &str) {
    let lab = Lab::new();
    let [a, b] = ["a", "b"].map(|name| lab.pod(name));
    let mut top = Top::start(&lab, &["--mechanism", mechanism]);
    top.until_attached(&["a", "b"]);
    // Up only now: the devices' counters and ours start at the same packet.
    lab.up(&a);
    lab.up(&b);
    lab.introduce(&a, &b);

    send::udp(&lab, &a, &b, &b.ipv4, 1000, 100);
    send::udp(&lab, &b, &a, &a.ipv4, 333, 1400);
    send::udp(&lab, &a, &b, &b.ipv6, 500, 64);
    send::udp(&lab, &b, &a, &a.ipv6, 77, 1);
    send::frames(&lab, &a, &send::arp(&a, 60), 40);
    send::frames(&lab, &b, &send::ethernet(&b, &a, &[0x88, 0xb5], 200), 25);

    for pod in [&a, &b] {
        let row = top.until_counted(&pod.name, || lab.device(&pod.veth));
        assert_eq!(row["mechanism"], mechanism);
        let is_a = pod.name == "a";
        let (sent, received) = if is_a { ("tx", "rx") } else { ("rx", "tx") };
        assert_eq!(class(&row, "ipv4_udp", sent), tally(1000, UDP_IPV4 + 100));
        assert_eq!(
            class(&row, "ipv4_udp", received),
            tally(333, UDP_IPV4 + 1400)
        );
        assert_eq!(class(&row, "ipv6_udp", sent), tally(500, UDP_IPV6 + 64));
        assert_eq!(class(&row, "ipv6_udp", received), tally(77, UDP_IPV6 + 1));
        assert_eq!(class(&row, "arp", sent), tally(40, 60));
        assert_eq!(class(&row, "arp", received), tally(0, 60));
        assert_eq!(class(&row, "other", received), tally(25, 200));
        assert_eq!(class(&row, "other", sent), tally(0, 200));
    }
    let (_, lines) = top.end("INT");
    let last = lines.last().unwrap();
    assert_eq!(
        last["lost"],
        serde_json::json!({ "samples": 0, "packets": 0, "flow_packets": 0 })
    );
}

#[test]
fn every_packet_is_counted_once_by_each_mechanism() {
    for mechanism in kernel::mechanisms() {
        every_packet_is_counted_once(mechanism);
    }
}

#[test]
fn tcx_is_used_where_the_kernel_has_it_and_refused_where_not() {
    let lab = Lab::new();
    lab.pod("a");
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["a"]);
    let line = top.line();
    assert_eq!(
        row(&line, "a").unwrap()["mechanism"],
        kernel::mechanisms()[0]
    );
    let insisted = run(&lab, &["top", "-b", "-c", "1", "--mechanism", "tcx"]);
    if kernel::has_tcx() {
        assert_eq!(insisted.status.code(), Some(0));
        return;
    }
    assert_eq!(insisted.status.code(), Some(3));
    assert_eq!(
        String::from_utf8_lossy(&insisted.stderr),
        format!(
            "nstrace: Linux {} has no TCX\n\
             hint: it came with Linux 6.6; without --mechanism, clsact is used instead\n",
            nstrace::sys::kernel_release()
        )
    );
}

/// A tag is metadata by the time a packet reaches a tc hook. A frame that was *sent* with the tag
/// in its bytes (a raw socket; a VLAN device on a veth does not) was four bytes longer when the
/// sender's own device counted it.
#[test]
fn tagged_packets_are_counted_by_what_they_carry() {
    let lab = Lab::new();
    let [a, b] = ["a", "b"].map(|name| lab.pod(name));
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["a", "b"]);
    lab.up(&a);
    lab.up(&b);
    let ipv4_udp = [
        0x81, 0x00, 0x00, 0x05, 0x08, 0x00, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17,
    ];
    send::frames(&lab, &a, &send::ethernet(&a, &b, &ipv4_udp, 64), 300);

    // Where it leaves the host the tag is metadata to the device as well: nothing differs.
    let row = top.until_counted("b", || lab.device(&b.veth));
    assert_eq!(class(&row, "ipv4_udp", "rx"), (300, 300 * 60));
    // Where it comes from, the device has counted the tag of each.
    let without_tags = || {
        let [packets, bytes, rx_packets, rx_bytes] = lab.device(&a.veth);
        [packets, bytes - 300 * 4, rx_packets, rx_bytes]
    };
    let row = top.until_counted("a", without_tags);
    assert_eq!(class(&row, "ipv4_udp", "tx"), (300, 300 * 60));
}

/// A TCP stream over veth is a few large skbs: our counts are the device's, not the wire's.
#[test]
fn a_tcp_stream_is_counted_as_the_device_counts_it() {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        thread,
    };

    const BYTES: usize = 20_000_000;

    let lab = Lab::new();
    let [a, b] = ["a", "b"].map(|name| lab.pod(name));
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["a", "b"]);
    lab.up(&a);
    lab.up(&b);
    let listener = lab.inside("b", || TcpListener::bind((b.ipv4.as_str(), 5001)).unwrap());
    let reader = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received.len()
    });
    lab.inside("a", || {
        let mut stream = TcpStream::connect((b.ipv4.as_str(), 5001)).unwrap();
        stream.write_all(&vec![7; BYTES]).unwrap();
    });
    assert_eq!(reader.join().unwrap(), BYTES);
    for pod in [&a, &b] {
        let row = top.until_counted(&pod.name, || lab.device(&pod.veth));
        let direction = if pod.name == "a" { "tx" } else { "rx" };
        let (packets, bytes) = class(&row, "ipv4_tcp", direction);
        assert!(bytes > BYTES as u64, "{bytes}");
        assert!(
            packets < bytes / 1500,
            "{packets} packets are no super-packets"
        );
    }
}

/// What the kernel hands over in samples shows a burst that a second's average hides.
#[test]
fn a_burst_between_two_refreshes_is_seen_as_a_peak() {
    let lab = Lab::new();
    let [a, b] = ["a", "b"].map(|name| lab.pod(name));
    let mut top = Top::start(&lab, &["-d", "1"]);
    top.until_attached(&["a", "b"]);
    lab.up(&a);
    lab.up(&b);
    lab.introduce(&a, &b);
    send::udp(&lab, &a, &b, &b.ipv4, 10, 1400);
    let burst = top.until("the burst is counted", |line| {
        row(line, "a")
            .filter(|row| class(row, "ipv4_udp", "tx").0 == 10)
            .cloned()
    });
    let (peak, mean) = (&burst["tx"]["peak_bps"], &burst["tx"]["bps"]);
    // Ten datagrams, even if each is in a window of its own: that is a hundredth of the second over
    // which the rate is a mean.
    assert!(
        peak.as_u64().unwrap() > 5 * mean.as_u64().unwrap(),
        "peak {peak}, mean {mean}"
    );
    // The next seconds are quiet, whatever the ring brings late.
    let quiet = top.line();
    let row = row(&quiet, "a").unwrap();
    assert!(
        row["tx"]["peak_bps"].as_u64().unwrap() < peak.as_u64().unwrap() / 5,
        "{row:#}"
    );
}

/// A port of the bridge that floods counts for each pod that it reaches, as each device does.
#[test]
fn a_broadcast_is_counted_where_it_arrives() {
    let lab = Lab::new();
    let pods = ["a", "b", "c"].map(|name| lab.pod(name));
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["a", "b", "c"]);
    for pod in &pods {
        lab.up(pod);
    }
    send::frames(&lab, &pods[0], &send::arp(&pods[0], 60), 100);
    for pod in &pods {
        let row = top.until_counted(&pod.name, || lab.device(&pod.veth));
        let direction = if pod.name == "a" { "tx" } else { "rx" };
        assert_eq!(class(&row, "arp", direction), (100, 6000));
    }
}

/// With a ring of one page and nobody to drain it, samples are lost, and said to be; packets are
/// not.
#[test]
fn what_the_ring_cannot_hold_is_counted_and_no_packet_is_missing() {
    let lab = Lab::new();
    let [a, b] = ["a", "b"].map(|name| lab.pod(name));
    let mut top = Top::start(&lab, &["--ring-bytes", "4096"]);
    top.until_attached(&["a", "b"]);
    lab.up(&a);
    lab.up(&b);
    top.signal("STOP");
    let frame = send::ethernet(&a, &b, &[0x88, 0xb5], 100);
    // Each burst lands in another window, and closes the one before: 73 samples fill the ring.
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < Duration::from_secs(3) {
        send::frames(&lab, &a, &frame, 10);
        sent += 10;
    }
    top.go_on();
    for pod in [&a, &b] {
        let row = top.until_counted(&pod.name, || lab.device(&pod.veth));
        let direction = if pod.name == "a" { "tx" } else { "rx" };
        assert_eq!(class(&row, "other", direction), tally(sent, 100));
    }
    let lost = top.until("the loss is shown", |line| {
        line["lost"]["samples"].as_u64().filter(|lost| *lost > 0)
    });
    // Two rows, three seconds, a hundred windows a second, on two CPUs at most.
    assert!(lost < 2 * 3 * 150 * 2, "{lost}");
    assert_eq!(top.line()["lost"]["packets"], 0);
}
