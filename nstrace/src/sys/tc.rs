//! The clsact qdisc and its bpf filters, by netlink: the way to attach before TCX (6.6).
//!
//! A filter of ours is known by all of: the priority [`PRIORITY`], a handle that starts with
//! [`HANDLE_PREFIX`], and a name that says which process made it. Only such a filter is ever
//! deleted. A clsact qdisc is made where there is none and never deleted, not even ours: another's
//! filters may have come to it meanwhile, and would go with it.

use std::{
    fmt, io,
    os::fd::{AsRawFd as _, BorrowedFd},
    str::FromStr,
};

use nstrace_ebpf::wire::Hook;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        tc::{
            TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
        },
    },
};

use super::{
    netlink::{NetlinkError, RouteSocket},
    proc,
};
use crate::topology::model::Ifindex;

/// Our filters' priority: far behind Cilium's 1, so that nobody's order is disturbed.
pub const PRIORITY: u16 = 50_000;
/// Upper half of our filters' handles: "NS". The lower half is free, so that several nstraces can
/// watch one interface.
pub const HANDLE_PREFIX: u16 = 0x4e53;
/// A handle that is taken belongs to another nstrace; the next one is tried, this many times.
const HANDLE_ATTEMPTS: u16 = 64;

const ETH_P_ALL: u16 = 3;
const CLSACT: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0xfff1,
};
const CLSACT_HANDLE: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0,
};

/// Who made a filter: a process that can still be recognised when its id is another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pid_namespace: u64,
    pid: u32,
    started: u64,
}

impl Owner {
    /// This process.
    ///
    /// # Errors
    ///
    /// If `/proc` is not mounted.
    pub fn own() -> io::Result<Self> {
        let pid = std::process::id();
        proc::own_pid_namespace()
            .zip(proc::start_time(pid))
            .map(|(pid_namespace, started)| Self {
                pid_namespace,
                pid,
                started,
            })
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "/proc/self is not readable"))
    }

    /// Whether the process has ended. One of another PID namespace cannot be seen from here, and
    /// is taken to live.
    #[must_use]
    pub fn is_dead(self) -> bool {
        Some(self.pid_namespace) == proc::own_pid_namespace()
            && proc::is_dead(self.pid, self.started)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "nstrace:{}:{}:{}",
            self.pid_namespace, self.pid, self.started
        )
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let mut parts = name.strip_prefix("nstrace:").ok_or(())?.split(':');
        let mut next = || parts.next().and_then(|part| part.parse().ok()).ok_or(());
        let owner = Self {
            pid_namespace: next()?,
            pid: u32::try_from(next()?).map_err(|_too_large| ())?,
            started: next()?,
        };
        if parts.next().is_some() {
            Err(())
        } else {
            Ok(owner)
        }
    }
}

/// A filter of ours, wherever it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The device.
    pub ifindex: Ifindex,
    /// Its hook.
    pub hook: Hook,
    handle: TcHandle,
}

pub(super) const fn parent(hook: Hook) -> TcHandle {
    let minor = match hook {
        Hook::Ingress => 0xfff2,
        Hook::Egress => 0xfff3,
    };
    TcHandle {
        major: 0xffff,
        minor,
    }
}

/// `tcm_info`: the priority in the upper half, the protocol in network order in the lower.
const fn info() -> u32 {
    ((PRIORITY as u32) << 16) | ETH_P_ALL.to_be() as u32
}

fn message(ifindex: Ifindex, parent: TcHandle, handle: TcHandle) -> TcMessage {
    let mut message = TcMessage::with_index(ifindex.0.cast_signed());
    message.header.parent = parent;
    message.header.handle = handle;
    message
}

