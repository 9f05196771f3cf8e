//! Programs that are attached nowhere: loaded and run, by bpf(2) by hand. Fuzzing has them too, so
//! nothing else of the tests is needed here.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use nstrace::sys::bpf::lift_memlock_limit;

pub(crate) const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;

/// `union bpf_attr`, large enough for every command here: fields are set by their offset.
#[repr(C, align(8))]
pub(crate) struct Attributes([u8; 128]);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self([0; 128])
    }

    pub(crate) fn bytes(mut self, offset: usize, value: &[u8]) -> Self {
        self.0[offset..offset + value.len()].copy_from_slice(value);
        self
    }

    pub(crate) fn u32(self, offset: usize, value: u32) -> Self {
        self.bytes(offset, &value.to_ne_bytes())
    }

    pub(crate) fn pointer<T: ?Sized>(self, offset: usize, value: *const T) -> Self {
        let address = value.cast::<u8>() as u64;
        self.bytes(offset, &address.to_ne_bytes())
    }

    pub(crate) fn call(&mut self, command: libc::c_long) -> io::Result<libc::c_long> {
        // SAFETY: the attributes are as long as said; what they point to outlives the call.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), self.0.len()) };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(result)
        }
    }

    /// A `u32` that the kernel has written.
    pub(crate) fn get_u32(&self, offset: usize) -> u32 {
        u32::from_ne_bytes(self.0[offset..offset + 4].try_into().unwrap())
    }

    /// For a command that gives a descriptor.
    pub(crate) fn try_make(mut self, command: libc::c_long) -> io::Result<OwnedFd> {
        let fd = i32::try_from(self.call(command)?).unwrap();
        // SAFETY: a descriptor that was just made for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(crate) fn make(self, command: libc::c_long) -> OwnedFd {
        self.try_make(command).unwrap()
    }
}

/// `struct __sk_buff`, as a test run takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SkBuff([u32; 48]);

impl SkBuff {
    /// Of a packet by itself, on the loopback device.
    pub(crate) fn single() -> Self {
        Self([0; 48])
    }

    /// Of a super-packet.
    pub(crate) fn segmented(segments: u32, payload_of_each: u32) -> Self {
        let mut skb = Self::single();
        // `gso_segs` and `gso_size`.
        skb.0[164 / 4] = segments;
        skb.0[176 / 4] = payload_of_each;
        skb
    }

    /// The same with a field, by its offset.
    pub(crate) fn with(mut self, offset: usize, value: u32) -> Self {
        self.0[offset / 4] = value;
        self
    }

    /// The same on another device of the calling thread's namespace.
    pub(crate) fn on(mut self, ifindex: u32) -> Self {
        self.0[40 / 4] = ifindex;
        self
    }
}

/// Loads a tc program; where the verifier refuses it, the end of what it says.
pub(crate) fn load_classifier(instructions: &[[u8; 8]]) -> Result<OwnedFd, String> {
    const SCHED_CLS: u32 = 3;
    const LOG: usize = 16 << 20;
    const SHOWN: usize = 2000;

    lift_memlock_limit();
    let attributes = || {
        Attributes::new()
            .u32(0, SCHED_CLS)
            .u32(4, u32::try_from(instructions.len()).unwrap())
            .pointer(8, instructions.as_ptr())
            .pointer(16, c"Dual MIT/GPL".as_ptr())
    };
    attributes().try_make(PROG_LOAD).map_err(|error| {
        // Only now, since a log makes loading slow.
        let mut log = vec![0; LOG];
        let again = attributes()
            .u32(24, 1)
            .u32(28, u32::try_from(LOG).unwrap())
            .pointer(32, log.as_mut_ptr())
            .try_make(PROG_LOAD);
        let log: Vec<u8> = log.into_iter().take_while(|byte| *byte != 0).collect();
        let end = String::from_utf8_lossy(&log[log.len().saturating_sub(SHOWN)..]).into_owned();
        format!("{error} ({again:?}):\n{end}")
    })
}

/// Runs a tc program `repeat` times on one packet, on the calling thread. The packet, as the
/// program leaves it, is written to `after`, if that is not empty; its length must be the packet's.
/// Gives what the program returned last.
#[doc(alias = "BPF_PROG_TEST_RUN")]
pub(crate) fn test_run(
    program: BorrowedFd<'_>,
    packet: &[u8],
    context: &SkBuff,
    repeat: u32,
    after: &mut [u8],
) -> io::Result<i32> {
    let length = |of: usize| u32::try_from(of).unwrap();
    let mut attributes = Attributes::new()
        .u32(0, u32::try_from(program.as_raw_fd()).unwrap())
        .u32(8, length(packet.len()))
        .pointer(16, packet.as_ptr())
        .u32(32, repeat)
        .u32(40, length(size_of::<SkBuff>()))
        .pointer(48, std::ptr::from_ref(context));
    if !after.is_empty() {
        attributes = attributes
            .u32(12, length(after.len()))
            .pointer(24, after.as_mut_ptr());
    }
    attributes.call(PROG_TEST_RUN)?;
    assert!(
        after.is_empty() || attributes.get_u32(12) == length(after.len()),
        "the packet's length is what it was"
    );
    Ok(attributes.get_u32(4).cast_signed())
}
