//! Hand-made facts, and the graph that follows from them.

use super::*;

const HOST_NSID: i32 = 0;

impl Link {
    /// A link that is up and points nowhere, for the tests of every module.
    pub(crate) fn sample(ifindex: u32, name: &str, kind: &str) -> Self {
        Self {
            ifindex: Ifindex(ifindex),
            name: name.to_owned(),
            kind: kind.to_owned(),
            mac: None,
            mtu: 1500,
            state: "up".to_owned(),
            link: None,
            link_nsid: None,
            master: None,
            addresses: Vec::new(),
        }
    }
}

impl Netns {
    /// One that nothing more is known of, for the tests of every module.
    pub(crate) fn sample(name: &str, kind: Kind, identity: Identity) -> Self {
        Self {
            identity,
            nsid: None,
            name: name.to_owned(),
            kind,
            paths: Vec::new(),
            pids: Vec::new(),
            containers: Vec::new(),
            interfaces: Vec::new(),
        }
    }
}

fn link(ifindex: u32, name: &str, kind: &str) -> Link {
    Link::sample(ifindex, name, kind)
}

/// A link whose `IFLA_LINK` names `to` in the namespace that the host knows as `nsid`.
fn linked(ifindex: u32, name: &str, kind: &str, to: u32, nsid: i32) -> Link {
    Link {
        link: Some(Ifindex(to)),
        link_nsid: Some(Nsid(nsid)),
        ..link(ifindex, name, kind)
    }
}

fn veth(ifindex: u32, name: &str, to: u32, nsid: i32) -> Link {
    linked(ifindex, name, "veth", to, nsid)
}

fn in_bridge(master: u32, link: Link) -> Link {
    Link {
        master: Some(Ifindex(master)),
        ..link
    }
}

fn netns(inode: u32, nsid: Option<i32>, links: Vec<Link>) -> NetnsFacts {
    NetnsFacts {
        identity: Identity::Inode(NetnsInode(inode), None),
        nsid: nsid.map(Nsid),
        paths: Vec::new(),
        processes: Vec::new(),
        links,
    }
}

/// `netns` with a file below /run/netns.
fn named(name: &str, netns: NetnsFacts) -> NetnsFacts {
    NetnsFacts {
        paths: vec![Path::new("/run/netns").join(name)],
        ..netns
    }
}

fn process(pid: u32, comm: &str) -> Process {
    Process {
        pid,
        comm: comm.to_owned(),
    }
}

/// A container with a namespace of its own, which this file holds.
fn container(name: &str, sandbox: &str) -> Container {
    Container {
        network: Network::File(PathBuf::from(sandbox)),
        ..by_process(name, None)
    }
}

/// A container that is known by its first process, which is in the namespace with this inode.
fn by_process(name: &str, inode: Option<u32>) -> Container {
    Container {
        image: "busybox:latest".to_owned(),
        inode: inode.map(NetnsInode),
        ..Container::new(
            Runtime::Docker,
            format!("{name}0123456789abcdef"),
            name.to_owned(),
        )
    }
}

/// The host's links, and other namespaces.
fn facts(host: Vec<Link>, others: Vec<NetnsFacts>) -> Facts {
    let mut netnses = vec![netns(1, Some(HOST_NSID), host)];
    netnses.extend(others);
    Facts {
        netnses,
        ..Facts::default()
    }
}

#[track_caller]
fn iface<'a>(topology: &'a Topology, netns: &str, name: &str) -> &'a Iface {
    topology
        .netnses
        .iter()
        .find(|one| one.name == netns)
        .expect("the namespace is in the graph")
        .interfaces
        .iter()
        .find(|iface| iface.link.name == name)
        .expect("the interface is in its namespace")
}

/// That the interface is not watched, and what is said of it.
#[track_caller]
fn check_why(facts: &Facts, netns: &str, name: &str, why: &str) {
    let topology = Topology::new(facts);
    let iface = iface(&topology, netns, name);
    assert_eq!(iface.watch, Watch::No(why.to_owned()));
    assert_eq!(iface.peer, None);
    let mut watchable = topology.watchable();
    assert!(!watchable.any(|(one, other, _)| one.name == netns && other.link.name == name));
}

fn peer(name: &str, ifindex: u32, master: Option<&str>) -> Peer {
    Peer {
        name: name.to_owned(),
        ifindex: Ifindex(ifindex),
        master: master.map(str::to_owned),
    }
}

