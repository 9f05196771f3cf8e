//! What `ls` finds, and what tells namespaces apart.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::{
    lab::{BRIDGE, Lab},
    nstrace::{Top, class, ls, row, run},
    send, wait_until,
};

fn netns<'a>(document: &'a Value, name: &str) -> &'a Value {
    let found = document["namespaces"].as_array().unwrap();
    found
        .iter()
        .find(|netns| netns["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {document:#}"))
}

fn interface<'a>(netns: &'a Value, name: &str) -> &'a Value {
    let found = netns["interfaces"].as_array().unwrap();
    found
        .iter()
        .find(|interface| interface["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {netns:#}"))
}

#[test]
fn a_pod_is_listed_with_its_peer_as_ip_shows_it() {
    let lab = Lab::new();
    let pod = lab.pod("web");
    lab.up(&pod);
    let document = ls(&lab, &[]);
    assert_eq!(document["schema"], "nstrace.ls/v1");
    let web = netns(&document, "web");
    let inode = std::os::unix::fs::MetadataExt::ino(
        &std::fs::metadata(lab.path("/run/netns/web")).unwrap(),
    );
    assert_eq!(web["kind"], "named");
    assert_eq!(web["inode"], inode);
    assert_eq!(web["paths"], serde_json::json!(["/run/netns/web"]));
    assert_eq!(web["container"], Value::Null);
    let eth0 = interface(web, "eth0");
    assert_eq!(
        *eth0,
        serde_json::json!({
            "name": "eth0",
            "ifindex": 2,
            "kind": "veth",
            "mac": pod.mac.map(|byte| format!("{byte:02x}")).join(":"),
            "mtu": 1500,
            "state": "up",
            "addresses": [format!("{}/24", pod.ipv4), format!("{}/64", pod.ipv6)],
            "peer": { "name": pod.veth, "ifindex": lab.ifindex(&pod.veth), "master": BRIDGE },
            "watch": "host-veth",
            "why": null,
        })
    );
    assert_eq!(interface(web, "lo")["why"], "loopback");
    let host = netns(&document, "host");
    assert_eq!(host["kind"], "host");
    assert_eq!(document["namespaces"][0], *host);
    let end = interface(host, &pod.veth);
    assert_eq!(end["watch"], "none");
    assert_eq!(end["peer"]["name"], "eth0");
}

#[test]
fn fifty_namespaces_with_the_same_eth0_are_told_apart() {
    let lab = Lab::new();
    let pods: Vec<_> = (0..50)
        .map(|number| lab.pod(&format!("p{number}")))
        .collect();
    let names: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&names);
    for pod in &pods {
        lab.up(pod);
    }
    // Each sends another number of packets, to nobody in particular.
    for (number, pod) in pods.iter().enumerate() {
        send::frames(
            &lab,
            pod,
            &send::ethernet(pod, pod, &[0x88, 0xb5], 100),
            number + 1,
        );
    }
    let line = top.until("all have counted", |line| {
        let counted =
            |pod: &crate::support::lab::Pod| class(row(line, &pod.name)?, "other", "tx").0.into();
        let total: u64 = pods.iter().filter_map(counted).sum();
        (total == 50 * 51 / 2).then(|| line.clone())
    });
    let mut peers = HashSet::new();
    for (number, pod) in pods.iter().enumerate() {
        let row = row(&line, &pod.name).unwrap();
        let packets = number as u64 + 1;
        assert_eq!(
            class(row, "other", "tx"),
            (packets, packets * 100),
            "{}",
            pod.name
        );
        assert_eq!(
            (&row["interface"], &row["ifindex"]),
            (&"eth0".into(), &2.into())
        );
        assert_eq!(row["peer"], pod.veth.as_str());
        assert!(peers.insert(row["peer_ifindex"].as_u64()));
    }
}

#[test]
fn what_cannot_be_watched_is_listed_with_the_reason() {
    let lab = Lab::new();
    lab.shell(
        "for n in bare vlan inner outer; do ip netns add $n; done; \
         ip link add m0 link br0 type macvlan; ip link set m0 netns vlan; \
         ip -n outer link add v0 type veth peer name v1; ip -n outer link set v1 netns inner; \
         ip -n bare tuntap add t0 mode tun; ip -n bare link add w0 type veth peer name w1",
    );
    let document = ls(&lab, &[]);
    for (name, iface, why) in [
        (
            "vlan",
            "m0",
            "macvlan on the host's br0: it has no host end",
        ),
        ("inner", "v1", "its peer is not on the host"),
        ("outer", "v0", "its peer is not on the host"),
        (
            "bare",
            "t0",
            "tun: a process (slirp4netns, pasta, a VPN) carries its packets, and it has no host end",
        ),
        ("bare", "w0", "both ends are in this namespace"),
    ] {
        let found = interface(netns(&document, name), iface);
        assert_eq!(found["why"], why, "{found:#}");
        assert_eq!(found["watch"], "none");
        assert_eq!(found["peer"], Value::Null);
    }
    // With an id on the host, a third namespace is named.
    lab.pod("inner2");
    lab.pod("outer2");
    lab.shell(
        "ip -n outer2 link add v0 type veth peer name v1; ip -n outer2 link set v1 netns inner2",
    );
    let document = ls(&lab, &[]);
    let found = interface(netns(&document, "inner2"), "v1");
    assert_eq!(found["why"], "its peer is in outer2, not on the host");
}

