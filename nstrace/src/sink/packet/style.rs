//! What is printed of a packet.

use std::net::IpAddr;

/// What is printed of a packet, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option that is given or not"
)]
pub struct Style {
    /// The link-layer header too (`-e`).
    pub link: bool,
    /// How much of the headers: 0 to 3 (`-v`).
    pub verbose: u8,
    /// Less of the headers (`-q`).
    pub quiet: bool,
    /// The bytes below the line.
    pub hex: Hex,
    /// The bytes as ASCII below the line, without the link-layer header (`--ascii`).
    pub ascii: bool,
    /// The time at the line's start.
    pub time: TimeStyle,
    /// The netns before the time.
    pub prefix: bool,
}

/// Which bytes are printed in hex and ASCII below a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hex {
    /// None.
    #[default]
    None,
    /// Those after the link-layer header (`-X`).
    Network,
    /// All (`-XX`).
    Link,
}

/// How the time of a packet is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeStyle {
    /// Time of day.
    #[default]
    Clock,
    /// Not at all (`-t`).
    None,
    /// Seconds since 1970 (`-tt`).
    Epoch,
    /// Since the packet before (`-ttt`).
    Delta,
    /// Date and time of day (`-tttt`).
    Date,
    /// Since the first packet (`-ttttt`).
    Elapsed,
}

impl TimeStyle {
    /// What so many `-t` ask for.
    #[must_use]
    pub const fn from_count(count: u8) -> Self {
        match count {
            0 => Self::Clock,
            1 => Self::None,
            2 => Self::Epoch,
            3 => Self::Delta,
            4 => Self::Date,
            _ => Self::Elapsed,
        }
    }
}

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Where names of addresses and ports come from. What it returns is untrusted.
pub trait Names {
    /// The name of an address.
    fn host(&mut self, address: IpAddr) -> Option<String>;
    /// The name of a port.
    fn port(&mut self, port: u16, proto: Proto) -> Option<String>;
}

/// No names, only numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {
    fn host(&mut self, _: IpAddr) -> Option<String> {
        None
    }

    fn port(&mut self, _: u16, _: Proto) -> Option<String> {
        None
    }
}
