//! What words mean, on a small graph.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::topology::model::{
    Container, Identity, Iface, Ifindex, Link, Nsid, Peer, Runtime, Topology,
};

#[track_caller]
fn check_parse(word: &str, expected: Target) {
    assert_eq!(word.parse(), Ok(expected));
}

#[track_caller]
fn check_refused(word: &str, what: &str) {
    let error = word.parse::<Target>().expect_err("it is no TARGET");
    assert_eq!(error.to_string(), format!("`{word}`: {what}"));
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text)
}

fn name(text: &str) -> Target {
    Target::Name(pattern(text))
}

#[test]
fn each_form_is_parsed() {
    check_parse("web", name("web"));
    check_parse("", name(""));
    check_parse("12", name("12"));
    check_parse("netns:blue", Target::Netns("blue".to_owned()));
    check_parse(
        "netns:/run/netns/blue",
        Target::Netns("/run/netns/blue".to_owned()),
    );
    check_parse("netns:a:b", Target::Netns("a:b".to_owned()));
    check_parse("inode:4026532200", Target::Inode(NetnsInode(4_026_532_200)));
    check_parse("pid:12", Target::Pid(12));
    check_parse("if:veth1a2b3c", Target::HostVeth("veth1a2b3c".to_owned()));
    check_parse("shop/web-1", name("shop/web-1"));
    check_parse("shop/*", name("shop/*"));
    // No pattern, but it may be a name.
    check_parse("evil[31m", Target::Name(Pattern::exact("evil[31m")));
    check_parse(
        "pod/web-1",
        Target::Pod {
            namespace: None,
            name: pattern("web-1"),
        },
    );
    check_parse(
        "pod/shop/web-?",
        Target::Pod {
            namespace: Some(pattern("shop")),
            name: pattern("web-?"),
        },
    );
    check_parse("ctr/app", Target::Container(pattern("app")));
    check_parse("docker:web", Target::Of(Runtime::Docker, pattern("web")));
    check_parse("cri-o:web", Target::Of(Runtime::Crio, pattern("web")));
    let address = "2001:db8::7".parse().expect("an address");
    check_parse("ip:2001:db8::7", Target::Ip(address));
}

#[test]
fn a_process_as_it_is_listed_means_itself() {
    check_parse("pid:12(sleep)", Target::Pid(12));
    check_parse("pid:12(a (b):c)", Target::Pid(12));
    check_parse("pid:12(", Target::Pid(12));
}

#[test]
fn an_unknown_prefix_is_part_of_a_name() {
    check_parse("nsid:7", name("nsid:7"));
    check_parse("k8s:web", name("k8s:web"));
    check_parse("PID:12", name("PID:12"));
}

#[test]
fn a_bad_number_is_refused_with_the_word() {
    check_refused("pid:", " is not a number");
    check_refused("pid:x", "x is not a number");
    check_refused("pid:-1", "-1 is not a number");
    check_refused("pid:(sleep)", " is not a number");
    check_refused("pid:12 ", "12  is not a number");
    check_refused("inode:12(sleep)", "12(sleep) is not a number");
    check_refused("inode:4294967296", "4294967296 is not a number");
    check_refused("pid:4294967296", "4294967296 is not a number");
    check_refused("ip:192.0.2", "192.0.2 is not an address");
}