/// Three namespaces, in each of which eth0 is 2, with their host ends in an order of its own.
fn three_alike() -> Facts {
    facts(
        vec![
            link(3, "br0", "bridge"),
            in_bridge(3, veth(12, "v-c", 2, 9)),
            in_bridge(3, veth(13, "v-a", 2, 7)),
            veth(14, "v-b", 2, 8),
        ],
        vec![
            named(
                "a",
                netns(107, Some(7), vec![veth(2, "eth0", 13, HOST_NSID)]),
            ),
            named(
                "b",
                netns(108, Some(8), vec![veth(2, "eth0", 14, HOST_NSID)]),
            ),
            named(
                "c",
                netns(109, Some(9), vec![veth(2, "eth0", 12, HOST_NSID)]),
            ),
        ],
    )
}

#[test]
fn an_ifindex_that_every_namespace_has_is_told_apart_by_the_namespace_id() {
    let topology = Topology::new(&three_alike());
    let watched: Vec<(&str, &Peer)> = topology
        .watchable()
        .map(|(netns, _, peer)| (&*netns.name, peer))
        .collect();
    assert_eq!(
        watched,
        [
            ("a", &peer("v-a", 13, Some("br0"))),
            ("b", &peer("v-b", 14, None)),
            ("c", &peer("v-c", 12, Some("br0"))),
        ]
    );
}

#[test]
fn the_hosts_end_names_the_other_and_is_not_watched() {
    let topology = Topology::new(&three_alike());
    let end = iface(&topology, "host", "v-c");
    assert_eq!(end.peer, Some(peer("eth0", 2, None)));
    assert_eq!(
        end.watch,
        Watch::No("the host's end of a veth pair".to_owned())
    );
    let bridge = iface(&topology, "host", "br0");
    assert_eq!(bridge.peer, None);
    assert_eq!(bridge.watch, Watch::No("the host's own".to_owned()));
}

#[test]
fn a_peer_that_does_not_point_back_is_not_watched() {
    #[track_caller]
    fn check(host: Link) {
        let inside = named(
            "a",
            netns(107, Some(7), vec![veth(2, "eth0", 13, HOST_NSID)]),
        );
        let facts = facts(vec![host], vec![inside]);
        check_why(&facts, "a", "eth0", "its peer is not on the host");
        let topology = Topology::new(&facts);
        assert_eq!(topology.netnses[0].interfaces[0].peer, None);
    }

    // Of another index, of another namespace, of none, not a veth, not there.
    check(veth(13, "v-a", 3, 7));
    check(veth(13, "v-a", 2, 8));
    check(Link {
        link_nsid: None,
        ..veth(13, "v-a", 2, 7)
    });
    check(linked(13, "v-a", "macvlan", 2, 7));
    check(veth(14, "v-a", 2, 7));
}

#[test]
fn a_host_end_whose_namespace_was_not_found_is_the_hosts_own() {
    let topology = Topology::new(&facts(vec![veth(13, "v-a", 2, 7)], vec![]));
    let end = iface(&topology, "host", "v-a");
    assert_eq!(end.peer, None);
    assert_eq!(end.watch, Watch::No("the host's own".to_owned()));
}

#[test]
fn a_namespace_without_an_id_has_no_watched_interface() {
    let inside = named("a", netns(107, None, vec![veth(2, "eth0", 13, -1)]));
    let facts = facts(vec![veth(13, "v-a", 2, 7)], vec![inside]);
    check_why(&facts, "a", "eth0", "its peer is not on the host");
}

#[test]
fn a_namespace_known_by_its_id_alone_is_watched() {
    let inside = NetnsFacts {
        identity: Identity::Nsid(Nsid(7)),
        ..netns(0, Some(7), vec![veth(2, "eth0", 13, HOST_NSID)])
    };
    let topology = Topology::new(&facts(vec![veth(13, "v-a", 2, 7)], vec![inside]));
    let watched: Vec<_> = topology.watchable().collect();
    let [(netns, iface, end)] = &watched[..] else {
        panic!("not one is watched: {watched:?}");
    };
    assert_eq!((&*netns.name, netns.kind), ("nsid:7", Kind::Unnamed));
    assert_eq!((&*iface.link.name, *end), ("eth0", &peer("v-a", 13, None)));
}

