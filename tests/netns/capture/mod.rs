//! Captures: the programs by themselves, and `nstrace capture` on real traffic.

mod program;
