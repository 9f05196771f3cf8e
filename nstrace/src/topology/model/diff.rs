//! What has changed from one graph to the next.

use std::{collections::HashMap, sync::Arc};

use super::{Identity, Netns};

/// What has become of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was there when this began.
    Present,
    /// It is new.
    Added,
    /// Something of it is otherwise: a name, a container, an interface, an address.
    Changed,
    /// It is gone.
    Removed,
}

impl Change {
    /// Its name in all output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// What is otherwise in `after`: what is gone first, then what is new or has changed in its order.
#[must_use]
pub fn changes(before: &[Arc<Netns>], after: &[Arc<Netns>]) -> Vec<(Change, Arc<Netns>)> {
    let by_identity = |netnses: &[Arc<Netns>]| -> HashMap<Identity, Arc<Netns>> {
        let netnses = netnses.iter();
        netnses
            .map(|netns| (netns.identity, Arc::clone(netns)))
            .collect()
    };
    let (old, new) = (by_identity(before), by_identity(after));
    let gone = before
        .iter()
        .filter(|netns| !new.contains_key(&netns.identity))
        .map(|netns| (Change::Removed, Arc::clone(netns)));
    let come = after.iter().filter_map(|netns| {
        let change = match old.get(&netns.identity) {
            None => Change::Added,
            Some(known) if known == netns => return None,
            Some(_) => Change::Changed,
        };
        Some((change, Arc::clone(netns)))
    });
    gone.chain(come).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::{Kind, NetnsInode};

    fn netns(inode: u32, name: &str) -> Arc<Netns> {
        let identity = Identity::Inode(NetnsInode(inode), None);
        Arc::new(Netns::sample(name, Kind::Named, identity))
    }

    #[test]
    fn what_goes_comes_before_what_takes_its_place() {
        let before = [netns(1, "host"), netns(2, "a"), netns(3, "b")];
        let after = [netns(1, "host"), netns(3, "c"), netns(4, "a")];
        let told: Vec<(Change, String)> = changes(&before, &after)
            .into_iter()
            .map(|(change, netns)| (change, netns.name.clone()))
            .collect();
        assert_eq!(
            told,
            [
                (Change::Removed, "a".to_owned()),
                (Change::Changed, "c".to_owned()),
                (Change::Added, "a".to_owned()),
            ]
        );
        assert_eq!(changes(&after, &after), []);
    }
}
