//! A real Docker engine: Debian's, started by the test as a daemon with its own socket, data root,
//! exec root, bridge and subnet, inside a lab. The machine's own Docker is never touched.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::{
    capture::Capture,
    lab::Lab,
    nstrace::{Top, class, ls, row, rows, run},
    savefile::Saved,
    wait_until,
};

const ROOT: &str = "/run/engine/data";

/// The engine. It ends with the lab.
struct Docker<'a> {
    lab: &'a Lab,
    daemon: Child,
}

impl<'a> Docker<'a> {
    fn start(lab: &'a Lab) -> Self {
        lab.shell(
            "mkdir -p /run/engine/image/bin; echo {} >/run/engine/settings; \
             ip link add dlab0 type bridge; ip addr add 203.0.113.1/24 dev dlab0; ip link set dlab0 up",
        );
        let daemon = lab
            .command("dockerd")
            .args(["--host", "unix:///run/engine/docker.sock"])
            .args(["--data-root", ROOT, "--exec-root", "/run/engine/exec"])
            .args([
                "--pidfile",
                "/run/engine/pid",
                "--config-file",
                "/run/engine/settings",
            ])
            .args(["--bridge", "dlab0", "--iptables=false", "--ip6tables=false"])
            .args([
                "--ip-forward=false",
                "--ip-masq=false",
                "--storage-driver",
                "vfs",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(lab.path("/run/engine/log")).unwrap())
            .spawn()
            .expect("dockerd is there: cargo xtask setup --tests");
        let mut docker = Self { lab, daemon };
        wait_until("the engine answers", || {
            if let Some(status) = docker.daemon.try_wait().unwrap() {
                let log = std::fs::read_to_string(lab.path("/run/engine/log")).unwrap();
                panic!("dockerd ended with {status}:\n{log}");
            }
            let mut version = lab.command("docker");
            version.args(["-H", "unix:///run/engine/docker.sock", "version"]);
            version.stdout(Stdio::null()).stderr(Stdio::null());
            version.status().unwrap().success().then_some(())
        });
        lab.shell(
            "cd /run/engine/image; cp /bin/busybox bin/; ln -s busybox bin/sh; \
             tar -c . | docker -H unix:///run/engine/docker.sock import - lab/busybox:1 >/dev/null",
        );
        docker
    }

    #[track_caller]
    fn run(&self, line: &str) -> String {
        let line = format!("docker -H unix:///run/engine/docker.sock {line}");
        self.lab.run(&line).trim().to_owned()
    }

    /// Starts a container that does nothing; gives its id.
    fn container(&self, name: &str, options: &str) -> String {
        self.run(&format!(
            "run -d --name {name} {options} lab/busybox:1 /bin/busybox sleep 1000"
        ))
    }

    fn address(&self, name: &str) -> String {
        self.run(&format!(
            "inspect -f {{{{.NetworkSettings.IPAddress}}}} {name}"
        ))
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        // Orderly, so that no mount of a container stays busy; the lab's end is the last resort.
        let stopped = self
            .lab
            .command("sh")
            .args(["-c", "kill $(cat /run/engine/pid)"])
            .status();
        if stopped.is_ok_and(|status| status.success()) {
            drop(self.daemon.wait());
        }
    }
}

fn found<'a>(document: &'a Value, name: &str) -> &'a Value {
    let netnses = document["namespaces"].as_array().unwrap();
    netnses
        .iter()
        .find(|netns| netns["name"] == name)
        .unwrap_or_else(|| panic!("no {name}"))
}

fn containers(netns: &Value) -> Vec<&str> {
    let all = netns["containers"].as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap()).collect()
}

/// Finds containers by more than their names.
fn by_what_is_known(lab: &Lab, docker: &Docker<'_>, document: &Value) {
    // Those that share a namespace stand in it together; the host's guests, under the host.
    assert_eq!(containers(found(document, "web")), ["web", "sidecar"]);
    assert_eq!(containers(found(document, "host")), ["on-host"]);
    // By label, off the disk and by the socket too; by runtime; by address.
    let address = format!("ip:{}", docker.address("web"));
    for which in [
        &["-l", "tier=front"][..],
        &[
            "-l",
            "tier=front",
            "--docker-socket=/run/engine/docker.sock",
        ],
        &["docker:web"],
        &["docker:sidecar"],
        &[&address],
    ] {
        let found = ls(lab, &[&["--docker-root", ROOT], which].concat());
        assert_eq!(found["warnings"], serde_json::json!([]), "{which:?}");
        let netnses = found["namespaces"].as_array().unwrap();
        assert_eq!(netnses.len(), 1, "{which:?}");
        assert_eq!(netnses[0]["containers"][0]["labels"]["tier"], "front");
    }
}

