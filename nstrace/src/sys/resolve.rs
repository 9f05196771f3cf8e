//! Names of addresses, as the system's resolver tells them.

use std::{ffi::CStr, net::IpAddr};

use nix::sys::socket::{SockaddrIn, SockaddrIn6, SockaddrLike};

/// The name of an address; `None` where nobody knows one. Asks whoever `/etc/nsswitch.conf` names,
/// so perhaps the network, for seconds.
#[must_use]
#[doc(alias = "getnameinfo")]
pub fn name_of(address: IpAddr) -> Option<String> {
    match address {
        IpAddr::V4(v4) => ask(&SockaddrIn::from(std::net::SocketAddrV4::new(v4, 0))),
        IpAddr::V6(v6) => ask(&SockaddrIn6::from(std::net::SocketAddrV6::new(v6, 0, 0, 0))),
    }
}

fn ask(address: &impl SockaddrLike) -> Option<String> {
    /// `NI_MAXHOST` of `netdb.h`.
    const LONGEST: usize = 1025;

    let mut name = [0; LONGEST];
    // SAFETY: an address of the length it says, a buffer of the length said, and no room for a
    // service.
    let result = unsafe {
        libc::getnameinfo(
            address.as_ptr(),
            address.len(),
            name.as_mut_ptr(),
            libc::socklen_t::try_from(LONGEST).unwrap_or(0),
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if result != 0 {
        return None;
    }
    let name = name.map(libc::c_char::cast_unsigned);
    let name = CStr::from_bytes_until_nul(&name).ok()?;
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_a_name() {
        assert!(name_of(IpAddr::from([127, 0, 0, 1])).is_some());
    }
}
