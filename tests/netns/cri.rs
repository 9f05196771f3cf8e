//! Kubernetes pods by a real containerd and real CNI plugins.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use crate::support::{
    cri::{Containerd, Network, STATE},
    lab::Lab,
    nstrace::{Counts, Top, class, ls, row, rows, run},
    wait_until,
};

fn found<'a>(document: &'a Value, name: &str) -> &'a Value {
    let mut netnses = document["namespaces"].as_array().unwrap().iter();
    netnses
        .find(|netns| netns["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {document:#}"))
}

fn names<'a>(netns: &'a Value, of: &str) -> Vec<&'a str> {
    let all = netns[of].as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap()).collect()
}

/// `exec` in many, of pods: who means pods does not mean the host, though one of them has its network.
fn run_in_pods_alone(lab: &Lab) {
    let all = ["exec", "--all-of", "*", "-A", "--", "echo", "here"];
    let said = String::from_utf8(run(lab, &all).stdout).unwrap();
    assert_eq!(said, "shop/db-0: here\nshop/web-1: here\n");
    let hosts = [
        "exec",
        "--all-of",
        "*",
        "-n",
        "kube-system",
        "--",
        "echo",
        "here",
    ];
    let refused = run(lab, &hosts);
    assert_eq!(
        (refused.status.code(), &*refused.stdout),
        (Some(1), &b""[..])
    );
}

