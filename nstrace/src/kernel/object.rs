//! Loads the eBPF object.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf},
    programs::{ProgramError, SchedClassifier},
};
use nstrace_ebpf::wire::{CpuCounters, LOST_REASONS, LostReason, ProgramConfig};
use zerocopy::IntoBytes as _;

use crate::sys::bpf::{self, CounterArea};

/// The object, built by build.rs. Empty where that was told to skip it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/nstrace-bpf"));

/// Length of the windows in which bursts are looked for. Rounded to whole jiffies.
const WINDOW: Duration = Duration::from_millis(10);

/// Size of the samples' ring, in bytes: 9,362 samples of 56 bytes. In 20 ms (see [`super::ring`]) an
/// interface that is busy on two CPUs sends six at most, so it is enough for 1,500 of them.
pub const RING_BYTES: u32 = 512 << 10;

/// The programs could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The object is empty.
    #[error("this nstrace was built without its eBPF programs (AYA_BUILD_SKIP was set)")]
    Skipped,
    /// aya or the kernel refused the object or one of its maps.
    #[error("load the eBPF object{}", of_kernel())]
    Load(#[source] Box<aya::EbpfError>),
    /// The kernel refused a program.
    #[error("load the eBPF program {program}{}: {reason}", of_kernel())]
    Program {
        /// Its name.
        program: &'static str,
        /// The kernel's error, and the end of the verifier's log.
        reason: String,
        /// Whether it was for want of a privilege.
        is_refused: bool,
    },
    /// The object lacks something that this loader expects: they were built apart.
    #[error("the eBPF object has no usable {0}: it is of another version than nstrace itself")]
    Mismatch(&'static str),
    /// The counters could not be mapped.
    #[error("map the counters into memory")]
    Map(#[source] io::Error),
    /// A thread could not be made.
    #[error("start the {0} thread")]
    Thread(&'static str, #[source] io::Error),
}

fn of_kernel() -> String {
    format!(" into Linux {}", crate::sys::kernel_release())
}

impl KernelError {
    /// What to do about it, where a privilege or the kernel is at fault.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        const PRIVILEGE: &str = "it needs CAP_BPF and CAP_NET_ADMIN (sudo nstrace ..); where root \
                                 is refused too, see `sysctl kernel.unprivileged_bpf_disabled`, \
                                 kernel lockdown and the container's seccomp profile";
        const MEMORY: &str = "the maps do not fit in memory; ask for less: --max-interfaces N";
        const KERNEL: &str = "nstrace needs Linux 5.10 or newer, with CONFIG_BPF_SYSCALL";
        match self {
            Self::Load(error) if is_permission_denied(error.as_ref()) => Some(PRIVILEGE),
            Self::Program {
                is_refused: true, ..
            } => Some(PRIVILEGE),
            Self::Load(error) if is_out_of_memory(error.as_ref()) => Some(MEMORY),
            Self::Load(_) | Self::Program { .. } => Some(KERNEL),
            Self::Skipped | Self::Mismatch(_) | Self::Map(_) | Self::Thread(..) => None,
        }
    }
}

fn is_permission_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    is_caused_by(error, &[io::ErrorKind::PermissionDenied])
}

/// `E2BIG` is what the kernel says of a map that is too large by itself.
fn is_out_of_memory(error: &(dyn std::error::Error + 'static)) -> bool {
    is_caused_by(
        error,
        &[
            io::ErrorKind::OutOfMemory,
            io::ErrorKind::ArgumentListTooLong,
        ],
    )
}

fn is_caused_by(error: &(dyn std::error::Error + 'static), kinds: &[io::ErrorKind]) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| kinds.contains(&error.kind())) {
            return true;
        }
        next = error.source();
    }
    false
}

/// The loaded object.
pub struct Kernel {
    /// The two programs.
    pub programs: Programs,
    /// Which slot an interface counts into.
    pub slots: SlotMaps,
    /// The counters, in memory.
    pub counters: CounterArea,
    /// Number of slots.
    pub slot_count: u32,
    /// Closed windows.
    pub samples: RingBuf<MapData>,
    /// What was lost.
    pub lost: Lost,
    /// Length of a window.
    pub window: Duration,
}

/// Descriptors of the two programs.
#[derive(Debug)]
pub struct Programs {
    /// For the ingress hook.
    pub ingress: OwnedFd,
    /// For the egress hook.
    pub egress: OwnedFd,
}

/// The maps that lead from an ifindex to a slot.
pub struct SlotMaps {
    direct: Array<MapData, u32>,
    high: HashMap<MapData, u32, u32>,
}

impl SlotMaps {
    /// Lets an interface count into `slot`, or, with `None`, into nothing.
    ///
    /// # Errors
    ///
    /// If the hash of high ifindexes is full.
    pub fn set(&mut self, ifindex: u32, slot: Option<u32>) -> Result<(), MapError> {
        let value = slot.map_or(0, |slot| slot + 1);
        if ifindex < self.direct.len() {
            return self.direct.set(ifindex, value, 0);
        }
        match slot {
            Some(_) => self.high.insert(ifindex, value, 0),
            None => self.high.remove(&ifindex),
        }
    }
}

/// Counters of what could not be handed over. They only grow.
pub struct Lost(PerCpuArray<MapData, u64>);

impl Lost {
    /// How often something was lost for `reason`, on all CPUs, since the load.
    ///
    /// # Errors
    ///
    /// If the map cannot be read.
    pub fn count(&self, reason: LostReason) -> Result<u64, MapError> {
        Ok(self.0.get(&(reason as u32), 0)?.iter().sum())
    }
}

impl Kernel {
    /// Loads the object with room for `slot_count` interfaces at a time, and a ring of `ring_bytes`
    /// (rounded up to a power of two of pages).
    ///
    /// # Errors
    ///
    /// If a privilege is missing, the kernel is too old, or memory is short.
    ///
    /// # Minimum kernel version
    ///
    /// 5.10.
    pub fn load(slot_count: u32, ring_bytes: u32) -> Result<Self, KernelError> {
        if OBJECT.is_empty() {
            return Err(KernelError::Skipped);
        }
        bpf::lift_memlock_limit();
        let cpus = bpf::possible_cpus().map_err(KernelError::Map)?;
        let jiffy = crate::sys::clock::jiffy();
        let window_jiffies = (WINDOW.as_nanos() / jiffy.as_nanos().max(1)).clamp(1, 1000) as u32;
        let config = ProgramConfig {
            slots: slot_count,
            window_jiffies,
        };
        let mut ebpf = EbpfLoader::new()
            .override_global("CONFIG", config.as_bytes(), true)
            .map_max_entries("COUNTERS", cpus * slot_count)
            .map_max_entries("SAMPLES", ring_bytes)
            .load(OBJECT)
            .map_err(|error| KernelError::Load(Box::new(error)))?;
        let programs = Programs {
            ingress: load_program(&mut ebpf, "nstrace_ingress")?,
            egress: load_program(&mut ebpf, "nstrace_egress")?,
        };
        #[cfg(feature = "bpf-log")]
        start_log(&mut ebpf);
        let counters = take(&mut ebpf, "COUNTERS")?;
        let Map::Array(data) = &counters else {
            return Err(KernelError::Mismatch("COUNTERS"));
        };
        let info = data
            .info()
            .map_err(|_error| KernelError::Mismatch("COUNTERS"))?;
        if info.value_size() as usize != size_of::<CpuCounters>() {
            return Err(KernelError::Mismatch("COUNTERS"));
        }
        let counters = CounterArea::open(data.fd(), cpus, slot_count).map_err(KernelError::Map)?;
        let slots = SlotMaps {
            direct: typed(take(&mut ebpf, "SLOTS")?, "SLOTS")?,
            high: typed(take(&mut ebpf, "SLOTS_HIGH")?, "SLOTS_HIGH")?,
        };
        let lost: PerCpuArray<_, u64> = typed(take(&mut ebpf, "LOST")?, "LOST")?;
        if lost.len() != LOST_REASONS {
            return Err(KernelError::Mismatch("LOST"));
        }
        Ok(Self {
            programs,
            slots,
            counters,
            slot_count,
            samples: typed(take(&mut ebpf, "SAMPLES")?, "SAMPLES")?,
            lost: Lost(lost),
            window: jiffy * window_jiffies,
        })
    }
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, KernelError> {
    ebpf.take_map(name).ok_or(KernelError::Mismatch(name))
}

fn typed<T: TryFrom<Map>>(map: Map, name: &'static str) -> Result<T, KernelError> {
    T::try_from(map).map_err(|_other| KernelError::Mismatch(name))
}

fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<OwnedFd, KernelError> {
    let program: &mut SchedClassifier = ebpf
        .program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(KernelError::Mismatch(name))?;
    let refused = |error: ProgramError| KernelError::Program {
        program: name,
        is_refused: is_permission_denied(&error),
        reason: match &error {
            ProgramError::LoadError {
                io_error,
                verifier_log,
            } => {
                let log = verifier_log.to_string();
                tracing::debug!(program = name, "verifier: {log}");
                format!("{io_error}{}", reason_of(&log))
            }
            error => error.to_string(),
        },
    };
    program.load().map_err(refused)?;
    let fd = program.fd().map_err(refused)?;
    fd.as_fd().try_clone_to_owned().map_err(KernelError::Map)
}

/// What the verifier objects to: the last line of its log before the statistics.
fn reason_of(log: &str) -> String {
    const STATISTICS: [&str; 3] = ["processed ", "stack depth ", "verification time "];
    let is_said = |line: &&str| {
        !line.trim().is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start))
    };
    let last = log.lines().rfind(is_said);
    last.map_or_else(String::new, |line| format!(" (verifier: {line})"))
}

/// Prints what the programs log, on a thread that lives as long as the process.
#[cfg(feature = "bpf-log")]
fn start_log(ebpf: &mut Ebpf) {
    use std::thread;

    let mut logger = match aya_log::EbpfLogger::init(ebpf) {
        Ok(logger) => logger,
        Err(error) => {
            tracing::warn!(%error, "no log of the eBPF programs");
            return;
        }
    };
    let drain = move || loop {
        logger.flush();
        thread::sleep(super::ring::DRAIN_INTERVAL);
    };
    if let Err(error) = thread::Builder::new()
        .name("nstrace-bpf-log".to_owned())
        .spawn(drain)
    {
        tracing::warn!(%error, "no log of the eBPF programs");
    }
}
