//! Where the sequence numbers of connections begin, so that later ones are printed relative.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

/// So many connections are known; the one that came first makes room for another.
pub(super) const CAPACITY: usize = 4096;

/// One connection on one interface, the same for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    iface: usize,
    low: (u16, IpAddr),
    high: (u16, IpAddr),
}

/// The first sequence numbers of both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    low: u32,
    high: u32,
}

/// What a segment's numbers are relative to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Base {
    /// Its sequence numbers.
    pub(super) seq: u32,
    /// What it acknowledges.
    pub(super) ack: u32,
    /// What it acknowledges selectively, even in the packet that is absolute itself.
    pub(super) sack: u32,
}

/// One end of a connection.
pub(super) type End = (u16, IpAddr);

/// The connections that were seen.
#[derive(Debug, Default)]
pub(super) struct Connections {
    origins: HashMap<Key, Origin>,
    /// In the order in which they came.
    order: VecDeque<Key>,
}

impl Connections {
    /// What the numbers of a segment with ACK are relative to: nothing if it is a connection's
    /// first, which is remembered.
    pub(super) fn base(
        &mut self,
        iface: usize,
        ends: [End; 2],
        numbers: [u32; 2],
        syn: bool,
    ) -> Base {
        let [source, destination] = ends;
        let is_from_high = source > destination;
        let (low, high) = if is_from_high {
            (destination, source)
        } else {
            (source, destination)
        };
        let key = Key { iface, low, high };
        let [seq, ack] = numbers;
        // The acknowledged SYN or the byte before is the other end's first.
        let (own, other) = (seq, ack.wrapping_sub(1));
        let first = if is_from_high {
            Origin {
                low: other,
                high: own,
            }
        } else {
            Origin {
                low: own,
                high: other,
            }
        };
        let known = self.origins.get(&key).copied().filter(|_| !syn);
        let origin = known.unwrap_or(first);
        if known.is_none() {
            self.remember(key, first);
        }
        let (own, other) = if is_from_high {
            (origin.high, origin.low)
        } else {
            (origin.low, origin.high)
        };
        match known {
            Some(_) => Base {
                seq: own,
                ack: other,
                sack: other,
            },
            None => Base {
                seq: 0,
                ack: 0,
                sack: other,
            },
        }
    }

    fn remember(&mut self, key: Key, origin: Origin) {
        if self.origins.insert(key, origin).is_some() {
            return;
        }
        if self.order.len() >= CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.origins.remove(&oldest);
        }
        self.order.push_back(key);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ends(port: u16) -> [End; 2] {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        [(port, address), (80, address)]
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_goes() {
        let mut connections = Connections::default();
        let absolute = Base {
            seq: 0,
            ack: 0,
            sack: 49,
        };
        for port in 1000..=1000 + u16::try_from(CAPACITY).expect("a small number") {
            let base = connections.base(0, ends(port), [100, 50], false);
            assert_eq!(base, absolute);
        }
        assert_eq!(connections.origins.len(), CAPACITY);
        assert_eq!(connections.order.len(), CAPACITY);
        let kept = connections.base(0, ends(1001), [107, 57], false);
        assert_eq!(
            kept,
            Base {
                seq: 100,
                ack: 49,
                sack: 49
            }
        );
        assert_eq!(connections.base(0, ends(1000), [100, 50], false), absolute);
    }

    #[test]
    fn both_directions_are_one_connection_and_interfaces_are_apart() {
        let mut connections = Connections::default();
        let [client, server] = ends(40_000);
        connections.base(0, [client, server], [100, 50], false);
        let back = connections.base(0, [server, client], [50, 107], false);
        assert_eq!(
            back,
            Base {
                seq: 49,
                ack: 100,
                sack: 100
            }
        );
        let elsewhere = connections.base(1, [server, client], [50, 107], false);
        assert_eq!((elsewhere.seq, elsewhere.ack), (0, 0));
    }
}
