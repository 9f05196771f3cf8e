//! libpcap, opened when a filter needs it: it compiles expressions, and decides on packets of a
//! file.
//!
//! Linked in, it would be needed to build nstrace and to start it; and its soname differs between
//! distributions. Only what is called here must be in it: anything since 1.5 has that.

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    ptr::NonNull,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{filter::classic::Instruction, packet::LinkType};

/// Debian's name, that of the others, and that of a development package.
const NAMES: [&str; 3] = ["libpcap.so.0.8", "libpcap.so.1", "libpcap.so"];

/// `PCAP_NETMASK_UNKNOWN`: what tcpdump says of a device without an address. `ip broadcast` is then
/// refused, where a guess would match the wrong packets.
const NO_NETMASK: u32 = u32::MAX;

/// An Ethernet device that every netns has.
const LOOPBACK: &CStr = c"lo";

/// For a handle that never gets a packet. The smallest that every version takes.
const NO_BUFFER: c_int = 64 << 10;

/// `PCAP_ERROR_PERM_DENIED`.
const DENIED: c_int = -8;

/// Before 1.8 the compiler kept its state in global variables; `bpf_image` has a static buffer
/// still.
static COMPILER: Mutex<()> = Mutex::new(());

/// What libpcap could not do.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// It is not installed.
    #[error("open libpcap, which compiles filters")]
    NotThere(#[source] libloading::Error),
    /// It is none, or older than 2013.
    #[error("find {name} in libpcap")]
    Symbol {
        /// What it lacks.
        name: &'static str,
        /// What the dynamic linker says.
        #[source]
        source: libloading::Error,
    },
    /// Out of memory, or a link type that it has no compiler for.
    #[error("get a handle of libpcap for link type {}", .0.0)]
    Handle(LinkType),
    /// The device's own code, for `vlan`, takes a live handle.
    #[error("compile a filter for VLAN tags: open {LOOPBACK:?} for capture: {reason}")]
    Live {
        /// What libpcap says.
        reason: String,
        /// Whether a privilege is missing.
        is_denied: bool,
    },
    /// It does not take the expression. In its own words.
    #[error("{0}")]
    Expression(String),
}

impl PcapError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotThere(_) | Self::Symbol { .. } => {
                Some("install it: apt install libpcap0.8, or dnf install libpcap")
            }
            Self::Live {
                is_denied: true, ..
            } => Some("run it as root, or with CAP_NET_RAW"),
            Self::Live { .. } => Some("the loopback device must be up: ip link set lo up"),
            Self::Handle(_) | Self::Expression(_) => None,
        }
    }
}

/// `struct bpf_program`.
#[repr(C)]
struct RawProgram {
    length: c_uint,
    instructions: *mut Instruction,
}

/// `struct pcap_pkthdr`.
#[repr(C)]
struct RawHeader {
    time: libc::timeval,
    captured: u32,
    length: u32,
}

/// `pcap_t`, which only libpcap looks into.
type Raw = c_void;

/// Declares [`Functions`], and how it is filled.
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// What is called in libpcap. Valid as long as the library beside it is open.
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            fn of(library: &libloading::Library) -> Result<Self, PcapError> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the type is the one that libpcap's headers declare.
                        let symbol = unsafe { library.get(stringify!($name)) };
                        let symbol: libloading::Symbol<'_, unsafe extern "C" fn($($argument),*) $(-> $result)?> =
                            symbol.map_err(|source| PcapError::Symbol {
                                name: stringify!($name),
                                source,
                            })?;
                        *symbol
                    },)*
                })
            }
        }
    };
}

functions! {
    pcap_open_dead: fn(c_int, c_int) -> *mut Raw;
    pcap_create: fn(*const c_char, *mut c_char) -> *mut Raw;
    pcap_set_snaplen: fn(*mut Raw, c_int) -> c_int;
    pcap_set_buffer_size: fn(*mut Raw, c_int) -> c_int;
    pcap_activate: fn(*mut Raw) -> c_int;
    pcap_statustostr: fn(c_int) -> *const c_char;
    pcap_compile: fn(*mut Raw, *mut RawProgram, *const c_char, c_int, u32) -> c_int;
    pcap_geterr: fn(*mut Raw) -> *const c_char;
    pcap_freecode: fn(*mut RawProgram);
    pcap_close: fn(*mut Raw);
    pcap_offline_filter: fn(*const RawProgram, *const RawHeader, *const u8) -> c_int;
    bpf_validate: fn(*const Instruction, c_int) -> c_int;
    bpf_image: fn(*const Instruction, c_int) -> *const c_char;
}

