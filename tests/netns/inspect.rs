//! `show` and `exec`, beside the tools that people use by hand: the same facts.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Stdio},
};

use serde_json::Value;

use crate::support::{
    lab::{Lab, Pod},
    nstrace::{NSTRACE, Top, run},
    send, wait_until,
};

/// Runs nstrace and gives what it printed, and its exit code.
fn printed(lab: &Lab, args: &[&str]) -> (String, String, Option<i32>) {
    let output = run(lab, args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

#[track_caller]
fn show(lab: &Lab, target: &str) -> Value {
    let (document, errors, code) = printed(lab, &["show", "-o", "json", target]);
    assert_eq!(code, Some(0), "{errors}");
    serde_json::from_str(&document).unwrap()
}

fn device<'a>(document: &'a Value, name: &str) -> &'a Value {
    let mut devices = document["devices"].as_array().unwrap().iter();
    devices.find(|device| device["name"] == name).unwrap()
}

/// Two pods that listen, with traffic behind them.
fn shop(lab: &Lab) -> ([Pod; 2], Vec<Child>) {
    let pods = ["web", "db"].map(|name| lab.pod(name));
    for pod in &pods {
        lab.up(pod);
    }
    lab.introduce(&pods[0], &pods[1]);
    send::udp(lab, &pods[1], &pods[0], &pods[0].ipv4, 120, 10);
    let listen = |address: &str, port: &str| {
        let mut command = lab.command("ip");
        command.args([
            "netns", "exec", "web", "iperf3", "-s", "-B", address, "-p", port,
        ]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let children = vec![listen(&pods[0].ipv4, "8080"), listen("::1", "9090")];
    wait_until("both listen", || {
        (lab.run("ip netns exec web ss -tlnH").lines().count() == 2).then_some(())
    });
    (pods, children)
}

fn end(lab: &Lab, children: Vec<Child>) {
    // By their ids in the lab: what was spawned here has only entered it.
    lab.shell("kill -9 $(ip netns pids web)");
    for mut child in children {
        child.wait().unwrap();
    }
}

/// Each of ip's, and no other.
#[track_caller]
fn check_routes(lab: &Lab, document: &Value) {
    let by_hand: Value =
        serde_json::from_str(&lab.run("ip -n web -j route show table all")).unwrap();
    let by_hand6: Value =
        serde_json::from_str(&lab.run("ip -n web -j -6 route show table all")).unwrap();
    let expected: BTreeSet<(String, String, String)> = [by_hand, by_hand6]
        .iter()
        .flat_map(|routes| routes.as_array().unwrap())
        .filter(|route| route["table"] != "local")
        .map(|route| {
            let text = |key: &str| route[key].as_str().unwrap_or_default().to_owned();
            (text("dst"), text("gateway"), text("dev"))
        })
        .collect();
    let found: BTreeSet<(String, String, String)> = document["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|route| {
            let text = |key: &str| route[key].as_str().unwrap_or_default().to_owned();
            (text("destination"), text("gateway"), text("device"))
        })
        .collect();
    assert_eq!(found, expected);
    let statics = document["routes"].as_array().unwrap().iter();
    let fixed: Vec<&Value> = statics
        .filter(|route| route["protocol"] == "static")
        .collect();
    assert_eq!((&fixed[0]["metric"], fixed.len()), (&50.into(), 1));
}

#[track_caller]
fn check_neighbours(lab: &Lab, document: &Value) {
    let by_hand: Value = serde_json::from_str(&lab.run("ip -n web -j neigh")).unwrap();
    for neighbour in by_hand.as_array().unwrap() {
        let mut found = document["neighbours"].as_array().unwrap().iter();
        let found = found
            .find(|one| one["address"] == neighbour["dst"])
            .unwrap();
        assert_eq!(found["mac"], neighbour["lladdr"]);
        // The kernel goes on from one of these to the next by itself.
        let class = |state: &str| {
            match state {
                "reachable" | "stale" | "delay" | "probe" => "resolved",
                other => other,
            }
            .to_owned()
        };
        let state = neighbour["state"][0].as_str().unwrap().to_lowercase();
        assert_eq!(class(found["state"].as_str().unwrap()), class(&state));
    }
    assert_eq!(
        document["neighbours"].as_array().unwrap().len(),
        by_hand.as_array().unwrap().len()
    );
}

/// With who holds them.
#[track_caller]
fn check_sockets(lab: &Lab, document: &Value) {
    let by_hand = lab.run("ip netns exec web ss -tlnpH");
    for line in by_hand.lines() {
        let local = line.split_whitespace().nth(3).unwrap();
        let pid = line
            .split_once("pid=")
            .unwrap()
            .1
            .split_once(',')
            .unwrap()
            .0;
        let mut found = document["listening"].as_array().unwrap().iter();
        let found = found.find(|one| one["address"] == local).unwrap();
        assert_eq!(
            (
                found["process"]["pid"].to_string(),
                &found["process"]["name"]
            ),
            (pid.to_owned(), &"iperf3".into())
        );
    }
    assert_eq!(document["connections"]["tcp"]["listen"], 2);
}

/// MTU, bridge, queues.
#[track_caller]
fn check_ends(lab: &Lab, eth0: &Value) {
    assert_eq!(
        (&eth0["mtu"], &eth0["mtu_mismatch"]),
        (&1400.into(), &true.into())
    );
    let peer = &eth0["peer"];
    assert_eq!(
        (&peer["name"], &peer["master"], &peer["mtu"]),
        (&"v-web".into(), &"br0".into(), &1500.into())
    );
    assert_eq!(peer["port"]["state"], "forwarding");
    let number = lab.run("ip -d -j link show v-web");
    let number: Value = serde_json::from_str(&number).unwrap();
    let expected = number[0]["linkinfo"]["info_slave_data"]["no"]
        .as_str()
        .unwrap();
    let expected = u64::from_str_radix(expected.trim_start_matches("0x"), 16).unwrap();
    assert_eq!(peer["port"]["number"], expected);
    let by_hand: Value = serde_json::from_str(&lab.run("tc -s -j qdisc show dev v-web")).unwrap();
    let qdisc = &peer["qdiscs"][0];
    assert_eq!(
        (&qdisc["kind"], &qdisc["parent"]),
        (&"tbf".into(), &"root".into())
    );
    for (ours, theirs) in [
        ("handle", "handle"),
        ("drops", "drops"),
        ("overlimits", "overlimits"),
    ] {
        assert_eq!(qdisc[ours], by_hand[0][theirs], "{ours}");
    }
}

#[test]
fn a_page_has_what_ip_ss_and_tc_say() {
    let lab = Lab::new();
    let ([web, db], children) = shop(&lab);
    lab.shell(
        "ip -n web route add default via 198.51.100.1; \
         ip -n web route add 203.0.113.0/24 via 198.51.100.1 metric 50 proto static; \
         ip -n web route add blackhole 192.0.2.0/24; ip -n web link set eth0 mtu 1400; \
         tc qdisc add dev v-web root tbf rate 1gbit burst 100k latency 10ms",
    );
    let document = show(&lab, "web");
    assert_eq!(document["schema"], "nstrace.show/v1");
    assert_eq!(document["warnings"], serde_json::json!([]));

    check_routes(&lab, &document);
    check_neighbours(&lab, &document);
    check_sockets(&lab, &document);
    check_ends(&lab, device(&document, "eth0"));

    // And as a page.
    let (page, _, code) = printed(&lab, &["show", "web"]);
    assert_eq!(code, Some(0));
    for said in [
        "MTU MISMATCH: 1400 in here, 1500 on the host",
        "blackhole 192.0.2.0/24",
        &format!("{}:8080", web.ipv4),
        &db.ipv4,
        "not watched: loopback",
    ] {
        assert!(page.contains(said), "{said} is not in\n{page}");
    }
    end(&lab, children);
}

#[test]
fn a_page_has_the_programs_of_both_ends_in_their_order() {
    let lab = Lab::new();
    lab.pod("web");
    let mut top = Top::start(&lab, &[]);
    top.until_attached(&["web"]);
    let mut late = Top::start(&lab, &[]);
    late.until_attached(&["web"]);
    let document = show(&lab, "web");
    let programs = device(&document, "eth0")["peer"]["programs"]
        .as_array()
        .unwrap();
    let names: Vec<(&str, bool)> = programs
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["ours"] == true))
        .collect();
    if crate::support::kernel::has_tcx() {
        let of = |hook: &str| vec![(hook.to_owned(), true); 2];
        let expected = [of("nstrace_ingress"), of("nstrace_egress")].concat();
        let names: Vec<(String, bool)> = names
            .iter()
            .map(|(name, ours)| ((*name).to_owned(), *ours))
            .collect();
        assert_eq!(names, expected);
        let hooks: Vec<&str> = programs
            .iter()
            .map(|one| one["hook"].as_str().unwrap())
            .collect();
        assert_eq!(hooks, ["ingress", "ingress", "egress", "egress"]);
    } else {
        assert!(
            names.iter().all(|(_, ours)| *ours) && names.len() == 4,
            "{names:?}"
        );
    }
    assert_eq!(device(&document, "eth0")["programs"], serde_json::json!([]));
    top.end("INT");
    late.end("INT");
    let document = show(&lab, "web");
    let programs = &device(&document, "eth0")["peer"]["programs"];
    assert_eq!(programs, &serde_json::json!([]), "nothing is left");
}

