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
use nstrace_ebpf::wire::{
    CpuCounters, FlowEntry4, FlowEntry6, HASH_WORDS, LOST_REASONS, Lane, LostReason, Owner,
    ProgramConfig, Spill,
};
use zerocopy::IntoBytes as _;

use super::capacity::{Capacity, Request};
use crate::sys::{
    self, bpf,
    mapped::{CounterArea, FlowArea, Lanes},
};

/// The object, built by build.rs. Empty where that was told to skip it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/nstrace-bpf"));

/// Length of the windows in which bursts are looked for. Rounded to whole jiffies.
const WINDOW: Duration = Duration::from_millis(10);

/// A flow without a packet for so long makes room for any new one.
const IDLE: Duration = Duration::from_secs(1);

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
    /// Counters or flows could not be mapped.
    #[error("map the counters into memory")]
    Map(#[source] io::Error),
    /// A ring could not be made or mapped.
    #[error("make a ring for captured packets")]
    Ring(#[source] io::Error),
    /// The kernel gave no random numbers.
    #[error("get random numbers for the flow cache")]
    Random(#[source] io::Error),
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
        const PRIVILEGE: &str = "it needs CAP_BPF and CAP_NET_ADMIN (sudo nstrace ..), before Linux \
                                 6.12 CAP_PERFMON, on 5.10 `ulimit -l unlimited` as well; where root \
                                 is refused too, see `sysctl kernel.unprivileged_bpf_disabled`, \
                                 kernel lockdown and the container's seccomp profile";
        const MEMORY: &str = "the maps do not fit in memory; ask for less: \
                              --max-interfaces N, --ipv4-flows N, --ipv6-flows N";
        const BUFFER: &str = "it does not fit in memory; ask for less: --buffer SIZE";
        const KERNEL: &str = "nstrace needs Linux 5.10 or newer, with CONFIG_BPF_SYSCALL";
        match self {
            Self::Load(error) if is_permission_denied(error.as_ref()) => Some(PRIVILEGE),
            Self::Program {
                is_refused: true, ..
            } => Some(PRIVILEGE),
            Self::Load(error) if is_out_of_memory(error.as_ref()) => Some(MEMORY),
            Self::Load(_) | Self::Program { .. } => Some(KERNEL),
            Self::Ring(error) if is_out_of_memory(error) => Some(BUFFER),
            Self::Skipped
            | Self::Ring(_)
            | Self::Mismatch(_)
            | Self::Map(_)
            | Self::Random(_)
            | Self::Thread(..) => None,
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
    /// The flow cache, in memory.
    pub flows: FlowArea,
    /// What leaves it, in memory.
    pub lanes: Lanes,
    /// How large all of it is.
    pub capacity: Capacity,
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

impl Programs {
    pub(super) fn load(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        Ok(Self {
            ingress: load_program(ebpf, "nstrace_ingress")?,
            egress: load_program(ebpf, "nstrace_egress")?,
        })
    }
}

/// The maps that lead from an ifindex to a slot.
pub struct SlotMaps {
    direct: Array<MapData, u32>,
    high: HashMap<MapData, u32, u32>,
}

impl SlotMaps {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        Ok(Self {
            direct: typed(take(ebpf, "SLOTS")?, "SLOTS")?,
            high: typed(take(ebpf, "SLOTS_HIGH")?, "SLOTS_HIGH")?,
        })
    }

    /// Lets an interface count for `owner`, or, with `None`, for nobody.
    ///
    /// # Errors
    ///
    /// If the hash of high ifindexes is full.
    pub fn set(&mut self, ifindex: u32, owner: Option<Owner>) -> Result<(), MapError> {
        let value = owner.map_or(0, |owner| owner.to_bits() | Owner::WATCHED);
        if ifindex < self.direct.len() {
            return self.direct.set(ifindex, value, 0);
        }
        match owner {
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
    /// Loads the object with maps as large as `request` says, or as suits the machine.
    ///
    /// # Errors
    ///
    /// If a privilege is missing, the kernel is too old, or memory is short.
    ///
    /// # Minimum kernel version
    ///
    /// 5.10.
    pub fn load(request: Request) -> Result<Self, KernelError> {
        if OBJECT.is_empty() {
            return Err(KernelError::Skipped);
        }
        bpf::lift_memlock_limit();
        let cpus = bpf::possible_cpus().map_err(KernelError::Map)?;
        let capacity = Capacity::new(request, cpus, sys::memory());
        let jiffy = sys::clock::jiffy();
        let config = config(&capacity, jiffy)?;
        let entries = |each: u32| cpus * each.max(1);
        let mut ebpf = EbpfLoader::new()
            .override_global("CONFIG", config.as_bytes(), true)
            .map_max_entries("COUNTERS", entries(capacity.slots))
            .map_max_entries("FLOWS4", entries(capacity.flows4))
            .map_max_entries("FLOWS6", entries(capacity.flows6))
            .map_max_entries("SPILLS", entries(capacity.spills))
            .map_max_entries("LANES", cpus)
            .map_max_entries("SAMPLES", capacity.ring_bytes)
            .load(OBJECT)
            .map_err(|error| KernelError::Load(Box::new(error)))?;
        let programs = Programs::load(&mut ebpf)?;
        #[cfg(feature = "bpf-log")]
        start_log(&mut ebpf);
        let counters = array::<CpuCounters>(&mut ebpf, "COUNTERS")?;
        let counters =
            CounterArea::open(counters.fd(), cpus, capacity.slots).map_err(KernelError::Map)?;
        let (v4, v6) = (
            array::<FlowEntry4>(&mut ebpf, "FLOWS4")?,
            array::<FlowEntry6>(&mut ebpf, "FLOWS6")?,
        );
        let (flows4, flows6) = (capacity.flows4.max(1), capacity.flows6.max(1));
        let flows =
            FlowArea::open(v4.fd(), v6.fd(), cpus, flows4, flows6).map_err(KernelError::Map)?;
        let (lanes, spills) = (
            array::<Lane>(&mut ebpf, "LANES")?,
            array::<Spill>(&mut ebpf, "SPILLS")?,
        );
        let lanes = Lanes::open(lanes.fd(), spills.fd(), cpus, capacity.spills.max(1))
            .map_err(KernelError::Map)?;
        let slots = SlotMaps::take(&mut ebpf)?;
        let lost: PerCpuArray<_, u64> = typed(take(&mut ebpf, "LOST")?, "LOST")?;
        if lost.len() != LOST_REASONS {
            return Err(KernelError::Mismatch("LOST"));
        }
        Ok(Self {
            programs,
            slots,
            counters,
            flows,
            lanes,
            capacity,
            samples: typed(take(&mut ebpf, "SAMPLES")?, "SAMPLES")?,
            lost: Lost(lost),
            window: jiffy * config.window_jiffies,
        })
    }
}

/// What the programs are told.
fn config(capacity: &Capacity, jiffy: Duration) -> Result<ProgramConfig, KernelError> {
    let jiffies = |time: Duration, most: u128| {
        let jiffies = time.as_nanos() / jiffy.as_nanos().max(1);
        u32::try_from(jiffies.clamp(1, most)).unwrap_or(1)
    };
    let mut hash_keys = [0; HASH_WORDS];
    sys::random(hash_keys.as_mut_bytes()).map_err(KernelError::Random)?;
    Ok(ProgramConfig {
        hash_keys: hash_keys.map(|key: u64| key | 1),
        slots: capacity.slots,
        window_jiffies: jiffies(WINDOW, 1000),
        flow4_bits: capacity.flows4.checked_ilog2().unwrap_or(0),
        flow6_bits: capacity.flows6.checked_ilog2().unwrap_or(0),
        lane_length: capacity.spills,
        idle_jiffies: jiffies(IDLE, 100_000),
    })
}

/// An array map whose values are `T`s.
pub(super) fn array<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, KernelError> {
    let Map::Array(data) = take(ebpf, name)? else {
        return Err(KernelError::Mismatch(name));
    };
    let info = data.info().map_err(|_error| KernelError::Mismatch(name))?;
    if info.value_size() as usize != size_of::<T>() {
        return Err(KernelError::Mismatch(name));
    }
    Ok(data)
}

pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, KernelError> {
    ebpf.take_map(name).ok_or(KernelError::Mismatch(name))
}

pub(super) fn typed<T: TryFrom<Map>>(map: Map, name: &'static str) -> Result<T, KernelError> {
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
