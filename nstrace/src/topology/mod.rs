//! Which namespaces there are, what is in them, and which can be watched.
//!
//! [`model`] is the pure graph; [`discover`] fills it from the host; [`runtime`] reads what container
//! runtimes write of their containers; [`target`] finds what a user means by a word. [`inspect`] asks
//! for everything about one namespace, which [`inside`] has room for.

pub mod discover;
pub mod inside;
pub mod inspect;
pub mod model;
pub mod runtime;
pub mod target;
