//! Good and bad samples for every rule. The samples are string literals, which the rules
//! do not look into, so this file passes them itself.

use super::{Finding, judge};

/// Checks on which lines of `text`, as the file at `path`, a rule with `word` is broken.
#[track_caller]
fn check(path: &str, text: &str, word: &str, lines: &[usize]) {
    let findings = judge(path, text);
    let of_rule: Vec<_> = findings.iter().filter(|f| f.rule.contains(word)).collect();
    let found: Vec<usize> = of_rule.iter().map(|f| f.line).collect();
    assert_eq!(found, lines, "{path}: {findings:?}");
}

#[track_caller]
fn check_clean(path: &str, text: &str) {
    assert_eq!(judge(path, text), [].into(), "{path}");
}

#[test]
fn pure_module_must_not_read_files_or_clocks() {
    let bad = "fn f() {\n    std::fs::read(\"x\");\n    let t = Instant::now();\n}\n";
    check("nstrace/src/decode/dns.rs", bad, "pure", &[2, 3]);
    check("nstrace/src/decode.rs", bad, "pure", &[2, 3]);
    check("nstrace/src/tui/view/mod.rs", bad, "pure", &[2, 3]);
    check("nstrace-ebpf/src/parse.rs", bad, "pure", &[2, 3]);
    check_clean("nstrace/src/sys/proc.rs", bad);
    check_clean("nstrace/src/decoder.rs", bad);
    check_clean("nstrace/src/topology/discover.rs", bad);
}

#[test]
fn pure_module_may_name_addresses_and_types() {
    let good = "use std::net::Ipv4Addr;\nuse std::net::{IpAddr, Ipv6Addr};\n\
                use crate::topology::Netns;\nuse crate::system::X;\nuse std::iox::Y;\n";
    check_clean("nstrace/src/state/mod.rs", good);
    let bad = "use std::net::UdpSocket;\n";
    check("nstrace/src/state/mod.rs", bad, "std::net", &[1]);
}

#[test]
fn import_through_a_group_is_found() {
    let bad = "use std::{\n    collections::BTreeMap,\n    net::{IpAddr, UdpSocket},\n    fs,\n};\n\
               use crate::{state::State, sys};\n";
    let path = "nstrace/src/topology/model.rs";
    check(path, bad, "std::net", &[3]);
    check(path, bad, "std::fs", &[4]);
    check(path, bad, "crate::sys", &[6]);
}

#[test]
fn tests_of_a_pure_module_may_read_files() {
    let text = "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() { std::fs::read(\"{\"); }\n}\n\
                fn h() { std::env::var(\"X\"); }\n";
    check("nstrace/src/state/mod.rs", text, "pure", &[6]);
    check_clean("nstrace/src/state/tests.rs", "use std::fs;\n");
    check(
        "nstrace/src/state/mod.rs",
        "#[cfg(test)]\nmod tests;\nuse std::fs;\n",
        "pure",
        &[3],
    );
}

#[test]
fn aya_is_named_only_in_kernel() {
    check("nstrace/src/engine/mod.rs", "use aya::Ebpf;\n", "aya", &[1]);
    check(
        "nstrace/src/main.rs",
        "fn f(e: aya_obj::Object) {}\n",
        "aya",
        &[1],
    );
    check_clean("nstrace/src/kernel/object.rs", "use aya::Ebpf;\n");
    check_clean("nstrace-ebpf/src/lib.rs", "unsafe impl aya::Pod for X {}\n");
    check_clean("nstrace/build.rs", "use aya_build::Package;\n");
    check_clean("nstrace/src/main.rs", "use papaya::Map; // aya::Ebpf\n");
}

#[test]
fn syscalls_are_made_only_in_sys() {
    let text = "use nix::sched;\nfn f() { libc::getpid(); }\n";
    check("nstrace/src/cli/mod.rs", text, "only in sys", &[1, 2]);
    check("xtask/src/cmd.rs", text, "only in sys", &[1, 2]);
    check("tests/netns/main.rs", text, "only in sys", &[2]);
    check("nstrace/benches/count/mod.rs", text, "only in sys", &[2]);
    check_clean("nstrace/benches/raw/bpf.rs", text);
    check_clean("nstrace/src/sys/clock.rs", text);
    check(
        "nstrace/src/engine/mod.rs",
        "use rtnetlink::Handle;\n",
        "only in sys",
        &[1],
    );
}

