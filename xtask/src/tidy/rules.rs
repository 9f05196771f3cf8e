//! The layering rules as a table: which words may not stand where, and what to do.

/// One rule about words in Rust code.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Words as in the source; they match whole identifiers
    pub(super) words: &'static [&'static str],
    /// What follows a word and makes it harmless
    pub(super) except: &'static [&'static str],
    /// Whether the rule holds in the file at this path
    pub(super) covers: fn(&str) -> bool,
    /// Whether tests may do it
    pub(super) spares_tests: bool,
    pub(super) remedy: &'static str,
}

/// Modules that get values and give values. The same list stands in nstrace's crate docs.
const PURE: [&str; 14] = [
    "nstrace/src/decode",
    "nstrace/src/filter/ebpf",
    "nstrace/src/filter/inject",
    "nstrace/src/filter/translate",
    "nstrace/src/packet",
    "nstrace/src/services",
    "nstrace/src/state",
    "nstrace/src/topology/inside",
    "nstrace/src/topology/model",
    "nstrace/src/topology/runtime",
    "nstrace/src/topology/target",
    "nstrace/src/tui/model",
    "nstrace/src/tui/view",
    "nstrace-ebpf/src/parse",
];

const SYS: &str = "nstrace/src/sys";
const NETNS: &str = "nstrace/src/sys/netns";
const KERNEL: &str = "nstrace/src/kernel";
const EBPF: &str = "nstrace-ebpf/src";
const BUILD: &str = "nstrace/build";
const SUPPORT: &str = "tests/support";
const BENCHES: &str = "nstrace/benches";
/// System calls that only a measurement needs.
const BENCHES_RAW: &str = "nstrace/benches/raw";

/// What both sides compile: the host must not get the memcpy that aya-ebpf exports.
const WIRE: [&str; 3] = [
    "nstrace-ebpf/src/lib",
    "nstrace-ebpf/src/wire",
    "nstrace-ebpf/src/parse",
];

pub(super) const RULES: [Rule; 8] = [
    Rule {
        name: "pure modules do no I/O and read no clock",
        words: &[
            "std::fs",
            "std::net",
            "std::process",
            "std::io",
            "std::env",
            "std::thread",
            "Instant::now",
            "SystemTime::now",
            "tokio::",
            "libc::",
            "nix::",
            "crate::sys",
            "crate::kernel",
        ],
        // Addresses are values. A group is judged by what it spells out.
        except: &[
            "::IpAddr",
            "::Ipv4Addr",
            "::Ipv6Addr",
            "::SocketAddr",
            "::{",
        ],
        covers: |path| is_in_any(path, &PURE),
        spares_tests: true,
        remedy: "take the value as a parameter; the I/O belongs in sys or kernel",
    },
    Rule {
        name: "aya is named only in kernel",
        words: &["aya::", "aya_obj::", "aya_log::"],
        except: &[],
        // The marker trait aya::Pod can only be implemented where the wire types are.
        covers: |path| !is_in_any(path, &[KERNEL, EBPF]),
        spares_tests: false,
        remedy: "wrap it in nstrace/src/kernel",
    },
    Rule {
        name: "system calls and netlink are made only in sys",
        words: &["libc::", "rtnetlink::"],
        except: &[],
        covers: |path| !is_in_any(path, &[SYS, SUPPORT, BENCHES_RAW]),
        spares_tests: false,
        remedy: "wrap it in nstrace/src/sys",
    },
    Rule {
        name: "system calls are made only in sys",
        words: &["nix::"],
        except: &[],
        covers: |path| !is_in_any(path, &[SYS, "tests", BENCHES]),
        spares_tests: false,
        remedy: "wrap it in nstrace/src/sys",
    },
    Rule {
        name: "unsafe stays in sys, the eBPF side, build.rs, tests/support and benches/raw",
        words: &["unsafe"],
        except: &[],
        covers: |path| !is_in_any(path, &[SYS, EBPF, BUILD, SUPPORT, BENCHES_RAW]),
        spares_tests: false,
        remedy: "wrap it in a safe function in nstrace/src/sys",
    },
    Rule {
        name: "another netns is entered only in sys::netns",
        words: &["setns("],
        except: &[],
        covers: |path| !is_in_any(path, &[NETNS, SUPPORT, "xtask"]),
        spares_tests: false,
        remedy: "run it on a thread of sys::netns",
    },
    Rule {
        name: "the library half of nstrace-ebpf never names aya_ebpf",
        words: &["aya_ebpf"],
        except: &[],
        covers: |path| is_in_any(path, &WIRE),
        spares_tests: false,
        remedy: "move it to the program half: with it the host gets aya's slow memcpy",
    },
    Rule {
        name: "lints are expected, not allowed",
        words: &["#[allow(", "#![allow("],
        except: &[],
        covers: |_| true,
        spares_tests: false,
        remedy: "use #[expect(.., reason = \"..\")]",
    },
];

/// Whether `path` is the module `module`, as a file or as a directory.
pub(super) fn is_in(path: &str, module: &str) -> bool {
    let rest = path.strip_prefix(module);
    rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn is_in_any(path: &str, modules: &[&str]) -> bool {
    modules.iter().any(|module| is_in(path, module))
}