fn netns(name: &str, kind: Kind, identity: Identity) -> Netns {
    Netns {
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

fn of_inode(name: &str, kind: Kind, inode: u32) -> Netns {
    netns(name, kind, Identity::Inode(NetnsInode(inode), None))
}

fn named(name: &str, inode: u32) -> Netns {
    Netns {
        paths: vec![PathBuf::from("/run/netns").join(name)],
        ..of_inode(name, Kind::Named, inode)
    }
}

fn container(name: &str, id: &str, inode: u32) -> Netns {
    Netns {
        containers: vec![Container {
            image: "busybox:latest".to_owned(),
            init: None,
            inode: Some(NetnsInode(inode)),
            ..Container::new(Runtime::Docker, id.to_owned(), name.to_owned())
        }],
        paths: vec![PathBuf::from("/run/docker/netns").join(&id[..12])],
        ..of_inode(name, Kind::Container, inode)
    }
}

fn iface(peer: &str, watch: Watch) -> Iface {
    Iface {
        link: Link {
            link_nsid: Some(Nsid(0)),
            ..Link::sample(2, "eth0", "veth")
        },
        peer: Some(Peer {
            name: peer.to_owned(),
            ifindex: Ifindex(13),
            master: None,
        }),
        watch,
    }
}

const WEB: &str = "abcd1234567800000000000000000000";
const DB: &str = "abcd1234999900000000000000000000";
const CACHE: &str = "beef0000111122223333444455556666";

/// Namespaces with inodes 1 to 8; in the order of a graph.
fn topology() -> Topology {
    let no = || Watch::No("the host's end of a veth pair".to_owned());
    let host = Netns {
        pids: vec![1, 900],
        // The host's end has a peer, too, whose name is not that of a host veth.
        interfaces: vec![iface("eth0", no())],
        ..of_inode("host", Kind::Host, 1)
    };
    // Called like the start of a container's id.
    let prefix = named("abcd1234", 2);
    let blue = Netns {
        pids: vec![40, 41],
        interfaces: vec![iface("veth-blue", Watch::HostVeth)],
        ..named("blue", 3)
    };
    let cache = container("cache", CACHE, 4);
    let db = container("db", DB, 5);
    let sleep = Netns {
        pids: vec![12],
        ..of_inode("pid:12(sleep)", Kind::Process, 6)
    };
    let unnamed = of_inode("netns:7", Kind::Unnamed, 7);
    let by_nsid = netns("nsid:3", Kind::Unnamed, Identity::Nsid(Nsid(3)));
    let web = container("web", WEB, 8);
    let netnses = [host, prefix, blue, cache, db, by_nsid, sleep, unnamed, web];
    Topology {
        netnses: netnses.into_iter().map(Arc::new).collect(),
        warnings: Vec::new(),
    }
}

fn target(word: &str) -> Target {
    word.parse().expect("the word is a TARGET")
}

/// The one namespace that a TARGET means.
fn one<'a>(target: &Target, topology: &'a Topology) -> Result<&'a Arc<Netns>, ResolveError> {
    let selection = Selection::from(vec![target.clone()]);
    selection.one(topology)
}

#[track_caller]
fn check_resolves(word: &str, name: &str) {
    let topology = topology();
    let found = one(&target(word), &topology).map(|netns| &*netns.name);
    assert_eq!(found, Ok(name), "{word}");
}

#[track_caller]
fn check_no_match(word: &str) {
    let target = target(word);
    assert_eq!(
        one(&target, &topology()).map(|_| ()),
        Err(ResolveError::NoMatch(word.to_owned())),
        "{word}"
    );
}

#[test]
fn each_name_as_listed_means_its_namespace() {
    for netns in &topology().netnses {
        check_resolves(&netns.name, &netns.name);
    }
}

#[test]
fn a_namespace_is_found_by_file_inode_process_and_host_veth() {
    check_resolves("netns:blue", "blue");
    check_resolves("netns:/run/netns/blue", "blue");
    check_resolves("netns:/var/run/netns/blue", "blue");
    check_resolves("netns:/var/run/docker/netns/abcd12345678", "web");
    check_resolves("netns:abcd12345678", "web");
    check_resolves("netns:7", "netns:7");
    check_resolves("inode:7", "netns:7");
    check_resolves("pid:41", "blue");
    check_resolves("pid:900", "host");
    check_resolves("if:veth-blue", "blue");
}

#[test]
fn what_nothing_matches_is_said() {
    check_no_match("nobody");
    check_no_match("Web");
    check_no_match("we");
    check_no_match("");
    check_no_match("netns:");
    check_no_match("netns:/netns/blue");
    check_no_match("netns:/var/run/netns/");
    check_no_match("netns:run/netns/blue");
    check_no_match("netns:/run/netns");
    check_no_match("inode:99");
    check_no_match("pid:99");
    // A peer inside, not a veth of the host.
    check_no_match("if:eth0");
    let error = one(&target("pid:99"), &topology())
        .map(|_| ())
        .expect_err("no match");
    assert_eq!(error.to_string(), "no network namespace matches `pid:99`");
}

#[test]
fn the_start_of_a_containers_id_is_enough_from_four_characters_on() {
    check_no_match("bee");
    check_resolves("beef", "cache");
    check_resolves(CACHE, "cache");
    check_resolves("abcd12349", "db");
    check_no_match("eef0");
    check_no_match("BEEF");
}

