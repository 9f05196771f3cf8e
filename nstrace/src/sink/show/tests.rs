//! One page, as text and as a document.

use super::*;
use crate::topology::{
    inside::{Port, PortVlan},
    model::{Container, Identity, Ifindex, Init, Kind, Network, Peer, Pod, Runtime},
};

fn in_pod(container: Container) -> Container {
    let pod = Pod {
        namespace: Some("shop".to_owned()),
        name: "web-1".to_owned(),
        uid: Some("11-22".to_owned()),
        owner: None,
    };
    Container {
        pod: Some(pod),
        ..container
    }
}

fn netns() -> Netns {
    let sandbox = Container {
        is_sandbox: true,
        init: Some(Init {
            pid: 129,
            started: 1,
        }),
        labels: [("app".to_owned(), "web\u{1b}[31m".to_owned())].into(),
        network: Network::File("/var/run/netns/cni-1".into()),
        ..Container::new(
            Runtime::Containerd,
            "490f5f9cb526de56".to_owned(),
            "POD".to_owned(),
        )
    };
    let app = Container {
        image: "shop/web:1".to_owned(),
        ..Container::new(
            Runtime::Containerd,
            "33c36b64a3cdfe37".to_owned(),
            "app".to_owned(),
        )
    };
    let lo = Iface {
        link: Link::sample(1, "lo", "loopback"),
        peer: None,
        watch: Watch::No("loopback".to_owned()),
    };
    let eth0 = Iface {
        link: Link {
            mtu: 1400,
            addresses: vec!["203.0.113.2/24".to_owned()],
            ..Link::sample(2, "eth0", "veth")
        },
        peer: Some(Peer {
            name: "veth7".to_owned(),
            ifindex: Ifindex(7),
            master: Some("cni0".to_owned()),
        }),
        watch: Watch::HostVeth,
    };
    Netns {
        paths: vec!["/run/netns/cni-1".into()],
        pids: (1..=10).collect(),
        containers: vec![in_pod(sandbox), in_pod(app)],
        interfaces: vec![lo, eth0],
        ..Netns::sample(
            "shop/web-1",
            Kind::Pod,
            Identity::Inode(NetnsInode(107), None),
        )
    }
}

fn program(hook: &'static str, name: &str, priority: Option<u16>) -> Program {
    Program {
        hook,
        mechanism: if priority.is_some() { "clsact" } else { "tcx" },
        id: Some(57),
        name: name.to_owned(),
        priority,
        ours: name.starts_with("nstrace"),
    }
}

fn found() -> Inspected {
    let qdisc = Qdisc {
        kind: "fq_codel".to_owned(),
        handle: "8001:".to_owned(),
        parent: "root".to_owned(),
        bytes: 1500,
        packets: 3,
        drops: 2,
        overlimits: 0,
        backlog: 66,
    };
    let own = End {
        qdiscs: vec![Qdisc {
            kind: "noqueue".to_owned(),
            backlog: 0,
            ..qdisc.clone()
        }],
        ..End::default()
    };
    let outside = End {
        qdiscs: vec![qdisc],
        programs: vec![
            program("ingress", "nstrace_ingress", None),
            program("ingress", "cil_from_container", Some(1)),
            program("egress", "nstrace_egress", None),
        ],
        vlan: None,
        port: Some(Port {
            number: Some(3),
            state: "forwarding".to_owned(),
            vlans: vec![PortVlan {
                id: 10,
                pvid: true,
                untagged: true,
            }],
        }),
    };
    let address = |text: &str| text.parse().expect("an address");
    let process = Process {
        pid: 160,
        name: "nginx".to_owned(),
    };
    Inspected {
        inside: Inside {
            routes: vec![
                Route {
                    destination: "default".to_owned(),
                    kind: "unicast".to_owned(),
                    gateway: Some(address("203.0.113.1")),
                    device: Some("eth0".to_owned()),
                    protocol: "boot".to_owned(),
                    scope: "global".to_owned(),
                    table: 254,
                    ..Route::default()
                },
                Route {
                    destination: "192.0.2.0/24".to_owned(),
                    kind: "blackhole".to_owned(),
                    protocol: "static".to_owned(),
                    scope: "link".to_owned(),
                    metric: Some(50),
                    table: 100,
                    ..Route::default()
                },
            ],
            neighbours: vec![Neighbour {
                address: address("203.0.113.1"),
                device: "eth0".to_owned(),
                mac: None,
                state: "failed".to_owned(),
            }],
            ends: [(Ifindex(2), own)].into(),
            listening: vec![Listener {
                protocol: "tcp",
                address: "0.0.0.0:80".parse().expect("an address"),
                inode: 4711,
                process: Some(process.clone()),
            }],
            connections: [
                ("tcp", [("estab", 3), ("listen", 1)].into()),
                ("udp", [].into()),
            ]
            .into(),
            warnings: vec!["odd".to_owned()],
        },
        outside: [(Ifindex(7), outside)].into(),
        processes: vec![process; 10],
    }
}