struct Inner {
    call: Functions,
    /// Keeps what `call` points to.
    _library: libloading::Library,
}

/// libpcap, opened.
#[derive(Clone)]
pub struct Library(Arc<Inner>);

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").finish_non_exhaustive()
    }
}

/// Which code an expression is compiled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// For packets that are bytes alone, as in a file.
    Bytes,
    /// For those of an Ethernet device: a VLAN tag is mostly in what Linux keeps beside the bytes.
    /// Takes the privilege to capture.
    #[doc(alias = "BPF_SPECIAL_VLAN_HANDLING")]
    Device,
}

impl Library {
    /// Opens the system's libpcap.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn open() -> Result<Self, PcapError> {
        let library = open_any().map_err(PcapError::NotThere)?;
        Ok(Self(Arc::new(Inner {
            call: Functions::of(&library)?,
            _library: library,
        })))
    }

    /// Compiles an expression of pcap-filter(7), optimized. Of what matches, the instructions
    /// return `snaplen`.
    ///
    /// libpcap reads `/etc/services` and its like for names of ports, protocols and networks, and
    /// asks the system's resolver, so perhaps the network, for names of hosts.
    ///
    /// # Errors
    ///
    /// [`PcapError::Expression`] if libpcap does not take it.
    pub fn compile(
        &self,
        link_type: LinkType,
        snaplen: u32,
        expression: &CStr,
        meaning: Meaning,
    ) -> Result<Vec<Instruction>, PcapError> {
        let lock = lock();
        let handle = match meaning {
            Meaning::Bytes => Handle::open_dead(&self.0.call, link_type, snaplen, &lock)?,
            Meaning::Device => Handle::open_live(&self.0.call, snaplen, &lock)?,
        };
        handle.compile(expression)
    }

    /// The instruction at `place`, as `tcpdump -d` shows it.
    #[must_use]
    #[doc(alias = "bpf_image")]
    pub fn image(&self, instruction: &Instruction, place: usize) -> String {
        let place = c_int::try_from(place).unwrap_or(c_int::MAX);
        let _lock = lock();
        // SAFETY: reads the one instruction, whatever it is.
        let text = unsafe { (self.0.call.bpf_image)(instruction, place) };
        text_of(text)
    }

    /// Makes a program of instructions; `None` where they could end elsewhere than at their end.
    #[must_use]
    #[doc(alias = "bpf_validate")]
    pub fn program(&self, instructions: Vec<Instruction>) -> Option<Program> {
        let length = c_int::try_from(instructions.len()).ok()?;
        // SAFETY: as many instructions as said.
        let is_valid = unsafe { (self.0.call.bpf_validate)(instructions.as_ptr(), length) };
        (is_valid != 0).then(|| Program {
            library: self.clone(),
            instructions,
        })
    }
}

/// A filter that libpcap itself runs.
#[derive(Clone, Debug)]
pub struct Program {
    library: Library,
    /// Only what `bpf_validate` takes.
    instructions: Vec<Instruction>,
}

impl Program {
    /// Whether a packet matches, of which `data` was captured.
    #[must_use]
    #[doc(alias = "pcap_offline_filter")]
    pub fn matches(&self, data: &[u8], orig_len: u32) -> bool {
        let program = RawProgram {
            // `bpf_validate` was given the length as an int.
            length: u32::try_from(self.instructions.len()).unwrap_or(0),
            instructions: self.instructions.as_ptr().cast_mut(),
        };
        let header = RawHeader {
            time: libc::timeval {
                tv_sec: 0,
                tv_usec: 0,
            },
            captured: u32::try_from(data.len()).unwrap_or(u32::MAX),
            length: orig_len,
        };
        let run = self.library.0.call.pcap_offline_filter;
        // SAFETY: valid instructions, which only read; `data` is at least as long as said.
        unsafe { run(&raw const program, &raw const header, data.as_ptr()) != 0 }
    }
}

/// A `pcap_t`, closed when dropped.
struct Handle<'a> {
    call: &'a Functions,
    raw: NonNull<Raw>,
    /// A handle lives within one compilation.
    _lock: &'a MutexGuard<'static, ()>,
}

impl<'a> Handle<'a> {
    fn new(call: &'a Functions, raw: *mut Raw, lock: &'a MutexGuard<'static, ()>) -> Option<Self> {
        let raw = NonNull::new(raw)?;
        Some(Self {
            call,
            raw,
            _lock: lock,
        })
    }

