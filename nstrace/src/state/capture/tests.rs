//! Topologies in; which interfaces a capture has out.

use super::*;
use crate::{
    state::tests::{netns, topology},
    topology::model::{Container, Ifindex, Runtime},
};

fn scope(targets: &[&str], follows: bool) -> Scope {
    Scope {
        selection: targets
            .iter()
            .map(|target| target.parse().expect("a TARGET"))
            .collect::<Vec<_>>()
            .into(),
        follows,
        filter: Some("arp".to_owned()),
        snaplen: 96,
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn names_of(new: &[NewIface]) -> Vec<&str> {
    new.iter().map(|new| new.iface.name.as_str()).collect()
}

#[test]
fn what_is_there_from_the_start_has_not_appeared() {
    let mut state = CaptureState::new(scope(&[], true));
    let host = || topology(vec![netns("web", 7, 13), netns("db", 8, 14)]);
    let new = state.follow(&host(), at(1));
    assert_eq!(names_of(&new), ["web/eth0", "db/eth0"]);
    assert!(new.iter().all(|new| new.appeared.is_none()));
    assert_eq!(state.follow(&host(), at(2)), []);
    assert_eq!(state.len(), 2);
}

#[test]
fn only_targets_are_captured_also_when_they_come_later() {
    let mut state = CaptureState::new(scope(&["web"], true));
    assert_eq!(state.follow(&topology(vec![netns("db", 8, 14)]), at(1)), []);
    let new = state.follow(
        &topology(vec![netns("db", 8, 14), netns("web", 7, 13)]),
        at(3),
    );
    assert_eq!(names_of(&new), ["web/eth0"]);
    assert_eq!(new[0].appeared, Some(at(3)));
    let wanted: Vec<Ifindex> = state.wanted().map(|(key, _)| key.ifindex).collect();
    assert_eq!(wanted, [Ifindex(13)]);
}

#[test]
fn who_does_not_follow_takes_nothing_in_and_sees_what_goes() {
    let mut state = CaptureState::new(scope(&[], false));
    state.follow(&topology(vec![netns("web", 7, 13)]), at(0));
    let new = state.follow(
        &topology(vec![netns("web", 7, 13), netns("db", 8, 14)]),
        at(1),
    );
    assert_eq!((new, state.len()), (vec![], 1));
    state.follow(&topology(vec![netns("db", 8, 14)]), at(2));
    assert!(state.is_empty());
}

#[test]
fn another_interface_with_the_same_ifindex_is_another() {
    let mut state = CaptureState::new(scope(&[], true));
    let first = state.follow(&topology(vec![netns("web", 7, 13)]), at(0));
    let second = state.follow(&topology(vec![netns("web", 9, 13)]), at(1));
    assert_eq!(first[0].key.ifindex, second[0].key.ifindex);
    assert_ne!(first[0].key, second[0].key);
    assert_eq!(state.len(), 1);
}

#[test]
fn an_interface_is_described_with_all_that_tells_it_from_others() {
    let mut web = netns("web", 7, 13);
    web.containers = vec![Container {
        image: "nginx:1".to_owned(),
        init: None,
        inode: None,
        ..Container::new(
            Runtime::Docker,
            "0123456789abcdef".to_owned(),
            "web".to_owned(),
        )
    }];
    let link = &mut web.interfaces[0].link;
    link.mac = Some("02:00:00:00:00:0a".to_owned());
    link.addresses = vec!["192.0.2.10/24".to_owned(), "fe80::1/64".to_owned()];
    let topology = topology(vec![netns("host", 1, 2), web]);
    let mut state = CaptureState::new(scope(&["web"], true));
    let new = state.follow(&topology, at(0));
    let iface = &new[0].iface;
    assert_eq!(iface.netns, "web");
    assert_eq!(
        iface.description,
        "netns web, docker container 0123456789ab, image nginx:1, inode 7, host veth veth13"
    );
    assert_eq!(iface.mac, Some([2, 0, 0, 0, 0, 10]));
    assert_eq!(iface.addresses.len(), 2);
    assert_eq!(iface.filter.as_deref(), Some("arp"));
    assert_eq!(iface.snaplen, 96);
    // Every namespace has a link-local address; it names none.
    let address = "192.0.2.10".parse().expect("an address");
    assert_eq!(names(&topology), [(address, "web".to_owned())]);
}
