//! Hook (the device's view) and direction (the watched netns's view).

/// A tc point, seen from the host's end of the veth pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Packets that arrive on the host veth.
    Ingress,
    /// Packets that leave through the host veth.
    Egress,
}

/// Which way a packet goes, seen from the netns that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Direction {
    /// Into the netns.
    Rx = 0,
    /// Out of the netns.
    Tx = 1,
}

/// Number of directions: length of the arrays that are indexed by [`Direction`].
pub const DIRECTIONS: usize = 2;

impl Direction {
    /// The direction of what is seen at `hook`: the only place where the two meet.
    ///
    /// What arrives on the host's end of a veth pair was sent by the netns at the other end.
    #[must_use]
    pub const fn of(hook: Hook) -> Self {
        match hook {
            Hook::Ingress => Self::Tx,
            Hook::Egress => Self::Rx,
        }
    }
}