    fn open_dead(
        call: &'a Functions,
        link_type: LinkType,
        snaplen: u32,
        lock: &'a MutexGuard<'static, ()>,
    ) -> Result<Self, PcapError> {
        // SAFETY: makes something new out of two numbers.
        let raw = unsafe { (call.pcap_open_dead)(dlt(link_type), int(snaplen)) };
        Self::new(call, raw, lock).ok_or(PcapError::Handle(link_type))
    }

    /// It listens to the loopback device until it is closed, and nobody reads what it hears.
    fn open_live(
        call: &'a Functions,
        snaplen: u32,
        lock: &'a MutexGuard<'static, ()>,
    ) -> Result<Self, PcapError> {
        // `PCAP_ERRBUF_SIZE`.
        let mut error: [c_char; 256] = [0; 256];
        // SAFETY: a string and a buffer of the length it is documented to have.
        let raw = unsafe { (call.pcap_create)(LOOPBACK.as_ptr(), error.as_mut_ptr()) };
        let Some(handle) = Self::new(call, raw, lock) else {
            return Err(PcapError::Live {
                reason: text_of(error.as_ptr()),
                is_denied: false,
            });
        };
        let raw = handle.raw.as_ptr();
        // SAFETY: sets a number in a handle that is not active.
        unsafe { (call.pcap_set_snaplen)(raw, int(snaplen)) };
        // SAFETY: as above.
        unsafe { (call.pcap_set_buffer_size)(raw, NO_BUFFER) };
        // SAFETY: the handle is not active yet.
        let status = unsafe { (call.pcap_activate)(raw) };
        // Above zero are warnings.
        if status >= 0 {
            return Ok(handle);
        }
        // SAFETY: gives a string constant, or a static buffer that the lock is for.
        let status_text = text_of(unsafe { (call.pcap_statustostr)(status) });
        let details = handle.error();
        Err(PcapError::Live {
            reason: if details.is_empty() {
                status_text
            } else {
                details
            },
            is_denied: status == DENIED,
        })
    }

    fn compile(&self, expression: &CStr) -> Result<Vec<Instruction>, PcapError> {
        let mut program = RawProgram {
            length: 0,
            instructions: std::ptr::null_mut(),
        };
        // SAFETY: a handle that is open, a program to fill, a string.
        let status = unsafe {
            (self.call.pcap_compile)(
                self.raw.as_ptr(),
                &raw mut program,
                expression.as_ptr(),
                1,
                NO_NETMASK,
            )
        };
        if status != 0 {
            return Err(PcapError::Expression(self.error()));
        }
        let instructions = if program.instructions.is_null() {
            Vec::new()
        } else {
            // SAFETY: as many as it says; nothing else refers to them.
            unsafe { std::slice::from_raw_parts(program.instructions, program.length as usize) }
                .to_vec()
        };
        // SAFETY: what was filled above, once.
        unsafe { (self.call.pcap_freecode)(&raw mut program) };
        Ok(instructions)
    }

    /// Why the last call failed.
    fn error(&self) -> String {
        // SAFETY: a buffer of the handle, which is open.
        text_of(unsafe { (self.call.pcap_geterr)(self.raw.as_ptr()) })
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: open until now.
        unsafe { (self.call.pcap_close)(self.raw.as_ptr()) };
    }
}

/// The error is of the first name, which most systems have.
fn open_any() -> Result<libloading::Library, libloading::Error> {
    let [first, others @ ..] = NAMES;
    let open = |name: &str| {
        // SAFETY: libpcap's initialisers only register what it has.
        unsafe { libloading::Library::new(name) }
    };
    others.into_iter().fold(open(first), |opened, name| {
        opened.or_else(|error| open(name).map_err(|_later| error))
    })
}

/// A panic elsewhere leaves nothing half done in libpcap.
fn lock() -> MutexGuard<'static, ()> {
    COMPILER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn int(number: u32) -> c_int {
    c_int::try_from(number).unwrap_or(c_int::MAX)
}

/// A string that libpcap lent us, which it overwrites with the next call.
fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: a string of libpcap's, while nobody else calls it.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// libpcap numbers a few link types otherwise than files do; on Linux, of ours one.
fn dlt(link_type: LinkType) -> c_int {
    /// `DLT_RAW`.
    const RAW: c_int = 12;

    match link_type {
        LinkType::RAW => RAW,
        LinkType(number) => number.into(),
    }
}