#[test]
fn a_peer_in_a_third_namespace_is_named_by_it() {
    let pod = netns(107, Some(7), vec![veth(2, "x0", 5, 8)]);
    let mut facts = facts(
        vec![],
        vec![
            named("a", pod),
            netns(108, Some(8), vec![veth(5, "y0", 2, 7)]),
        ],
    );
    check_why(
        &facts,
        "a",
        "x0",
        "its peer is in netns:108, not on the host",
    );
    check_why(
        &facts,
        "netns:108",
        "y0",
        "its peer is in a, not on the host",
    );
    facts.containers = vec![by_process("web", Some(108))];
    check_why(&facts, "a", "x0", "its peer is in web, not on the host");
}

#[test]
fn a_third_namespace_whose_link_does_not_point_back_is_not_named() {
    let facts = facts(
        vec![],
        vec![
            named("a", netns(107, Some(7), vec![veth(2, "x0", 5, 8)])),
            named("b", netns(108, Some(8), vec![veth(5, "y0", 3, 7)])),
        ],
    );
    check_why(&facts, "a", "x0", "its peer is not on the host");
}

#[test]
fn what_has_no_host_end_says_why() {
    #[track_caller]
    fn check(inside: Link, why: &str) {
        let name = inside.name.clone();
        let host = vec![link(4, "ens3", "device"), link(5, "br0", "bridge")];
        let inside = named("a", netns(107, Some(7), vec![inside]));
        check_why(&facts(host, vec![inside]), "a", &name, why);
    }

    check(link(1, "lo", "loopback"), "loopback");
    check(
        linked(2, "eth0", "macvlan", 4, HOST_NSID),
        "macvlan on the host's ens3: it has no host end",
    );
    check(
        linked(2, "eth0", "ipvlan", 4, HOST_NSID),
        "ipvlan on the host's ens3: it has no host end",
    );
    // Its parent is in the same namespace, where 4 is another device.
    check(
        Link {
            link: Some(Ifindex(4)),
            ..link(2, "mv0", "macvlan")
        },
        "macvlan: it has no host end",
    );
    check(
        linked(2, "eth0", "macvtap", 99, HOST_NSID),
        "macvtap: it has no host end",
    );
    check(
        link(2, "ens4", "device"),
        "a device moved into the namespace: it has no host end",
    );
    check(
        linked(2, "eth0", "netkit", 4, HOST_NSID),
        "netkit: its packets can pass by the host's tc hooks",
    );
    check(
        link(2, "tap0", "tun"),
        "tun: a process (slirp4netns, pasta, a VPN) carries its packets, and it has no host end",
    );
    check(
        Link {
            link: Some(Ifindex(3)),
            ..link(2, "in0", "veth")
        },
        "both ends are in this namespace",
    );
}

#[test]
fn a_pair_with_both_ends_on_the_host_is_the_hosts_own() {
    let end = |ifindex, name, to| Link {
        link: Some(Ifindex(to)),
        ..link(ifindex, name, "veth")
    };
    let topology = Topology::new(&facts(vec![end(5, "p0", 6), end(6, "p1", 5)], vec![]));
    for name in ["p0", "p1"] {
        let iface = iface(&topology, "host", name);
        assert_eq!(iface.peer, None);
        assert_eq!(iface.watch, Watch::No("the host's own".to_owned()));
    }
    assert_eq!(topology.watchable().count(), 0);
}

/// What a namespace with inode 107 is called, given these files, processes and containers.
#[track_caller]
fn check_name(
    paths: &[&str],
    processes: &[Process],
    containers: &[Container],
    name: &str,
    kind: Kind,
) {
    let inside = NetnsFacts {
        paths: paths.iter().map(PathBuf::from).collect(),
        processes: processes.to_vec(),
        ..netns(107, None, vec![])
    };
    let topology = Topology::new(&Facts {
        containers: containers.to_vec(),
        ..facts(vec![], vec![inside])
    });
    let found = &topology.netnses[1];
    assert_eq!((&*found.name, found.kind), (name, kind));
    let expected = containers.iter().find(|container| container.name == name);
    assert_eq!(found.container(), expected);
}

#[test]
fn the_best_name_is_taken() {
    let both = &["/run/netns/blue", "/run/docker/netns/0123456789ab"];
    let sleep = &[process(42, "sleep"), process(43, "nc")];
    let web = &[container("web", "/var/run/docker/netns/0123456789ab")];
    check_name(both, sleep, web, "web", Kind::Container);
    check_name(both, sleep, &[], "blue", Kind::Named);
    check_name(&["/var/run/netns/blue"], sleep, &[], "blue", Kind::Named);
    check_name(&both[1..], sleep, &[], "pid:42(sleep)", Kind::Process);
    check_name(
        &["/run/netns/deeper/blue"],
        &[],
        &[],
        "netns:107",
        Kind::Unnamed,
    );
    check_name(&both[1..], &[], &[], "netns:107", Kind::Unnamed);
    check_name(&[], &[], &[], "netns:107", Kind::Unnamed);
}