#[test]
fn pods_are_named_watched_and_counted() {
    let lab = Lab::new();
    let cri = Containerd::start(&lab);
    let web = cri.pod("shop/web-1", &[("app", "web")], Network::Pod);
    let app = cri.container(&web, "app");
    let db = cri.pod("shop/db-0", &[], Network::Pod);
    let agent = cri.pod("kube-system/agent", &[], Network::Host);
    cri.container(&agent, "agent");
    lab.pod("plain");

    let document = ls(&lab, &[]);
    assert_eq!(document["warnings"], json!([]));
    let pod = found(&document, "shop/web-1");
    assert_eq!(pod["kind"], "pod");
    assert_eq!(
        (&pod["pod"]["namespace"], &pod["pod"]["name"]),
        (&json!("shop"), &json!("web-1"))
    );
    assert_eq!(names(pod, "containers"), ["POD", "app"]);
    assert_eq!(pod["containers"][0]["id"], web.id);
    assert_eq!(pod["containers"][0]["pid"], cri.pid(&web.id));
    let shown = &pod["containers"][1];
    assert_eq!(shown["id"], app);
    assert_eq!(
        (&shown["runtime"], &shown["image"]),
        (&json!("containerd"), &json!("docker.io/lab/busybox:1"))
    );
    // The peer is what the pod's own eth0 says.
    let eth0 = &pod["interfaces"][1];
    let inside = cri.run(&web, "ip -o link show eth0");
    let index = inside
        .split_once("@if")
        .unwrap()
        .1
        .split_once(':')
        .unwrap()
        .0;
    assert_eq!(eth0["peer"]["ifindex"].to_string(), index);
    assert_eq!(eth0["peer"]["master"], "cni0");
    assert_eq!(eth0["addresses"][0], format!("{}/24", cri.address(&web)));
    run_in_pods_alone(&lab);
    // A pod in the host's network is listed under the host, and said so.
    let host = found(&document, "host");
    assert_eq!(names(host, "containers"), ["POD", "agent"]);
    let table = run(&lab, &["ls"]).stdout;
    let table = String::from_utf8(table).unwrap();
    let line = table
        .lines()
        .find(|line| line.starts_with("kube-system/agent"))
        .unwrap();
    assert!(line.ends_with("none: in the host's network"), "{line}");

    // A second container, and an exec, which confuse nobody.
    cri.container(&web, "sidecar");
    let mut exec = lab.command("nsenter");
    let pid = cri.pid(&web.id).to_string();
    let mut exec = exec
        .args(["-t", &pid, "-n", "sleep", "100"])
        .spawn()
        .unwrap();
    let document = ls(&lab, &["shop/web-1"]);
    assert_eq!(names(&document, "namespaces"), ["shop/web-1"]);
    assert_eq!(
        names(&document["namespaces"][0], "containers"),
        ["POD", "app", "sidecar"]
    );
    exec.kill().unwrap();
    exec.wait().unwrap();

    // TARGETs.
    let of = |args: &[&str]| {
        let output = run(&lab, &[&["ls", "-o", "name"], args].concat());
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let address = format!("ip:{}", cri.address(&web));
    for target in [
        "shop/web-1",
        "web-1",
        "pod/web-1",
        "pod/shop/web-1",
        "ctr/sidecar",
        "app",
        &app[..8],
        &address,
    ] {
        assert_eq!(of(&[target]), ["shop/web-1"], "{target}");
    }
    assert_eq!(of(&["shop/*"]), ["shop/db-0", "shop/web-1"]);
    assert_eq!(of(&["-n", "shop"]), ["shop/db-0", "shop/web-1"]);
    assert_eq!(
        of(&["-A"]),
        ["kube-system/agent", "shop/db-0", "shop/web-1"]
    );
    assert_eq!(of(&["-n", "shop", "web-*"]), ["shop/web-1"]);
    assert_eq!(of(&["-n", "kube-system"]), ["kube-system/agent"]);
    let none = run(&lab, &["ls", "-n", "nowhere"]);
    assert_eq!(none.status.code(), Some(1));
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(
        said.contains("no pod or container matches -n nowhere"),
        "{said}"
    );

    // Counts, to the packet.
    let mut top = Top::start(&lab, &["-A"]);
    top.until_attached(&["shop/web-1", "shop/db-0"]);
    let db_address = cri.address(&db);
    cri.run(&web, &format!("ping -q -c 20 -i 0.02 -s 200 {db_address}"));
    for name in ["shop/web-1", "shop/db-0"] {
        let row = top.until("the pings are counted", |line| {
            row(line, name)
                .filter(|row| class(row, "ipv4_icmp", "tx").0 == 20)
                .cloned()
        });
        let expected = (20, 20 * (14 + 20 + 8 + 200));
        assert_eq!(class(&row, "ipv4_icmp", "tx"), expected);
        assert_eq!(class(&row, "ipv4_icmp", "rx"), expected);
        assert_eq!(row["kind"], "pod");
    }
    let (status, lines) = top.end("INT");
    assert!(status.success());
    let strange = lines
        .iter()
        .flat_map(rows)
        .any(|row| row["name"] == "plain");
    assert!(!strange, "-A is pods alone");
}

#[test]
fn a_container_that_ends_leaves_its_pod_and_a_pod_of_the_same_name_is_another() {
    let lab = Lab::new();
    let cri = Containerd::start(&lab);
    let web = cri.pod("shop/web-1", &[], Network::Pod);
    let app = cri.container(&web, "app");
    let mut top = Top::start(&lab, &["shop/web-1"]);
    top.until_attached(&["shop/web-1"]);
    cri.stop_container(&app);
    wait_until("the container is gone", || {
        let document = ls(&lab, &["shop/web-1"]);
        (names(&document["namespaces"][0], "containers") == ["POD"]).then_some(())
    });
    let before = top.until("it is there", |line| row(line, "shop/web-1").cloned());
    cri.remove(&web);
    let gone = top.until("it is gone", |line| {
        rows(line).find(|row| row["gone"] == true).cloned()
    });
    assert_eq!(gone["name"], "shop/web-1", "its name stays to the end");
    assert_eq!(gone["generation"], before["generation"]);
    let again = cri.pod("shop/web-1", &[], Network::Pod);
    let after = top.until("it is there again", |line| row(line, "shop/web-1").cloned());
    let generation = |row: &Value| row["generation"].as_u64().unwrap();
    assert_eq!(generation(&after), generation(&before) + 1);
    assert!(Counts::of(&after).0[0] < 100, "it begins anew");
    let (_, lines) = top.end("INT");
    assert!(
        lines
            .iter()
            .flat_map(rows)
            .all(|row| row["name"] == "shop/web-1")
    );
    drop(again);
}

#[test]
fn containerd_of_k3s_is_found_where_it_is() {
    let lab = Lab::new();
    let cri = Containerd::start_at(&lab, "/run/k3s/containerd");
    cri.pod("shop/web-1", &[], Network::Pod);
    assert_eq!(found(&ls(&lab, &[]), "shop/web-1")["kind"], "pod");
}

#[test]
fn containerd_elsewhere_is_found_when_told_of() {
    let lab = Lab::new();
    let cri = Containerd::start_at(&lab, "/run/else/where");
    cri.pod("shop/web-1", &[], Network::Pod);
    let by_file = &ls(&lab, &[])["namespaces"][1];
    assert_eq!(by_file["kind"], "named", "{by_file:#}");
    let named = ls(&lab, &["--containerd-state", "/run/else/where"]);
    assert_eq!(found(&named, "shop/web-1")["kind"], "pod");
    fs::write(
        lab.path("/run/settings.toml"),
        "namespace = \"shop\"\ncontainerd-states = [\"/run/else/where\"]\n",
    )
    .unwrap();
    let by_settings = ls(&lab, &["--config", "/run/settings.toml", "web-1"]);
    assert_eq!(names(&by_settings, "namespaces"), ["shop/web-1"]);
}

/// When a line was printed.
fn time_of(line: &Value) -> Duration {
    let time: jiff::Timestamp = line["time"].as_str().unwrap().parse().unwrap();
    Duration::try_from(time.duration_since(jiff::Timestamp::UNIX_EPOCH)).unwrap()
}

/// Names that pods have before their own is known: of a file that CNI has made, of a process that is
/// about to be the sandbox, or of an id.
fn is_provisional(name: &str) -> bool {
    ["cni-", "pid:", "nsid:", "netns:", "containerd:"]
        .iter()
        .any(|start| name.starts_with(start))
}

#[test]
fn thirty_pods_in_a_row_are_each_seen_and_named_at_once() {
    const PODS: usize = 30;
    /// From the moment that a container is about to be started.
    const BOUND: Duration = Duration::from_millis(100);
    /// Between two lines of `top`.
    const INTERVAL: Duration = Duration::from_millis(100);

    let lab = Lab::new();
    let cri = Containerd::start(&lab);
    let mut top = Top::start(&lab, &["-d", "0.1"]);
    let mut list = Top::watch_ls(&lab, &[]);
    top.line();
    list.until("the host is listed", |line| {
        (line["change"] == "present").then_some(())
    });
    let descriptors = |pid| {
        fs::read_dir(lab.path(&format!("/proc/{pid}/fd")))
            .unwrap()
            .count()
    };
    let before = [&top, &list].map(|one| descriptors(one.pid));
    let mut started = Vec::new();
    for number in 0..PODS {
        let name = format!("shop/web-{number}");
        let pod = cri.pod(&name, &[], Network::Pod);
        // The runtime has its bundle from then on, and starts it.
        let bundle = format!(
            "{STATE}/io.containerd.runtime.v2.task/k8s.io/{}/config.json",
            pod.id
        );
        let written = fs::metadata(lab.path(&bundle)).unwrap().modified().unwrap();
        let since_1970 = written.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        started.push((name.clone(), since_1970));
        top.until_attached(&[&name]);
        cri.remove(&pod);
    }
    top.until("all have left", |line| {
        (rows(line).count() == 0).then_some(())
    });
    let devices = lab.run("ip -o link");
    assert!(!devices.contains("veth"), "{devices}");
    // Once the look that is under way has ended.
    wait_until("no descriptor is left", || {
        let after = [&top, &list].map(|one| descriptors(one.pid));
        after
            .iter()
            .zip(before)
            .all(|(after, before)| *after <= before)
            .then_some(())
    });
    let (status, lines) = top.end("INT");
    assert!(status.success());
    let (status, changes) = list.end("INT");
    assert!(status.success());

    // No row with a wrong name, ever; and one that has none yet gets it.
    let known: BTreeSet<&str> = started.iter().map(|(name, _)| name.as_str()).collect();
    let name_of = |row: &Value| row["name"].as_str().unwrap().to_owned();
    let mut provisional: BTreeMap<String, Duration> = BTreeMap::new();
    for line in &lines {
        for row in rows(line) {
            let (name, peer) = (name_of(row), row["peer"].as_str().unwrap().to_owned());
            if known.contains(&*name) {
                let unnamed = provisional
                    .remove(&peer)
                    .map(|since| time_of(line).saturating_sub(since));
                assert!(
                    unnamed.is_none_or(|long| long <= BOUND + INTERVAL),
                    "{unnamed:?}"
                );
            } else {
                assert!(is_provisional(&name), "{name}");
                provisional.entry(peer).or_insert_with(|| time_of(line));
            }
        }
    }
    assert_eq!(provisional, BTreeMap::new(), "they have never been named");
    // Of thirty, the worst is the 99th percentile.
    let mut delays: Vec<Duration> = started
        .iter()
        .map(|(name, started)| {
            let named = changes
                .iter()
                .find(|line| line["namespace"]["name"] == **name);
            time_of(named.unwrap()).saturating_sub(*started)
        })
        .collect();
    delays.sort_unstable();
    assert!(delays[PODS - 1] <= BOUND, "{delays:?}");
}