#[test]
fn filters_of_a_clsact_qdisc_are_listed_by_priority() {
    let lab = Lab::new();
    lab.pod("web");
    let mut top = Top::start(&lab, &["--mechanism", "clsact"]);
    top.until_attached(&["web"]);
    let document = show(&lab, "web");
    let peer = &device(&document, "eth0")["peer"];
    let programs = peer["programs"].as_array().unwrap();
    assert_eq!(programs.len(), 2, "{programs:#?}");
    for (program, hook) in programs.iter().zip(["ingress", "egress"]) {
        assert_eq!(
            (&program["hook"], &program["mechanism"]),
            (&hook.into(), &"clsact".into())
        );
        assert_eq!(
            (&program["priority"], &program["ours"]),
            (&50_000.into(), &true.into())
        );
    }
    let by_hand = lab.run("tc filter show dev v-web ingress");
    let id = programs[0]["id"].to_string();
    assert!(by_hand.contains(&format!("id {id} ")), "{by_hand}");
    top.end("INT");
}

#[test]
fn a_command_runs_in_the_network_only_and_its_exit_code_is_passed_on() {
    let lab = Lab::new();
    let ([web, _], children) = shop(&lab);
    let exec = |line: &[&str]| printed(&lab, &[&["exec", "web", "--"], line].concat());
    // As nsenter has it.
    let pid = lab
        .run("ip netns pids web")
        .lines()
        .next()
        .unwrap()
        .to_owned();
    let by_hand = lab.run(&format!("nsenter -t {pid} -n ip -o addr"));
    let (shown, errors, code) = exec(&["ip", "-o", "addr"]);
    assert_eq!((shown, code), (by_hand, Some(0)), "{errors}");
    let (links, _, _) = exec(&["readlink", "/proc/self/ns/net", "/proc/self/ns/mnt"]);
    let links: Vec<&str> = links.lines().collect();
    assert_eq!(
        links[0],
        lab.run(&format!("readlink /proc/{pid}/ns/net")).trim()
    );
    assert_eq!(links[1], lab.run("readlink /proc/self/ns/mnt").trim());
    // It has the terminal, or whatever there is.
    let mut cat = lab.command("sh");
    cat.args(["-c", "echo through | \"$0\" exec web -- cat", NSTRACE]);
    assert_eq!(cat.output().unwrap().stdout, b"through\n");

    for (line, expected) in [
        (&["sh", "-c", "exit 7"][..], 7),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["true"], 0),
        (&["no-such-command"], 127),
        (&["/etc/passwd"], 126),
    ] {
        let mut command = lab.command("sh");
        command
            .args(["-c", "\"$@\"; exit $?", "sh", NSTRACE, "exec", "web", "--"])
            .args(line);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{line:?}");
    }
    let (_, said, _) = exec(&["no-such-command"]);
    assert!(said.contains("run no-such-command in web"), "{said}");
    let (_, said, code) = printed(&lab, &["exec", "nobody", "--", "true"]);
    assert_eq!(code, Some(1), "{said}");

    // Nothing of it keeps the namespace.
    drop(web);
    end(&lab, children);
    lab.run("ip netns del web");
    wait_until("its veth is gone", || {
        (!lab.run("ip -o link").contains("v-web")).then_some(())
    });
}

