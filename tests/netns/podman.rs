//! Podman's containers and pods: a real Podman, as root and as an ordinary user.

use serde_json::{Value, json};

use crate::support::{
    lab::Lab,
    nstrace::{Top, class, ls, row, rows, run},
    podman::{Podman, UID, User},
};

fn found<'a>(document: &'a Value, name: &str) -> &'a Value {
    let mut netnses = document["namespaces"].as_array().unwrap().iter();
    netnses
        .find(|netns| netns["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {document:#}"))
}

fn containers(netns: &Value) -> Vec<&str> {
    let all = netns["containers"].as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn containers_and_pods_are_named_watched_and_followed() {
    let lab = Lab::new();
    let podman = Podman::start(&lab, User::Root);
    let web = podman.container("web", "--label app=web --label tier=front");
    podman.container("db", "--cap-add NET_RAW");
    podman.container("sidecar", "--network container:web --cap-add NET_RAW");
    podman.container("on-host", "--network host");
    podman.pod("shop", "--hostname elsewhere --label team=sales");
    podman.container("front", "--pod shop");
    podman.container("back", "--pod shop");

    let document = ls(&lab, &[]);
    let shown = found(&document, "web");
    assert_eq!(shown["kind"], "container");
    assert_eq!(
        shown["container"],
        json!({ "runtime": "podman", "id": web, "name": "web", "image": "localhost/lab/busybox:1" })
    );
    assert_eq!(
        shown["containers"][0]["labels"],
        json!({ "app": "web", "tier": "front" })
    );
    assert_eq!(
        containers(shown),
        ["web", "sidecar"],
        "one namespace with all names"
    );
    let eth0 = &shown["interfaces"][1];
    let address = podman.run("inspect -f {{.NetworkSettings.IPAddress}} web");
    assert_eq!(eth0["addresses"][0], format!("{address}/24"));
    let iflink = podman.run("exec web /bin/busybox cat /sys/class/net/eth0/iflink");
    assert_eq!(eth0["peer"]["ifindex"].to_string(), iflink);
    // The pod is called by its name, whatever its host name is.
    let pod = found(&document, "shop");
    assert_eq!(
        (&pod["kind"], &pod["pod"]["namespace"]),
        (&json!("pod"), &Value::Null)
    );
    assert_eq!(containers(pod)[1..], ["back", "front"]);
    assert!(containers(pod)[0].ends_with("-infra"));
    assert_eq!(containers(found(&document, "host")), ["on-host"]);
    let by_label = run(&lab, &["ls", "-o", "name", "-l", "team=sales"]);
    assert_eq!(String::from_utf8_lossy(&by_label.stdout), "shop\n");
    let not_kubernetes = run(&lab, &["ls", "-A"]);
    assert_eq!(not_kubernetes.status.code(), Some(1));

    // Counts, and one that is restarted: another of its name.
    let mut top = Top::start(&lab, &["podman:*"]);
    top.until_attached(&["web", "db", "shop"]);
    podman.run(&format!(
        "exec db /bin/busybox ping -q -c 20 -i 0.02 -s 200 {address}"
    ));
    let expected = (20, 20 * (14 + 20 + 8 + 200));
    top.until("the pings are counted", |line| {
        let counted = |name| class(row(line, name).unwrap(), "ipv4_icmp", "rx");
        (counted("web") == expected && counted("db") == expected).then_some(())
    });
    podman.run("restart -t 0 db");
    let again = top.until("it is there again", |line| {
        row(line, "db")
            .filter(|row| row["generation"] == 2)
            .cloned()
    });
    assert_eq!(class(&again, "ipv4_icmp", "rx").0, 0);
    let (status, lines) = top.end("INT");
    assert!(status.success());
    let mut shown = lines
        .iter()
        .flat_map(rows)
        .map(|row| row["name"].as_str().unwrap());
    assert!(shown.all(|name| ["web", "db", "shop"].contains(&name)));
}

#[test]
fn what_an_ordinary_user_runs_is_named_and_said_why_it_cannot_be_watched() {
    let lab = Lab::new();
    let podman = Podman::start(&lab, User::Ordinary);
    let id = podman.container("rweb", "--cap-add NET_RAW");
    podman.run("network create --subnet 192.0.2.0/24 rnet");
    podman.container("rdb", "--network rnet");
    podman.run("exec rweb /bin/busybox ping -q -c 3 -i 0.05 203.0.113.2");

    let document = ls(&lab, &[]);
    let web = found(&document, "rweb");
    assert_eq!(web["kind"], "container");
    assert_eq!(
        (&web["containers"][0]["id"], &web["containers"][0]["user"]),
        (&json!(id), &json!(UID))
    );
    let tap = &web["interfaces"][1];
    assert_eq!(
        (&tap["name"], &tap["watch"]),
        (&json!("tap0"), &json!("none"))
    );
    let why = tap["why"].as_str().unwrap();
    assert!(why.contains("slirp4netns"), "{why}");
    let db = &found(&document, "rdb")["interfaces"][1];
    assert_eq!(
        (&db["name"], &db["watch"]),
        (&json!("eth0"), &json!("none"))
    );
    let why = db["why"].as_str().unwrap();
    assert!(why.starts_with("its peer is"), "{why}");
    let top = run(&lab, &["top", "-b", "-c", "1", "rweb"]);
    assert_eq!(top.status.code(), Some(1));
    let said = String::from_utf8(top.stderr).unwrap();
    assert!(
        said.contains("nothing to watch in rweb") && said.contains("nstrace show rweb"),
        "{said}"
    );
}

#[test]
fn a_user_cannot_call_others_namespaces_anything() {
    let lab = Lab::new();
    let podman = Podman::start(&lab, User::Ordinary);
    lab.pod("bank");
    let mut process = lab.command("ip");
    let mut process = process
        .args(["netns", "exec", "bank", "sleep", "1000"])
        .spawn()
        .unwrap();
    let id = podman.container("mine", "");
    assert_eq!(containers(found(&ls(&lab, &[]), "mine")), ["mine"]);
    // The user says that the first process is one of root's, in another namespace.
    let theirs = crate::support::wait_until("it runs", || {
        let pids = lab.run("ip netns pids bank");
        pids.split_whitespace().next().map(str::to_owned)
    });
    let file = format!("/run/user/{UID}/containers/vfs-containers/{id}/userdata/pidfile");
    std::fs::write(lab.path(&file), theirs).unwrap();
    let document = ls(&lab, &[]);
    assert_eq!(found(&document, "bank")["containers"], json!([]));
    process.kill().unwrap();
    process.wait().unwrap();
}
