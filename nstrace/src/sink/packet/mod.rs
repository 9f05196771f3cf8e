//! Captured packets as lines: text in tcpdump's manner, or JSON.
//!
//! All of it is pure and total: bytes and options in, text out, whatever the bytes are.

#[cfg(test)]
mod corpus;
pub mod json;
#[cfg(test)]
mod sample;
mod style;
mod text;

pub use style::{Hex, Names, NoNames, Proto, Style, TimeStyle};
pub use text::Text;
