//! Hooks the two programs to one interface, and takes them off again.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use nstrace_ebpf::wire::Hook;

use super::object::Programs;
use crate::{
    state::Mechanism,
    sys::{
        bpf,
        netlink::{NetlinkError, RouteSocket},
        tc::{Filter, Owner},
    },
    topology::model::Ifindex,
};

/// An interface could not be attached to.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel refused a TCX link.
    #[error("attach to the TCX {hook:?} hook")]
    Tcx {
        /// Which hook.
        hook: Hook,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel has no TCX, and the user insists on it.
    #[error("Linux {} has no TCX", crate::sys::kernel_release())]
    NoTcx,
    /// The kernel refused the qdisc or a filter.
    #[error("attach by clsact")]
    Clsact(#[from] NetlinkError),
    /// We could not say who we are.
    #[error("identify our own process")]
    Own(#[source] io::Error),
}

impl AttachError {
    fn errno(&self) -> Option<i32> {
        match self {
            Self::Tcx { source, .. } => source.raw_os_error(),
            Self::Clsact(error) => error.refused_with(),
            Self::NoTcx | Self::Own(_) => None,
        }
    }

    /// What to do about it, where a feature of the kernel is missing.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        const NO_TCX: &str = "it came with Linux 6.6; without --mechanism, clsact is used instead";
        matches!(self, Self::NoTcx).then_some(NO_TCX)
    }

    /// Whether the device is gone: deletion won the race, which is normal.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.errno() == Some(libc_errno::ENODEV)
    }
}

/// Error numbers of all Linux architectures (`asm-generic/errno-base.h`).
mod libc_errno {
    pub(super) const ENODEV: i32 = 19;
    pub(super) const EINVAL: i32 = 22;
}

/// Two programs on one interface.
#[derive(Debug)]
pub struct Attachment(Hooks);

#[derive(Debug)]
enum Hooks {
    Tcx {
        ingress: OwnedFd,
        egress: OwnedFd,
        ifindex: Ifindex,
    },
    Clsact {
        ingress: Filter,
        egress: Filter,
    },
}

/// Whether the kernel has TCX: it then looks for the device, and no device has index 0; without
/// TCX it does not get so far.
fn has_tcx(programs: &Programs) -> bool {
    let tried = bpf::attach_tcx(programs.ingress.as_fd(), Ifindex(0), Hook::Ingress);
    tried.is_err_and(|error| error.raw_os_error() != Some(libc_errno::EINVAL))
}

/// Attaches and detaches, in the namespace it was opened in.
#[derive(Debug)]
pub struct Attacher {
    programs: Programs,
    socket: RouteSocket,
    owner: Owner,
    mechanism: Mechanism,
}

impl Attacher {
    /// Opens what attaching needs. `insisted` forces a mechanism; otherwise it is TCX where the
    /// kernel has it, and clsact where not.
    ///
    /// # Errors
    ///
    /// [`AttachError::NoTcx`] where that is what is insisted on; if no netlink socket can be made.
    pub fn open(programs: Programs, insisted: Option<Mechanism>) -> Result<Self, AttachError> {
        let owner = Owner::own().map_err(AttachError::Own)?;
        let mechanism = match insisted {
            Some(Mechanism::Clsact) => Mechanism::Clsact,
            _ if has_tcx(&programs) => Mechanism::Tcx,
            Some(Mechanism::Tcx) => return Err(AttachError::NoTcx),
            None => Mechanism::Clsact,
        };
        Ok(Self {
            programs,
            socket: RouteSocket::open()?,
            owner,
            mechanism,
        })
    }

    /// Removes filters of nstraces that were killed. Devices without a clsact qdisc have none.
    ///
    /// # Errors
    ///
    /// If the qdiscs cannot be listed.
    pub fn remove_stale(&mut self) -> Result<usize, AttachError> {
        let mut removed = 0;
        for ifindex in self.socket.devices_with_clsact()? {
            for hook in [Hook::Ingress, Hook::Egress] {
                // A device that goes meanwhile takes its filters along.
                let filters = self.socket.own_filters(ifindex, hook).unwrap_or_default();
                for (filter, owner) in filters {
                    if owner.is_dead() {
                        self.socket.delete_filter(filter)?;
                        removed += 1;
                    }
                }
            }
        }
        Ok(removed)
    }