impl RouteSocket {
    /// Sees to it that the device has a clsact qdisc.
    ///
    /// # Errors
    ///
    /// `EEXIST` where there is an `ingress` qdisc instead, which has no egress hook and is not
    /// ours to replace; `ENODEV` where the device is gone.
    #[doc(alias = "RTM_NEWQDISC")]
    pub fn ensure_clsact(&mut self, ifindex: Ifindex) -> Result<(), NetlinkError> {
        const REQUEST: &str = "add a clsact qdisc";
        let mut qdisc = message(ifindex, CLSACT, CLSACT_HANDLE);
        qdisc
            .attributes
            .push(TcAttribute::Kind("clsact".to_owned()));
        let qdisc = RouteNetlinkMessage::NewQueueDiscipline(qdisc);
        match self.request(REQUEST, qdisc, NLM_F_CREATE | NLM_F_EXCL) {
            Ok(_) => Ok(()),
            Err(error) if error.refused_with() == Some(libc::EEXIST) => {
                if self.has_clsact(ifindex)? {
                    return Ok(());
                }
                let why = "the device has an ingress qdisc of somebody else, not clsact";
                let source = io::Error::new(io::ErrorKind::AlreadyExists, why);
                Err(NetlinkError::Refused {
                    request: REQUEST,
                    source,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether what stands at the place of a clsact qdisc is one.
    fn has_clsact(&mut self, ifindex: Ifindex) -> Result<bool, NetlinkError> {
        let get = message(ifindex, CLSACT, TcHandle::default());
        let get = RouteNetlinkMessage::GetQueueDiscipline(get);
        let answers = self.request("look up a qdisc", get, NLM_F_ECHO)?;
        match answers.first() {
            Some(answer) => Ok(clsact_of(answer) == Some(ifindex)),
            // A kernel that answers to nobody in particular.
            None => Ok(self.devices_with_clsact()?.contains(&ifindex)),
        }
    }

    /// Every device of the namespace that has a clsact qdisc.
    ///
    /// # Errors
    ///
    /// If the dump fails.
    pub fn devices_with_clsact(&mut self) -> Result<Vec<Ifindex>, NetlinkError> {
        let dump = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let answers = self.dump("list qdiscs", &dump)?;
        Ok(answers.iter().filter_map(clsact_of).collect())
    }

    /// Adds a direct-action filter, beside whatever is there.
    ///
    /// # Errors
    ///
    /// `ENODEV` or `EINVAL` where the device or its clsact is gone; `ENOENT` where the kernel
    /// lacks `cls_bpf`.
    #[doc(alias = "RTM_NEWTFILTER")]
    pub fn add_filter(
        &mut self,
        ifindex: Ifindex,
        hook: Hook,
        program: BorrowedFd<'_>,
        owner: Owner,
    ) -> Result<Filter, NetlinkError> {
        let fd = u32::try_from(program.as_raw_fd()).unwrap_or_default();
        // Handle 0 would let the kernel choose, and then be unknown to us.
        let first = (owner.pid & 0xffff) as u16;
        let mut attempt = 0;
        loop {
            let minor = first.wrapping_add(attempt);
            let handle = TcHandle {
                major: HANDLE_PREFIX,
                minor,
            };
            let mut filter = message(ifindex, parent(hook), handle);
            filter.header.info = info();
            filter
                .attributes
                .push(TcAttribute::Kind(TcFilterBpf::KIND.to_owned()));
            filter.attributes.push(TcAttribute::Options(vec![
                TcOption::Bpf(TcFilterBpfOption::ProgFd(fd)),
                TcOption::Bpf(TcFilterBpfOption::ProgName(owner.to_string())),
                TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
            ]));
            let filter = RouteNetlinkMessage::NewTrafficFilter(filter);
            match self.request("add a bpf filter", filter, NLM_F_CREATE | NLM_F_EXCL) {
                Ok(_) => {
                    return Ok(Filter {
                        ifindex,
                        hook,
                        handle,
                    });
                }
                Err(error)
                    if error.refused_with() == Some(libc::EEXIST) && attempt < HANDLE_ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The filters of nstraces on a hook, with who made each.
    ///
    /// # Errors
    ///
    /// If the device is gone.
    #[doc(alias = "RTM_GETTFILTER")]
    pub fn own_filters(
        &mut self,
        ifindex: Ifindex,
        hook: Hook,
    ) -> Result<Vec<(Filter, Owner)>, NetlinkError> {
        let dump = message(ifindex, parent(hook), TcHandle::default());
        let answers = self.dump("list filters", &RouteNetlinkMessage::GetTrafficFilter(dump))?;
        Ok(answers
            .iter()
            .filter_map(|answer| {
                let RouteNetlinkMessage::NewTrafficFilter(filter) = answer else {
                    return None;
                };
                let handle = filter.header.handle;
                let is_ours = handle.major == HANDLE_PREFIX
                    && filter.header.info == info()
                    && filter.header.index == ifindex.0.cast_signed();
                let owner = filter
                    .attributes
                    .iter()
                    .find_map(owner_of)
                    .filter(|_| is_ours)?;
                Some((
                    Filter {
                        ifindex,
                        hook,
                        handle,
                    },
                    owner,
                ))
            })
            .collect())
    }

    /// Deletes a filter of ours. One that is gone, or whose device is, is no error.
    ///
    /// # Errors
    ///
    /// If the kernel refuses for another reason.
    #[doc(alias = "RTM_DELTFILTER")]
    pub fn delete_filter(&mut self, filter: Filter) -> Result<(), NetlinkError> {
        let mut gone = message(filter.ifindex, parent(filter.hook), filter.handle);
        gone.header.info = info();
        gone.attributes
            .push(TcAttribute::Kind(TcFilterBpf::KIND.to_owned()));
        match self.request(
            "delete a bpf filter",
            RouteNetlinkMessage::DelTrafficFilter(gone),
            0,
        ) {
            Ok(_) => Ok(()),
            // No such filter, no such device, no such qdisc.
            Err(error)
                if matches!(
                    error.refused_with(),
                    Some(libc::ENOENT | libc::ENODEV | libc::EINVAL)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// The device of a clsact qdisc.
fn clsact_of(answer: &RouteNetlinkMessage) -> Option<Ifindex> {
    let RouteNetlinkMessage::NewQueueDiscipline(qdisc) = answer else {
        return None;
    };
    let is_clsact =
        |attribute: &TcAttribute| matches!(attribute, TcAttribute::Kind(kind) if kind == "clsact");
    let index = qdisc.header.index.cast_unsigned();
    qdisc
        .attributes
        .iter()
        .any(is_clsact)
        .then_some(Ifindex(index))
}

fn owner_of(attribute: &TcAttribute) -> Option<Owner> {
    let TcAttribute::Options(options) = attribute else {
        return None;
    };
    options.iter().find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => name.parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_survives_its_name() {
        let own = Owner::own().expect("/proc is there");
        assert_eq!(own.to_string().parse(), Ok(own));
        assert!(!own.is_dead());
    }

    #[test]
    fn a_process_with_a_reused_id_is_not_the_owner() {
        let own = Owner::own().expect("/proc is there");
        assert!(
            Owner {
                started: own.started - 1,
                ..own
            }
            .is_dead()
        );
    }

    #[test]
    fn a_process_of_another_pid_namespace_is_taken_to_live() {
        let own = Owner::own().expect("/proc is there");
        assert!(
            !Owner {
                pid_namespace: 1,
                started: 0,
                ..own
            }
            .is_dead()
        );
    }

    #[test]
    fn other_names_are_nobodys() {
        for name in [
            "cil_from_container",
            "nstrace",
            "nstrace:1:2",
            "nstrace:1:2:3:4",
            "nstrace:a:b:c",
        ] {
            assert_eq!(name.parse::<Owner>(), Err(()), "{name}");
        }
    }

    #[test]
    fn the_parents_are_clsacts_and_never_the_root() {
        assert_eq!(u32::from(parent(Hook::Ingress)), 0xffff_fff2);
        assert_eq!(u32::from(parent(Hook::Egress)), 0xffff_fff3);
        assert_eq!(u32::from(CLSACT), 0xffff_fff1);
        assert_eq!(info(), (50_000 << 16) | 0x0300);
    }
}