#[test]
fn the_first_of_several_names_is_taken() {
    let links = &["/run/docker/netns/ab", "/run/netns/blue", "/run/netns/red"];
    check_name(links, &[], &[], "blue", Kind::Named);
}

#[test]
fn a_container_is_found_by_its_sandbox_and_by_its_process_only_without_one() {
    let sleep = &[process(42, "sleep")];
    let file = &["/run/docker/netns/ab"];
    let by_pid = by_process("by-pid", Some(107));
    let by_file = container("by-file", file[0]);
    let elsewhere = container("elsewhere", "/run/docker/netns/cd");
    check_name(
        file,
        sleep,
        std::slice::from_ref(&by_pid),
        "by-pid",
        Kind::Container,
    );
    check_name(
        file,
        sleep,
        std::slice::from_ref(&by_file),
        "by-file",
        Kind::Container,
    );
    // Its sandbox is another.
    check_name(
        file,
        sleep,
        std::slice::from_ref(&elsewhere),
        "pid:42(sleep)",
        Kind::Process,
    );
    // A container that shares another's namespace does not take its name.
    let all = [elsewhere, by_pid, by_file];
    check_name(file, sleep, &all, "by-file", Kind::Container);
    check_name(
        file,
        &[],
        &[by_process("none", None)],
        "netns:107",
        Kind::Unnamed,
    );
}

/// A container of a Kubernetes pod, which has its namespace from the pod's sandbox.
fn in_pod(pod: &str, name: &str, sandbox: &str) -> Container {
    let (namespace, pod) = pod.split_once('/').expect("NAMESPACE/POD");
    Container {
        pod: Some(Pod {
            namespace: Some(namespace.to_owned()),
            name: pod.to_owned(),
            uid: None,
            owner: None,
        }),
        network: Network::Container(sandbox.to_owned()),
        ..Container::new(
            Runtime::Containerd,
            format!("{pod}-{name}"),
            name.to_owned(),
        )
    }
}

/// A pod's sandbox.
fn sandbox(pod: &str, id: &str, network: Network) -> Container {
    Container {
        id: id.to_owned(),
        is_sandbox: true,
        network,
        ..in_pod(pod, "POD", "")
    }
}

#[test]
fn a_pod_is_one_namespace_with_its_containers_behind_its_sandbox() {
    let path = "/run/netns/cni-1";
    let inside = NetnsFacts {
        paths: vec![PathBuf::from(path)],
        processes: vec![process(40, "pause"), process(41, "app"), process(42, "sh")],
        ..netns(107, None, vec![])
    };
    let file = Network::File(PathBuf::from("/var/run/netns/cni-1"));
    let other = Container {
        runtime: Runtime::Crio,
        ..in_pod("shop/other", "app", "s1")
    };
    let topology = Topology::new(&Facts {
        containers: vec![
            in_pod("shop/web-1", "sidecar", "s1"),
            in_pod("shop/web-1", "app", "s1"),
            sandbox("shop/web-1", "s1", file),
            // The same id, of another runtime; and one whose sandbox is gone.
            other,
            in_pod("shop/gone", "app", "s2"),
        ],
        ..facts(vec![], vec![inside])
    });
    let pod = &topology.netnses[1];
    assert_eq!((&*pod.name, pod.kind), ("shop/web-1", Kind::Pod));
    let names: Vec<&str> = pod.containers.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["POD", "app", "sidecar"]);
    assert_eq!(
        pod.pod().map(ToString::to_string).as_deref(),
        Some("shop/web-1")
    );
}

#[test]
fn a_namespace_keeps_its_name_to_its_end_and_no_longer() {
    let sandbox = sandbox("shop/web-1", "s1", Network::Process);
    let inside = netns(107, None, vec![]);
    let other = netns(108, None, vec![]);
    let mut facts = Facts {
        before: HashMap::from([(inside.identity, vec![sandbox])]),
        ..facts(vec![], vec![inside, other])
    };
    let names = |facts: &Facts| -> Vec<String> {
        let netnses = Topology::new(facts).netnses;
        netnses
            .iter()
            .skip(1)
            .map(|netns| netns.name.clone())
            .collect()
    };
    assert_eq!(names(&facts), ["netns:108", "shop/web-1"]);
    // What its runtime says by now counts more.
    facts.containers = vec![by_process("web", Some(107))];
    assert_eq!(names(&facts), ["netns:108", "web"]);
    // Of the same inode, but another.
    facts.containers.clear();
    facts.netnses[1].identity = Identity::Inode(NetnsInode(107), Some(5));
    assert_eq!(names(&facts), ["netns:107", "netns:108"]);
}