    /// Attaches both programs, or neither.
    ///
    /// # Errors
    ///
    /// [`AttachError::is_gone`] where the device is; otherwise as the kernel says.
    pub fn attach(&mut self, ifindex: Ifindex) -> Result<(Attachment, Mechanism), AttachError> {
        match self.mechanism {
            Mechanism::Tcx => self.attach_tcx(ifindex),
            Mechanism::Clsact => self.attach_clsact(ifindex),
        }
    }

    fn attach_tcx(&self, ifindex: Ifindex) -> Result<(Attachment, Mechanism), AttachError> {
        let attach = |program: &OwnedFd, hook| {
            bpf::attach_tcx(program.as_fd(), ifindex, hook)
                .map_err(|source| AttachError::Tcx { hook, source })
        };
        let ingress = attach(&self.programs.ingress, Hook::Ingress)?;
        let egress = attach(&self.programs.egress, Hook::Egress)?;
        Ok((
            Attachment(Hooks::Tcx {
                ingress,
                egress,
                ifindex,
            }),
            Mechanism::Tcx,
        ))
    }

    fn attach_clsact(&mut self, ifindex: Ifindex) -> Result<(Attachment, Mechanism), AttachError> {
        let Self {
            programs,
            socket,
            owner,
            ..
        } = self;
        socket.ensure_clsact(ifindex)?;
        let ingress =
            socket.add_filter(ifindex, Hook::Ingress, programs.ingress.as_fd(), *owner)?;
        match socket.add_filter(ifindex, Hook::Egress, programs.egress.as_fd(), *owner) {
            Ok(egress) => Ok((
                Attachment(Hooks::Clsact { ingress, egress }),
                Mechanism::Clsact,
            )),
            Err(error) => {
                socket.delete_filter(ingress)?;
                Err(error.into())
            }
        }
    }

    /// Whether each change waits for an RCU grace period: so it is with TCX.
    #[must_use]
    pub fn waits_for_grace_periods(&self) -> bool {
        self.mechanism == Mechanism::Tcx
    }

    /// Whether the device with this index has this link-layer address: whether it is the one that
    /// was meant, and not one that has got its index since.
    pub fn is_meant(&mut self, ifindex: Ifindex, mac: Option<&str>) -> bool {
        let link = self.socket.link(ifindex);
        // No answer is no proof of another.
        link.map_or(true, |link| {
            link.is_none_or(|link| link.mac.as_deref() == mac)
        })
    }

    /// Whether both programs are still attached: the device may be gone, or somebody may have
    /// removed our filters.
    pub fn is_alive(&mut self, attachment: &Attachment) -> bool {
        match &attachment.0 {
            Hooks::Tcx {
                ingress,
                egress,
                ifindex,
            } => [ingress, egress]
                .iter()
                .all(|link| bpf::is_tcx_link_alive(link.as_fd(), *ifindex).unwrap_or(true)),
            Hooks::Clsact { ingress, egress } => [*ingress, *egress].into_iter().all(|filter| {
                let filters = self.socket.own_filters(filter.ifindex, filter.hook);
                match filters {
                    Ok(filters) => filters.contains(&(filter, self.owner)),
                    // Only "no such device" is an answer; anything else leaves it open.
                    Err(error) => !matches!(
                        error.refused_with(),
                        Some(libc_errno::ENODEV | libc_errno::EINVAL)
                    ),
                }
            }),
        }
    }

    /// Takes both programs off, and says how they were on. What is off already is no error.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "dropping it is what detaches it, with TCX"
    )]
    pub fn detach(&mut self, attachment: Attachment) -> Mechanism {
        match attachment.0 {
            // Closing the descriptors is the whole of it.
            Hooks::Tcx { .. } => Mechanism::Tcx,
            Hooks::Clsact { ingress, egress } => {
                for filter in [ingress, egress] {
                    if let Err(error) = self.socket.delete_filter(filter) {
                        tracing::error!(%error, ?filter, "a filter of ours stays");
                    }
                }
                Mechanism::Clsact
            }
        }
    }
}
