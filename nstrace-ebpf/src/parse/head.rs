//! Bytes at offsets that are known when the program is compiled.

use core::mem::MaybeUninit;

/// The first `N` bytes of a packet, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a, const N: usize>(&'a [u8; N]);

impl<'a, const N: usize> Head<'a, N> {
    /// Of bytes that are all there.
    #[inline(always)]
    #[must_use]
    pub const fn new(bytes: &'a [u8; N]) -> Self {
        Self(bytes)
    }
}

/// Room for a copy of any one header. Aligned, so that words are loaded whole.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Copied([u8; Copied::LEN]);

impl Copied {
    /// The longest header that is read: IPv6.
    pub const LEN: usize = 40;

    /// Zeroes, where they stand and word by word: a memset is a loop over the stack, which the
    /// verifier forbids without `CAP_PERFMON`.
    #[inline(always)]
    pub fn zeroed(room: &mut MaybeUninit<Self>) -> &mut Self {
        const { assert!(Self::LEN.is_multiple_of(size_of::<u64>())) };
        let words = room.as_mut_ptr().cast::<u64>();
        let mut word = 0;
        while word < Self::LEN / size_of::<u64>() {
            // SAFETY: within it, and aligned.
            let place = unsafe { words.add(word) };
            // SAFETY: as above.
            unsafe { place.write_volatile(0) };
            word += 1;
        }
        // SAFETY: every byte was written.
        unsafe { room.assume_init_mut() }
    }

    /// The first `N` bytes, to be written.
    #[inline(always)]
    pub const fn first_mut<const N: usize>(&mut self) -> &mut [u8; N] {
        const { assert!(N <= Self::LEN) };
        let Some(first) = self.0.first_chunk_mut() else {
            unreachable!()
        };
        first
    }
}

/// Words of `Head` in native order. The compiler takes a packet's bytes for unaligned, and would
/// load and shift them one by one; the eBPF machine loads any word whole (the verifier refuses it
/// on architectures that cannot).
macro_rules! head_words {
    ($($name:ident $word:ty, $width:literal;)*) => {
        impl<const N: usize> Head<'_, N> {
            $(
                /// The word at `AT`, in native order.
                #[inline(always)]
                #[must_use]
                pub fn $name<const AT: usize>(&self) -> $word {
                    const { assert!(AT + size_of::<$word>() <= N) };
                    #[cfg(target_arch = "bpf")]
                    {
                        let value: u64;
                        // SAFETY: a load from within the array, as just asserted.
                        unsafe {
                            core::arch::asm!(
                                concat!("{value} = *(", $width, " *)({start} + {at})"),
                                value = out(reg) value,
                                start = in(reg) self.0.as_ptr(),
                                at = const AT,
                                options(pure, readonly, nostack),
                            );
                        }
                        value as $word
                    }
                    #[cfg(not(target_arch = "bpf"))]
                    {
                        let mut word = [0; size_of::<$word>()];
                        word.copy_from_slice(&self.0[AT..AT + size_of::<$word>()]);
                        <$word>::from_ne_bytes(word)
                    }
                }
            )*
        }
    };
}

head_words! {
    u8 u8, "u8";
    u16 u16, "u16";
    u32 u32, "u32";
    u64 u64, "u64";
}

macro_rules! copied_words {
    ($($name:ident $word:ty;)*) => {
        impl Copied {
            $(
                /// The word at `AT`, in native order.
                #[inline(always)]
                #[must_use]
                pub fn $name<const AT: usize>(&self) -> $word {
                    const { assert!(AT + size_of::<$word>() <= Self::LEN) };
                    let Some(word) = self.0[AT..].first_chunk() else {
                        unreachable!()
                    };
                    <$word>::from_ne_bytes(*word)
                }
            )*
        }
    };
}

copied_words! {
    u8 u8;
    u16 u16;
    u32 u32;
    u64 u64;
}

impl Copied {
    /// The big-endian word at `AT`.
    #[inline(always)]
    #[must_use]
    pub fn be16<const AT: usize>(&self) -> u16 {
        u16::from_be(self.u16::<AT>())
    }
}