fn written(format: Format) -> String {
    let (netns, found) = (netns(), found());
    let peer = Link {
        mtu: 1500,
        ..Link::sample(7, "veth7", "veth")
    };
    let page = Page {
        netns: &netns,
        found: &found,
        host: &[(7, &peer)].into(),
    };
    let mut out = Vec::new();
    write(&mut out, format, &page).expect("writes to memory");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn a_page_says_everything() {
    let nginx = "160 nginx, ".repeat(8);
    let expected = format!(
        "\
shop/web-1  pod  inode 107  uid 11-22
  /run/netns/cni-1
  processes: {}, and 2 more

Containers
  POD  containerd  490f5f9cb526  pid 129  sandbox  app=web\\x1b[31m
  app  containerd  33c36b64a3cd           shop/web:1

Interfaces
  lo  loopback  up  mtu 1500
    not watched: loopback
  eth0  veth  up  mtu 1400
    203.0.113.2/24
    qdisc noqueue 8001: root  sent 1.50kB in 3 packets  dropped 2
    the host's end: veth7  veth  up  mtu 1500  in cni0, port 3, forwarding, vlan 10 pvid untagged
      MTU MISMATCH: 1400 in here, 1500 on the host
      qdisc fq_codel 8001: root  sent 1.50kB in 3 packets  dropped 2  waiting 66B
      ingress 1: nstrace_ingress  tcx  id 57  (nstrace)
      ingress 2: cil_from_container  clsact  priority 1  id 57
      egress 1: nstrace_egress  tcx  id 57  (nstrace)

Routes
  default                 via 203.0.113.1 dev eth0 proto boot
  blackhole 192.0.2.0/24  proto static scope link metric 50 table 100

Neighbours
  203.0.113.1  dev eth0  -  failed

Listening
  tcp  0.0.0.0:80  160 nginx

Sockets
  tcp  3 estab, 1 listen
",
        nginx.trim_end_matches(", ")
    );
    assert_eq!(written(Format::Text), expected);
}

#[test]
fn a_document_has_the_same_facts() {
    let text = written(Format::Json);
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["schema"], "nstrace.show/v1");
    assert_eq!(document["namespace"]["pod"]["name"], "web-1");
    let eth0 = &document["devices"][1];
    assert_eq!(
        (&eth0["mtu_mismatch"], &eth0["peer"]["mtu"]),
        (&true.into(), &1500.into())
    );
    assert_eq!(eth0["qdiscs"][0]["kind"], "noqueue");
    assert_eq!(eth0["peer"]["programs"][1]["name"], "cil_from_container");
    assert_eq!(eth0["peer"]["port"]["vlans"][0]["id"], 10);
    assert_eq!(document["devices"][0]["peer"], serde_json::Value::Null);
    assert_eq!(document["listening"][0]["address"], "0.0.0.0:80");
    assert_eq!(document["connections"]["tcp"]["estab"], 3);
    assert_eq!(document["warnings"][0], "odd");
}