#[test]
fn files_for_the_namespace_stand_in_etc_as_with_ip_netns() {
    let lab = Lab::new();
    lab.pod("web");
    // The machine's own stay as they are.
    lab.shell(
        "mkdir -p /run/etc; mount --bind /etc /run/etc; mkdir -p /run/files/web; \
         echo 'nameserver 192.0.2.53' >/run/files/web/resolv.conf; \
         mkdir -p /run/upper /run/work; mount -t tmpfs tmpfs /run/upper; mkdir /run/upper/u /run/upper/w; \
         mount -t overlay -o lowerdir=/run/etc,upperdir=/run/upper/u,workdir=/run/upper/w overlay /etc; \
         mkdir -p /etc/netns; cp -r /run/files/web /etc/netns/",
    );
    let before = fs::read_to_string(lab.path("/etc/resolv.conf")).unwrap_or_default();
    let by_hand = lab.run("ip netns exec web cat /etc/resolv.conf");
    let (shown, errors, _) = printed(&lab, &["exec", "web", "--", "cat", "/etc/resolv.conf"]);
    assert_eq!(shown, "nameserver 192.0.2.53\n", "{errors}");
    assert_eq!(shown, by_hand);
    let (devices, _, _) = printed(&lab, &["exec", "web", "--", "ls", "/sys/class/net"]);
    assert_eq!(devices, "eth0\nlo\n");
    assert_eq!(
        fs::read_to_string(lab.path("/etc/resolv.conf")).unwrap_or_default(),
        before
    );
}

