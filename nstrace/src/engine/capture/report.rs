//! What became of a capture: the summary on stderr.

use std::{fmt, time::Duration};

use crate::{packet::CaptureCounts, untrusted::escape};

/// How long an interface waited to be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Since when: since it appeared, or, where it was there before, since the capture began.
    pub is_new: bool,
    /// How long.
    pub after: Duration,
}

impl fmt::Display for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.after.as_secs_f64() * 1000.0;
        let since = if self.is_new {
            "it appeared"
        } else {
            "the capture began"
        };
        write!(f, "attached {millis:.1} ms after {since}")
    }
}

/// One interface of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfaceReport {
    /// `NETNS/IFNAME`. Untrusted.
    pub name: String,
    /// What became of its packets.
    pub counts: CaptureCounts,
    /// How soon it was attached.
    pub attached: Option<Attached>,
}

/// A whole capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its interfaces, in the order of the file.
    pub ifaces: Vec<IfaceReport>,
    /// Records that made no sense; never any, if nothing is broken.
    pub unreadable: u64,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Packets that matched, and of which nobody knows what became: never any, if nothing is broken.
    #[must_use]
    pub fn unaccounted(&self) -> u64 {
        let counts = self.ifaces.iter().map(|iface| iface.counts);
        counts
            .map(|of| {
                of.matched
                    .abs_diff(of.captured + of.lost_ring + of.lost_disk)
            })
            .sum()
    }

    /// Of all interfaces together.
    #[must_use]
    pub fn total(&self) -> CaptureCounts {
        let mut total = CaptureCounts::default();
        for CaptureCounts {
            matched,
            captured,
            lost_ring,
            lost_disk,
        } in self.ifaces.iter().map(|iface| iface.counts)
        {
            total.matched += matched;
            total.captured += captured;
            total.lost_ring += lost_ring;
            total.lost_disk += lost_disk;
        }
        total
    }
}

/// As tcpdump says it, then by interface.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CaptureCounts {
            matched,
            captured,
            lost_ring,
            lost_disk,
        } = self.total();
        writeln!(f, "{} captured", packets(captured))?;
        writeln!(f, "{} matched by filter", packets(matched))?;
        writeln!(f, "{} dropped by ring", packets(lost_ring))?;
        writeln!(f, "{} dropped by disk", packets(lost_disk))?;
        if self.unaccounted() > 0 {
            writeln!(f, "{} unaccounted for", packets(self.unaccounted()))?;
        }
        if self.unreadable > 0 {
            writeln!(f, "{} unreadable", packets(self.unreadable))?;
        }
        for IfaceReport {
            name,
            counts,
            attached,
        } in &self.ifaces
        {
            write!(f, "{}: ", escape(name))?;
            if self.ifaces.len() > 1 {
                let CaptureCounts {
                    matched,
                    captured,
                    lost_ring,
                    lost_disk,
                } = counts;
                write!(
                    f,
                    "{captured} captured, {matched} matched, {lost_ring} dropped by ring, \
                     {lost_disk} by disk; "
                )?;
            }
            match attached {
                Some(attached) => writeln!(f, "{attached}")?,
                None => writeln!(f, "never attached")?,
            }
        }
        Ok(())
    }
}

fn packets(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} packet{plural}")
}