#[test]
fn a_name_counts_before_the_start_of_an_id() {
    check_resolves("abcd1234", "abcd1234");
    assert!(matches!(
        one(&target("abcd123"), &topology()),
        Err(ResolveError::Ambiguous { .. })
    ));
}

/// That `word` is ambiguous, and that the first word of each candidate is not.
#[track_caller]
fn check_ambiguous(topology: &Topology, word: &str, names: &[&str], message: &str) {
    let error = one(&target(word), topology).expect_err("it is ambiguous");
    assert_eq!(error.to_string(), message);
    let ResolveError::Ambiguous { candidates, .. } = error else {
        panic!("not ambiguous: {error}");
    };
    let found: Vec<&str> = candidates
        .iter()
        .map(|candidate| {
            let word = candidate.split(' ').next().unwrap_or_default();
            let netns = one(&target(word), topology);
            &*netns.expect("a candidate means one namespace").name
        })
        .collect();
    assert_eq!(found, names);
}

#[test]
fn candidates_are_listed_by_words_that_are_not_ambiguous() {
    let mut topology = topology();
    check_ambiguous(
        &topology,
        "abcd123",
        &["db", "web"],
        "`abcd123` is ambiguous: db, web",
    );
    topology.netnses.push(Arc::new(named("web", 11)));
    topology.netnses.push(Arc::new(named("web", 12)));
    check_ambiguous(
        &topology,
        "web",
        &["web", "web", "web"],
        "`web` is ambiguous: abcd12345678 (container web), inode:11 (named web), \
         inode:12 (named web)",
    );
    // Two directories, one file name.
    let twin = Netns {
        paths: vec![PathBuf::from("/run/docker/netns/blue")],
        ..of_inode("pid:50(nc)", Kind::Process, 13)
    };
    topology.netnses.push(Arc::new(twin));
    check_ambiguous(
        &topology,
        "netns:blue",
        &["blue", "pid:50(nc)"],
        "`netns:blue` is ambiguous: blue, inode:13 (process pid:50(nc))",
    );
}

#[track_caller]
fn check_select(words: &[&str], names: &[&str]) {
    let topology = topology();
    let targets: Vec<Target> = words.iter().map(|word| target(word)).collect();
    let found = Selection::from(targets)
        .resolve(&topology)
        .expect("each means one namespace");
    let found: Vec<&str> = found.iter().map(|netns| &*netns.name).collect();
    assert_eq!(found, names);
}

#[test]
fn a_selection_keeps_the_graphs_order_and_drops_repeats() {
    check_select(&["web", "blue"], &["blue", "web"]);
    check_select(
        &["web", "inode:3", "blue", "beef", "web"],
        &["blue", "cache", "web"],
    );
    check_select(&["if:veth-blue", "pid:40", "netns:blue"], &["blue"]);
}

#[test]
fn no_target_selects_everything() {
    let topology = topology();
    let all = Selection::default()
        .resolve(&topology)
        .expect("nothing to resolve");
    assert_eq!(all.len(), topology.netnses.len());
}

#[test]
fn the_first_target_that_fails_fails_the_selection() {
    let targets = ["blue", "pid:99", "abcd123"].map(target);
    assert_eq!(
        Selection::from(targets.to_vec()).resolve(&topology()),
        Err(ResolveError::NoMatch("pid:99".to_owned()))
    );
}

#[track_caller]
fn check_round_trip(word: &str) -> Result<(), TestCaseError> {
    if let Ok(target) = word.parse::<Target>() {
        prop_assert_eq!(target.to_string().parse(), Ok(target));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_word_parses_to_what_it_is_written_as_or_is_refused(word in any::<String>()) {
        check_round_trip(&word)?;
    }

    #[test]
    fn any_word_with_a_known_prefix_too(
        word in "(netns|inode|pid|if|nsid|ip|docker|pod/|ctr/|):?[0-9]{0,11}\\(?\\PC{0,8}"
    ) {
        check_round_trip(&word)?;
    }

    #[test]
    fn any_target_resolves_or_says_why_not(word in "(netns:|inode:|pid:|if:|ip:|pod/|ctr/|docker:)?\\PC{0,8}") {
        if let Ok(target) = word.parse::<Target>() {
            let topology = topology();
            match one(&target, &topology) {
                Ok(netns) => prop_assert!(topology.netnses.contains(netns)),
                Err(error) => prop_assert!(error.to_string().contains(&target.to_string())),
            }
        }
    }
}