#[test]
fn many_are_run_in_turn_with_their_names_before_each_line() {
    let lab = Lab::new();
    for name in ["shop-1", "shop-2", "other"] {
        lab.pod(name);
    }
    let (shown, errors, code) = printed(
        &lab,
        &[
            "exec",
            "--all-of",
            "shop-*",
            "--",
            "sh",
            "-c",
            "echo one; printf two; echo err >&2",
        ],
    );
    assert_eq!(
        shown,
        "shop-1: one\nshop-1: two\nshop-2: one\nshop-2: two\n"
    );
    assert_eq!(
        (errors.as_str(), code),
        ("shop-1: err\nshop-2: err\n", Some(0))
    );
    // The first that fails says the code; the others are run all the same.
    let line = "ip addr show eth0 | grep -q 198.51.100.10/ && exit 3; exit 4";
    let (_, said, code) = printed(
        &lab,
        &["exec", "--all-of", "shop-*", "--", "sh", "-c", line],
    );
    assert_eq!(code, Some(3), "{said}");
    let (_, said, code) = printed(&lab, &["exec", "--all-of", "none-*", "--", "true"]);
    assert_eq!(code, Some(1), "{said}");
    let (_, said, code) = printed(&lab, &["exec", "shop-*", "--", "true"]);
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn changes_are_listed_as_they_come() {
    let lab = Lab::new();
    lab.pod("web");
    let mut list = Top::watch_ls(&lab, &[]);
    let of = |line: &Value, change: &str, name: &str| {
        (line["change"] == change && line["namespace"]["name"] == name).then_some(())
    };
    list.until("what is there is listed", |line| of(line, "present", "web"));
    lab.pod("db");
    list.until("what comes is", |line| of(line, "added", "db"));
    lab.run("ip -n db addr add 192.0.2.7/24 dev eth0");
    list.until("what changes is", |line| {
        of(line, "changed", "db")?;
        line["namespace"]
            .to_string()
            .contains("192.0.2.7/24")
            .then_some(())
    });
    lab.run("ip netns del web");
    list.until("what goes is", |line| of(line, "removed", "web"));
    let (status, lines) = list.end("TERM");
    assert!(status.success());
    assert!(
        lines
            .iter()
            .all(|line| line["schema"] == "nstrace.ls.change/v1")
    );
}

/// What a shell is told that has `words` and asks about the last of them.
fn completed(lab: &Lab, words: &[&str]) -> Vec<String> {
    let mut command = lab.command(NSTRACE);
    command
        .env("NSTRACE_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true")
        .env("_CLAP_IFS", "\n")
        .arg("--")
        .args(words);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let told = String::from_utf8(output.stdout).unwrap();
    told.lines().map(str::to_owned).collect()
}

#[test]
fn a_shell_completes_the_targets_that_are_there() {
    let lab = Lab::new();
    let (red, reduced) = (lab.pod("red"), lab.pod("reduced"));
    lab.up(&red);
    lab.up(&reduced);
    assert_eq!(
        completed(&lab, &["nstrace", "show", "re"]),
        ["red", "reduced"]
    );
    assert_eq!(
        completed(&lab, &["nstrace", "top", "red", "redu"]),
        ["reduced"]
    );
    assert_eq!(
        completed(&lab, &["nstrace", "capture", "if:v-redu"]),
        ["if:v-reduced"]
    );
    assert_eq!(
        completed(&lab, &["nstrace", "exec", &format!("ip:{}", red.ipv4)]),
        [format!("ip:{}", red.ipv4)]
    );
    lab.run("ip netns del reduced");
    assert_eq!(completed(&lab, &["nstrace", "show", "re"]), ["red"]);
}