#[test]
fn pods_in_the_hosts_network_stand_with_the_host_once_each() {
    let topology = Topology::new(&Facts {
        containers: vec![
            in_pod("kube-system/agent", "app", "s1"),
            Container {
                init: Some(Init { pid: 1, started: 1 }),
                ..sandbox("kube-system/agent", "s1", Network::Host)
            },
            // Its runtime has not cleaned up.
            sandbox("kube-system/stopped", "s2", Network::Host),
            by_process("lone", Some(1)),
        ],
        ..facts(vec![], vec![])
    });
    let [host] = &topology.netnses[..] else {
        panic!("{topology:?}");
    };
    assert_eq!((&*host.name, host.kind), ("host", Kind::Host));
    assert_eq!(host.containers.len(), 3);
    assert_eq!(host.container(), None);
    let guests: Vec<String> = host
        .guests()
        .iter()
        .map(|guest| guest.shown_as().0)
        .collect();
    assert_eq!(guests, ["kube-system/agent", "lone"]);
}

#[test]
fn the_host_is_called_host_whoever_shares_it() {
    let mut facts = facts(vec![link(1, "lo", "loopback")], vec![]);
    facts.netnses[0].paths = vec![
        PathBuf::from("/run/docker/netns/default"),
        PathBuf::from("/run/netns/mine"),
    ];
    facts.netnses[0].processes = vec![process(1, "init"), process(42, "sleep")];
    facts.containers = vec![
        container("host-net", "/var/run/docker/netns/default"),
        by_process("old-docker", Some(1)),
    ];
    let topology = Topology::new(&facts);
    let host = &topology.netnses[0];
    assert_eq!((&*host.name, host.kind), ("host", Kind::Host));
    assert_eq!(host.container(), None);
    assert_eq!(host.containers.len(), 2);
    assert_eq!(host.pids, [1, 42]);
}

#[test]
fn the_host_is_first_and_the_others_follow_by_name_then_inode() {
    let mut facts = facts(vec![], vec![]);
    for (inode, name) in [(5, "web"), (4, "host"), (3, "Db"), (9, "a"), (2, "web")] {
        facts.netnses.push(named(name, netns(inode, None, vec![])));
    }
    let topology = Topology::new(&facts);
    let order: Vec<(&str, Option<u32>)> = topology
        .netnses
        .iter()
        .map(|netns| (&*netns.name, netns.identity.inode().map(|inode| inode.0)))
        .collect();
    assert_eq!(
        order,
        [
            ("host", Some(1)),
            ("Db", Some(3)),
            ("a", Some(9)),
            ("host", Some(4)),
            ("web", Some(2)),
            ("web", Some(5)),
        ]
    );
    assert_eq!(topology.netnses[3].kind, Kind::Named);
}

#[test]
fn what_the_facts_say_is_carried_over() {
    let inside = NetnsFacts {
        identity: Identity::Inode(NetnsInode(107), Some(77)),
        processes: vec![process(42, "sleep"), process(43, "nc")],
        ..named("a", netns(0, Some(7), vec![]))
    };
    let topology = Topology::new(&Facts {
        warnings: vec!["odd".to_owned()],
        ..facts(vec![], vec![inside])
    });
    let a = &topology.netnses[1];
    assert_eq!(a.identity, Identity::Inode(NetnsInode(107), Some(77)));
    assert_eq!(a.nsid, Some(Nsid(7)));
    assert_eq!(a.paths, [PathBuf::from("/run/netns/a")]);
    assert_eq!(a.pids, [42, 43]);
    assert_eq!(topology.warnings, ["odd"]);
}

#[test]
fn no_facts_give_no_graph() {
    assert_eq!(Topology::new(&Facts::default()), Topology::default());
}

#[test]
fn a_parent_in_a_third_namespace_is_not_called_the_hosts() {
    let child = named(
        "a",
        netns(107, Some(7), vec![linked(2, "mv0", "macvlan", 4, 8)]),
    );
    let parent = named("b", netns(108, Some(8), vec![link(4, "eth4", "device")]));
    let facts = facts(vec![link(4, "ens3", "device")], vec![child, parent]);
    check_why(&facts, "a", "mv0", "macvlan: it has no host end");
}
