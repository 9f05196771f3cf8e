//! Packet bytes of an skb.

use aya_ebpf::{EbpfContext as _, bindings::__sk_buff, programs::TcContext};
use nstrace_ebpf::parse::PacketBytes;

/// The context of a tc program, as the parser and the counters see it.
pub(crate) struct Skb<'a>(pub(crate) &'a TcContext);

impl Skb<'_> {
    fn raw(&self) -> *const __sk_buff {
        self.0.as_ptr().cast::<__sk_buff>().cast_const()
    }

    /// Index of the device whose hook this is.
    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        // SAFETY: the kernel hands every tc program a valid `__sk_buff`.
        unsafe { (*self.raw()).ifindex }
    }

    /// `skb->len`: link-layer header included, a tag in the metadata not.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.0.len()
    }

    /// A `T` from the linear part, or, where it ends before that, by the helper that reads
    /// paged data too.
    #[inline(always)]
    fn fixed<T: Copy, const OFFSET: usize>(&self) -> Option<T> {
        let start = self.0.data() + OFFSET;
        if start + size_of::<T>() <= self.0.data_end() {
            // SAFETY: just checked against the end of the linear part; eBPF reads need no
            // alignment.
            return Some(unsafe { (start as *const T).read_unaligned() });
        }
        self.0.load(OFFSET).ok()
    }
}

impl PacketBytes for Skb<'_> {
    #[inline(always)]
    fn u8_at(&self, offset: usize) -> Option<u8> {
        self.0.load(offset).ok()
    }

    #[inline(always)]
    fn be16_at(&self, offset: usize) -> Option<u16> {
        self.0.load(offset).ok().map(u16::from_be)
    }

    #[inline(always)]
    fn fixed_u8<const OFFSET: usize>(&self) -> Option<u8> {
        self.fixed::<u8, OFFSET>()
    }

    #[inline(always)]
    fn fixed_be16<const OFFSET: usize>(&self) -> Option<u16> {
        self.fixed::<u16, OFFSET>().map(u16::from_be)
    }
}
