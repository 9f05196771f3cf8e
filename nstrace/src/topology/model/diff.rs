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

/// `after`, in which a namespace of which nothing can be opened any more is what it was before: for a
/// moment before its veth goes, only the host's rtnetlink knows it.
#[must_use]
pub fn with_the_fading(before: &[Arc<Netns>], after: Vec<Arc<Netns>>) -> Vec<Arc<Netns>> {
    let as_it_was = |netns: Arc<Netns>| match netns.identity {
        Identity::Inode(..) => netns,
        Identity::Nsid(nsid) => {
            let known = before.iter().find(|known| known.nsid == Some(nsid));
            known.map_or(netns, Arc::clone)
        }
    };
    after.into_iter().map(as_it_was).collect()
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
            Some(known) if is_as_it_was(known, netns) => return None,
            Some(_) => Change::Changed,
        };
        Some((change, Arc::clone(netns)))
    });
    gone.chain(come).collect()
}

/// But for its processes: they come and go without being news.
fn is_as_it_was(before: &Arc<Netns>, after: &Arc<Netns>) -> bool {
    Arc::ptr_eq(before, after) || {
        let mut before = Netns::clone(before);
        before.pids.clone_from(&after.pids);
        before == **after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::{Kind, NetnsInode, Nsid};

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
        let mut forked = Netns::clone(&after[0]);
        forked.pids.push(4711);
        assert_eq!(changes(&after[..1], &[Arc::new(forked)]), []);
    }

    #[test]
    fn one_that_is_dying_is_what_it_was() {
        let known = |nsid| {
            let netns = Netns::clone(&netns(2, "a"));
            Arc::new(Netns {
                nsid: Some(Nsid(nsid)),
                ..netns
            })
        };
        let dying = Arc::new(Netns {
            nsid: Some(Nsid(7)),
            ..Netns::sample("nsid:7", Kind::Unnamed, Identity::Nsid(Nsid(7)))
        });
        let after = with_the_fading(&[known(7)], vec![Arc::clone(&dying)]);
        assert_eq!(after, [known(7)]);
        assert_eq!(
            with_the_fading(&[known(8)], vec![Arc::clone(&dying)]),
            [dying]
        );
    }
}
