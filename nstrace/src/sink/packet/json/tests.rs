//! Packets as JSON.
