//! Packet bytes of an skb.

use core::hint::assert_unchecked;

use aya_ebpf::{
    EbpfContext as _, bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes,
    programs::TcContext,
};
use nstrace_ebpf::parse::{Copied, Head, PacketBytes};

/// The context of a tc program, as the parser and the counters see it.
pub(crate) struct Skb<'a>(pub(crate) &'a TcContext);

/// Fields of `__sk_buff`, each a load from the skb after the verifier has rewritten it.
macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        impl Skb<'_> {
            $(
                $(#[$doc])*
                #[inline(always)]
                pub(crate) fn $name(&self) -> u32 {
                    // SAFETY: the kernel hands every tc program a valid `__sk_buff`.
                    unsafe { (*self.raw()).$name }
                }
            )*
        }
    };
}

fields! {
    /// Index of the device whose hook this is.
    ifindex;
    /// `skb->len`: link-layer header included, a tag in the metadata not.
    len;
    /// Payload bytes of each segment of a super-packet but the last; 0 for an ordinary packet.
    /// Since 5.7.
    gso_size;
    /// Number of its segments; 0 also where nobody has counted them.
    gso_segs;
}

impl Skb<'_> {
    #[inline(always)]
    fn raw(&self) -> *const __sk_buff {
        self.0.as_ptr().cast::<__sk_buff>().cast_const()
    }
}

impl PacketBytes for Skb<'_> {
    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<Head<'_, N>> {
        let start = self.0.data();
        if start + N > self.0.data_end() {
            return None;
        }
        // Or `None` would be told by a comparison of the pointer with 0, which the verifier forbids
        // without CAP_PERFMON.
        // SAFETY: packets do not lie there.
        unsafe { assert_unchecked(start != 0) };
        // SAFETY: just checked against the end of the linear part.
        Some(Head::new(unsafe { &*(start as *const [u8; N]) }))
    }

    #[inline(always)]
    fn copy<const N: usize>(&self, offset: usize, into: &mut Copied) -> bool {
        let into: &mut [u8; N] = into.first_mut();
        // SAFETY: the helper writes `N` bytes, from paged data too, or fails.
        let result = unsafe {
            bpf_skb_load_bytes(
                self.0.as_ptr().cast(),
                offset as u32,
                into.as_mut_ptr().cast(),
                N as u32,
            )
        };
        result == 0
    }
}

/// An skb with room for what shall be forgotten: a map's value, of which the verifier knows nothing.
pub(crate) struct ForgetfulSkb<'a> {
    pub(crate) skb: Skb<'a>,
    pub(crate) room: *mut [u64; 8],
}

impl PacketBytes for ForgetfulSkb<'_> {
    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<Head<'_, N>> {
        self.skb.head()
    }

    #[inline(always)]
    fn copy<const N: usize>(&self, offset: usize, into: &mut Copied) -> bool {
        self.skb.copy::<N>(offset, into)
    }

    #[inline(always)]
    fn forget<const PLACE: usize>(&self, value: u64) -> u64 {
        const { assert!(PLACE < 8) };
        // SAFETY: an element of a valid array, which only this CPU writes.
        let place = unsafe { &raw mut (*self.room)[PLACE] };
        // SAFETY: as above.
        unsafe { place.write_volatile(value) };
        // SAFETY: as above.
        unsafe { place.read_volatile() }
    }
}