#[test]
fn a_namespace_that_only_a_process_holds_is_named_after_it() {
    let lab = Lab::new();
    let mut holder = lab
        .command("unshare")
        .args(["--net", "sh", "-c", "echo $$; exec sleep 1000"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(holder.stdout.take().unwrap()),
        &mut pid,
    )
    .unwrap();
    let pid = pid.trim();
    lab.run(&format!(
        "ip link add v-x type veth peer name eth0 netns {pid}"
    ));
    let name = wait_until("it is sleep", || {
        let document = ls(&lab, &[&format!("pid:{pid}")]);
        let found = &document["namespaces"][0];
        (found["name"] == format!("pid:{pid}(sleep)")).then(|| found.clone())
    });
    assert_eq!(name["kind"], "process");
    assert_eq!(
        name["pids"],
        serde_json::json!([pid.parse::<u32>().unwrap()])
    );
    assert_eq!(interface(&name, "eth0")["peer"]["name"], "v-x");
    let by_veth = ls(&lab, &["if:v-x"]);
    assert_eq!(by_veth["namespaces"][0], name);
    lab.run(&format!("kill {pid}"));
    holder.wait().unwrap();
}

#[test]
fn a_namespace_that_only_an_open_descriptor_holds_can_be_watched() {
    let lab = Lab::new();
    let pod = lab.pod("x");
    // No name, no process: only this test's own descriptor.
    let held = std::fs::File::open(lab.path("/run/netns/x")).unwrap();
    lab.run("umount -l /run/netns/x");
    std::fs::remove_file(lab.path("/run/netns/x")).unwrap();
    let document = ls(&lab, &[&format!("if:{}", pod.veth)]);
    let found = &document["namespaces"][0];
    assert_eq!(
        (&found["kind"], &found["inode"]),
        (&"unnamed".into(), &Value::Null)
    );
    let name = format!("nsid:{}", found["nsid"]);
    assert_eq!(found["name"], name);
    let mut top = Top::start(&lab, &[&name]);
    top.until_attached(&[&name]);
    drop(held);
    top.until("it is gone with its holder", |line| {
        row(line, &name).is_none().then_some(())
    });
}

#[test]
fn stale_files_are_said_and_harm_nothing() {
    let lab = Lab::new();
    lab.pod("web");
    lab.shell("touch /run/netns/left; ln -s /proc/999999/ns/net /run/netns/dangling; mkdir /run/netns/dir");
    let document = ls(&lab, &[]);
    netns(&document, "web");
    let warnings: Vec<&str> = document["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w.as_str().unwrap())
        .collect();
    for stale in [
        "/run/netns/left: stale: it holds no network namespace",
        "/run/netns/dangling: stale: what it links to is gone",
        "/run/netns/dir: stale: it holds no network namespace",
    ] {
        assert!(warnings.contains(&stale), "{warnings:#?}");
    }
    // Beside a table they go to standard error.
    let output = run(&lab, &["ls"]);
    assert!(output.status.success());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("nstrace: warning: /run/netns/left: stale"),
        "{errors}"
    );
}

#[test]
fn a_link_to_a_process_names_its_namespace() {
    // What people do by hand: ln -s /proc/PID/ns/net /run/netns/NAME.
    let lab = Lab::new();
    lab.pod("web");
    lab.shell("ip netns exec web sleep 1000 >/dev/null 2>&1 & echo $! >/run/pid");
    let pid = std::fs::read_to_string(lab.path("/run/pid")).unwrap();
    let pid = pid.trim();
    lab.shell(&format!(
        "umount -l /run/netns/web; rm /run/netns/web; ln -s /proc/{pid}/ns/net /run/netns/byhand"
    ));
    let document = ls(&lab, &["byhand"]);
    let found = &document["namespaces"][0];
    assert_eq!(
        (&found["kind"], &found["name"]),
        (&"named".into(), &"byhand".into())
    );
    assert_eq!(interface(found, "eth0")["watch"], "host-veth");
    lab.run(&format!("kill {pid}"));
}

#[test]
fn targets_say_one_namespace_in_many_ways() {
    let lab = Lab::new();
    let pod = lab.pod("web");
    lab.pod("db");
    let inode = ls(&lab, &["web"])["namespaces"][0]["inode"].to_string();
    for target in [
        "web".to_owned(),
        "netns:web".to_owned(),
        "netns:/run/netns/web".to_owned(),
        "netns:/var/run/netns/web".to_owned(),
        format!("inode:{inode}"),
        format!("if:{}", pod.veth),
    ] {
        let output = run(&lab, &["ls", "-o", "name", &target]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "web\n", "{target}");
    }
    let output = run(&lab, &["ls", "nobody"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.starts_with("nstrace: no network namespace matches `nobody`\nhint: "),
        "{errors}"
    );
}

#[test]
fn names_that_command_a_terminal_are_shown_escaped() {
    let lab = Lab::new();
    let name = "evil\u{1b}[31m\u{202e}";
    let mut add = lab.command("ip");
    assert!(add.args(["netns", "add", name]).status().unwrap().success());
    for args in [
        &["ls"][..],
        &["ls", "-o", "wide"],
        &["ls", "-o", "csv"],
        &["ls", "-o", "json"],
        &["ls", "-o", "name"],
        &["ls", "-o", "yaml"],
    ] {
        let output = run(&lab, args);
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains("evil"), "{args:?}: {shown}");
        assert!(
            !shown.contains(['\u{1b}', '\u{202e}']),
            "{args:?}: {shown:?}"
        );
    }
    assert_eq!(ls(&lab, &[name])["namespaces"][0]["name"], name);
}

#[test]
fn a_file_that_blocks_whoever_opens_it_keeps_nobody_waiting() {
    let lab = Lab::new();
    lab.pod("web");
    lab.run("mkfifo /run/netns/fifo");
    let warnings = ls(&lab, &[])["warnings"].to_string();
    assert!(warnings.contains("/run/netns/fifo: stale"), "{warnings}");
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["web"]);
    let (status, _) = top.end("TERM");
    assert_eq!(status.code(), Some(0));
}
