//! nstrace on real namespaces, veth pairs and traffic. Needs root: `cargo xtask test`.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, with its stack"
)]

#[path = "../support/mod.rs"]
mod support;

mod ask;
mod capture;
mod counts;
mod cri;
mod discovery;
mod docker;
mod flows;
mod follow;
mod inspect;
mod machines;
mod oracle;
mod podman;
mod program;
mod residue;
mod savefile;
mod scale;
