//! The demo's traffic: each netns runs its half of the flows in [`FLOWS`].

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::lab::Member;

/// Nobody watches a demo for longer; a forgotten one should go quiet.
const LIMIT: Duration = Duration::from_hours(1);

/// How often a sender wakes: 40 Mbit/s are then some eight packets at a time.
const TICK: Duration = Duration::from_millis(2);

/// What a sender makes up for at most after the machine stood still, so that it does not
/// flood. More than one burst.
const MAX_BACKLOG: u64 = 250;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    UdpOverIpv6,
    Tcp,
}

#[derive(Clone, Copy)]
enum Pace {
    BitsPerSecond(u64),
    Bursts { every: Duration, sends: u64 },
}

/// One flow of the demo. Ports differ, so each netns can bind all of its own.
#[derive(Clone, Copy)]
struct Flow {
    from: Member,
    to: Member,
    transport: Transport,
    port: u16,
    /// Bytes of payload per send
    size: usize,
    pace: Pace,
}

const FLOWS: [Flow; 4] = [
    Flow {
        from: Member::Red,
        to: Member::Blue,
        transport: Transport::Udp,
        port: 5004,
        size: 1200,
        pace: Pace::BitsPerSecond(40_000_000),
    },
    Flow {
        from: Member::Blue,
        to: Member::Green,
        transport: Transport::Tcp,
        port: 8080,
        size: 4000,
        pace: Pace::BitsPerSecond(8_000_000),
    },
    Flow {
        from: Member::Green,
        to: Member::Red,
        transport: Transport::UdpOverIpv6,
        port: 5683,
        size: 100,
        pace: Pace::BitsPerSecond(1_000_000),
    },
    Flow {
        from: Member::Red,
        to: Member::Green,
        transport: Transport::Udp,
        port: 5140,
        size: 1000,
        pace: Pace::Bursts {
            every: Duration::from_secs(3),
            sends: 200,
        },
    },
];

/// Runs the flows that `member` sends or receives, until stdin ends.
pub(crate) fn run(member: Member) -> Result<()> {
    for flow in FLOWS {
        if flow.to == member {
            spawn(move || flow.receive());
        }
        if flow.from == member {
            spawn(move || flow.send());
        }
    }
    thread::spawn(|| {
        thread::sleep(LIMIT);
        process::exit(0);
    });
    // The holder of the lab has the other end and never writes to it.
    io::copy(&mut io::stdin(), &mut io::sink()).context("wait for the end of stdin")?;
    Ok(())
}

/// Runs `work` on a thread, again when it fails: its other end may not be up yet.
fn spawn(work: impl Fn() -> io::Result<()> + Send + 'static) {
    thread::spawn(move || {
        loop {
            if let Err(err) = work() {
                eprintln!("traffic: {err}");
            }
            thread::sleep(Duration::from_millis(200));
        }
    });
}

impl Flow {
    fn send(&self) -> io::Result<()> {
        match self.transport {
            Transport::Tcp => {
                let mut stream = TcpStream::connect(self.destination())?;
                self.pace_out(|payload| stream.write_all(payload))
            }
            Transport::Udp | Transport::UdpOverIpv6 => {
                let socket = UdpSocket::bind(self.any(0))?;
                socket.connect(self.destination())?;
                self.pace_out(|payload| socket.send(payload).map(drop))
            }
        }
    }

    fn receive(&self) -> io::Result<()> {
        if self.transport == Transport::Tcp {
            let listener = TcpListener::bind(self.any(self.port))?;
            loop {
                io::copy(&mut listener.accept()?.0, &mut io::sink())?;
            }
        }
        let socket = UdpSocket::bind(self.any(self.port))?;
        let mut buffer = [0; 2048];
        loop {
            socket.recv(&mut buffer)?;
        }
    }

    fn destination(&self) -> SocketAddr {
        match self.transport {
            Transport::UdpOverIpv6 => (self.to.ipv6(), self.port).into(),
            Transport::Udp | Transport::Tcp => (self.to.ipv4(), self.port).into(),
        }
    }

    fn any(&self, port: u16) -> SocketAddr {
        match self.transport {
            Transport::UdpOverIpv6 => (Ipv6Addr::UNSPECIFIED, port).into(),
            Transport::Udp | Transport::Tcp => (Ipv4Addr::UNSPECIFIED, port).into(),
        }
    }

    fn pace_out(&self, mut send: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let payload = vec![b'.'; self.size];
        let start = Instant::now();
        let mut done = 0;
        loop {
            let due = self.due(start.elapsed());
            done = due.saturating_sub(MAX_BACKLOG).max(done);
            while done < due {
                send(&payload)?;
                done += 1;
            }
            thread::sleep(TICK);
        }
    }

    /// How many sends there should have been after `elapsed`.
    fn due(&self, elapsed: Duration) -> u64 {
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        match self.pace {
            Pace::BitsPerSecond(rate) => ms.saturating_mul(rate) / 8000 / self.size as u64,
            Pace::Bursts { every, sends } => (elapsed.as_secs() / every.as_secs() + 1) * sends,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, FLOWS, MAX_BACKLOG, Pace};

    #[test]
    fn steady_flow_keeps_its_rate() {
        let [red_to_blue, ..] = FLOWS;
        assert_eq!(red_to_blue.due(Duration::ZERO), 0);
        let sends = red_to_blue.due(Duration::from_mins(1));
        assert_eq!(sends * 1200 * 8 / 60, 40_000_000);
    }

    #[test]
    fn bursts_come_at_once_and_then_in_turn() {
        let [.., bursts] = FLOWS;
        assert_eq!(bursts.due(Duration::ZERO), 200);
        assert_eq!(bursts.due(Duration::from_millis(2999)), 200);
        assert_eq!(bursts.due(Duration::from_secs(3)), 400);
    }

    #[test]
    fn whole_burst_fits_the_backlog() {
        for flow in FLOWS {
            if let Pace::Bursts { sends, .. } = flow.pace {
                assert!(sends <= MAX_BACKLOG);
            }
        }
    }

    #[test]
    fn ports_differ_so_that_all_can_be_bound() {
        let ports: std::collections::BTreeSet<_> = FLOWS.iter().map(|f| f.port).collect();
        assert_eq!(ports.len(), FLOWS.len());
    }
}