#[test]
fn unsafe_is_a_keyword_and_not_a_word() {
    let good = "#![forbid(unsafe_code)]\n// unsafe {\n/* unsafe /* unsafe */ unsafe */\n\
                let a = (\"unsafe\", r#\"\"unsafe\"#, b\"unsafe\", br\"unsafe\", 'u', '\\'');\n\
                fn f<'a>(x: &'a str) -> char { '\"' }\n";
    check_clean("nstrace/src/engine/mod.rs", good);
    let bad = "fn f<'a>() {\n    let q = '\"';\n    unsafe { g() }\n}\n";
    check("nstrace/src/engine/mod.rs", bad, "unsafe", &[3]);
    check("tests/cli/main.rs", bad, "unsafe", &[3]);
    for home in [
        "nstrace/src/sys/bpf.rs",
        "nstrace/build.rs",
        "tests/support/mod.rs",
    ] {
        check_clean(home, bad);
    }
}

#[test]
fn other_netns_is_entered_in_one_place() {
    let text = "fn f() { nix::sched::setns(fd); }\n";
    check("nstrace/src/sys/netlink.rs", text, "sys::netns", &[1]);
    check_clean("nstrace/src/sys/netns.rs", text);
    check_clean("tests/support/lab.rs", text);
}

#[test]
fn wire_types_never_name_aya_ebpf() {
    let text = "use aya_ebpf::maps::Array;\n";
    for path in ["lib.rs", "wire/flow.rs", "parse.rs"] {
        check(&format!("nstrace-ebpf/src/{path}"), text, "aya_ebpf", &[1]);
    }
    check_clean("nstrace-ebpf/src/maps.rs", text);
}

#[test]
fn lints_are_expected() {
    check(
        "xtask/src/a.rs",
        "#[allow(dead_code)]\nfn f() {}\n",
        "lints",
        &[1],
    );
    check("xtask/src/a.rs", "#![allow(dead_code)]\n", "lints", &[1]);
    check_clean(
        "xtask/src/a.rs",
        "#[expect(dead_code, reason = \"r\")]\nfn allow() {}\n",
    );
}

#[test]
fn mark_needs_an_owner() {
    let bad = "// TODO: later\nfn f() {} // FIXME\n// TODO() x\n";
    check("nstrace/src/a.rs", bad, "owner", &[1, 2, 3]);
    check_clean(
        "nstrace/src/a.rs",
        "// TODO(ada): later\nconst TODO: &str = \"TODO\";\n// TODOS\n",
    );
}

#[test]
fn machine_paths_are_found_in_every_file() {
    let bad = format!(
        "see {}x\nHOME={}\n",
        concat!("/", "work/"),
        concat!("/", "root/.cargo")
    );
    check("README.md", &bad, "machine", &[1, 2]);
    check_clean("LICENSE-MIT", &bad);
    let dir = concat!("/", "work/");
    let relative = format!("https://example.org{dir}x and ..{dir} and a{dir}b\n");
    check_clean("README.md", &relative);
    check_clean("tests/golden/a.pcapng", &format!("\0{bad}"));
}

#[test]
fn length_is_noticed_and_then_refused() {
    let lines = |n: usize| "\n".repeat(n);
    let judged = |n| judge("nstrace/src/a.rs", &lines(n)).pop_first();
    assert_eq!(judged(500), None);
    assert!(matches!(
        judged(501),
        Some(Finding {
            is_notice: true,
            ..
        })
    ));
    assert!(matches!(
        judged(1000),
        Some(Finding {
            is_notice: true,
            ..
        })
    ));
    assert!(matches!(
        judged(1001),
        Some(Finding {
            is_notice: false,
            line: 1001,
            ..
        })
    ));
    check_clean("Cargo.lock", &lines(2000));
}