#[test]
fn containers_are_named_watched_and_followed() {
    let lab = Lab::new();
    let docker = Docker::start(&lab);
    let id = docker.container("web", "--label tier=front");
    docker.container("db", "--label tier=back");
    docker.container("on-host", "--network host");
    docker.container("sidecar", "--network container:web");
    lab.pod("plain");

    // Names, ids, peers.
    let document = ls(&lab, &["--docker-root", ROOT]);
    let web = found(&document, "web");
    assert_eq!(web["kind"], "container");
    assert_eq!(
        web["container"],
        serde_json::json!({ "runtime": "docker", "id": id, "name": "web", "image": "lab/busybox:1" })
    );
    let eth0 = &web["interfaces"][1];
    assert_eq!(
        (&eth0["name"], &eth0["watch"]),
        (&"eth0".into(), &"host-veth".into())
    );
    assert_eq!(
        eth0["addresses"][0],
        format!("{}/24", docker.address("web"))
    );
    assert_eq!(eth0["peer"]["master"], "dlab0");
    // The fact that people look up by hand: the container's own iflink.
    let iflink = docker.run("exec web /bin/busybox cat /sys/class/net/eth0/iflink");
    assert_eq!(eth0["peer"]["ifindex"].to_string(), iflink);
    assert_eq!(found(&document, "plain")["kind"], "named");
    let host = found(&document, "host");
    assert_eq!(
        host["paths"],
        serde_json::json!(["/run/engine/exec/netns/default"])
    );
    assert_eq!(host["container"], Value::Null);
    let names: Vec<&str> = document["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|netns| netns["name"].as_str().unwrap())
        .collect();
    assert!(
        !names.contains(&"on-host") && !names.contains(&"sidecar"),
        "{names:?}"
    );
    let by_id = run(
        &lab,
        &["ls", "--docker-root", ROOT, "-o", "name", &id[..12]],
    );
    assert_eq!(String::from_utf8_lossy(&by_id.stdout), "web\n");
    by_what_is_known(&lab, &docker, &document);

    // Counts.
    let mut top = Top::start(&lab, &["--docker-root", ROOT]);
    top.until_attached(&["web", "db", "plain"]);
    let db = docker.address("db");
    docker.run(&format!(
        "exec web /bin/busybox ping -q -c 20 -i 0.02 -s 200 {db}"
    ));
    for name in ["web", "db"] {
        let row = top.until("the pings are counted", |line| {
            row(line, name)
                .filter(|row| class(row, "ipv4_icmp", "tx").0 == 20)
                .cloned()
        });
        let expected = (20, 20 * (14 + 20 + 8 + 200));
        assert_eq!(class(&row, "ipv4_icmp", "tx"), expected);
        assert_eq!(class(&row, "ipv4_icmp", "rx"), expected);
        assert_eq!(row["kind"], "container");
    }

    // One that comes, one that goes in mid-traffic.
    docker.container("late", "");
    top.until_attached(&["late"]);
    docker.run(&format!(
        "exec -d web /bin/busybox ping -q -i 0.001 -s 200 {db}"
    ));
    top.until("traffic flows", |line| {
        (class(row(line, "web")?, "ipv4_icmp", "tx").0 > 100).then_some(())
    });
    docker.run("rm -f sidecar");
    docker.run("rm -f web");
    let gone = top.until("web is gone", |line| {
        rows(line)
            .find(|row| row["name"] == "web" && row["gone"] == true)
            .cloned()
    });
    assert!(class(&gone, "ipv4_icmp", "tx").0 > 100);

    // The same name again is another container, from zero.
    let again = docker.container("web", "");
    assert_ne!(again, id);
    top.until_attached(&["web"]);
    let row = top.until("it is shown", |line| row(line, "web").cloned());
    assert_eq!(class(&row, "ipv4_icmp", "tx").0, 0);
    assert_ne!(row["peer_ifindex"], gone["peer_ifindex"]);
    let (status, lines) = top.end("INT");
    assert!(status.success());
    // Nobody was ever shown under a wrong name.
    let known = ["web", "db", "plain", "late"];
    let shown = |row: &Value| row["name"].as_str().unwrap().to_owned();
    let strange: Vec<String> = lines
        .iter()
        .flat_map(rows)
        .map(shown)
        // Before Docker has written its file, a new container is known by its process or inode.
        .filter(|name| !name.starts_with("pid:") && !name.starts_with("netns:"))
        .filter(|name| !known.contains(&name.as_str()))
        .collect();
    assert_eq!(strange, Vec::<String>::new());
}

#[test]
fn a_container_is_captured_by_its_name() {
    let lab = Lab::new();
    let docker = Docker::start(&lab);
    let id = docker.container("web", "");
    docker.container("db", "");
    let (web, db) = (docker.address("web"), docker.address("db"));
    let path = "/run/capture.pcapng";
    let filter = format!("icmp and host {db}");
    let args = ["--docker-root", ROOT, "web", "-w", path, &filter];
    let capture = Capture::start(&lab, &args);
    docker.run(&format!("exec web /bin/busybox ping -q -c 20 -i 0.01 {db}"));
    docker.run(&format!("exec db /bin/busybox ping -q -c 1 {web}"));
    let late = docker.container("late", "");
    capture.end("INT").with_code(0).assert_all(42);

    let saved = Saved::read(&lab.path(path));
    let [iface] = &saved.ifaces[..] else {
        panic!("{:?}", saved.ifaces);
    };
    assert_eq!(
        (iface.name.as_str(), iface.netns.as_str()),
        ("web/eth0", "web")
    );
    let container = format!("docker container {}, image lab/busybox:1", &id[..12]);
    assert!(
        iface.description.contains(&container),
        "{}",
        iface.description
    );
    assert_eq!(iface.addresses[0].0.to_string(), web);
    let of = |is_tx| {
        saved
            .packets
            .iter()
            .filter(|packet| packet.is_tx == Some(is_tx))
            .count()
    };
    assert_eq!((of(true), of(false)), (21, 21));
    for (address, name) in [(&web, "web"), (&db, "db")] {
        let name = (address.parse().unwrap(), name.to_owned());
        assert!(saved.names.contains(&name), "{:?}", saved.names);
    }

    // By its id.
    let args = [
        "--docker-root",
        ROOT,
        &late[..8],
        "--force",
        "-w",
        path,
        "icmp",
    ];
    let capture = Capture::start(&lab, &args);
    docker.run(&format!("exec late /bin/busybox ping -q -c 2 -i 0.01 {db}"));
    capture.end("INT").with_code(0).assert_all(4);
    assert_eq!(Saved::read(&lab.path(path)).ifaces[0].name, "late/eth0");
}
