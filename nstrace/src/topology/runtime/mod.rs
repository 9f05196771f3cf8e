//! What container runtimes write of their containers: bytes in, [`Container`](super::model::Container)
//! out.
//!
//! Pure: who finds and reads the files is [`crate::sys::runtime`]. What is in them is what somebody
//! wrote who may lie; a document that does not decode is an error, and what it says is believed only
//! about names. Formats follow the runtimes' sources, and recorded files in the tests:
//!
//! - [`docker`]: `config.v2.json` of moby's `container.Container`.
//! - [`oci`]: `config.json` of the OCI runtime specification, by whose annotations containerd's CRI
//!   plugin, CRI-O and Podman say whose it is.
//! - [`storage`]: `containers.json` of containers/storage, which has the names that Podman gives.
//! - [`libpod`]: Podman's database, for the names of its pods and for labels.
//! - [`cgroup`]: what the path of a cgroup says of the process in it.
//! - [`answer`]: what a socket that is asked adds to all that.

pub mod answer;
pub mod cgroup;
pub mod docker;
pub mod libpod;
pub mod oci;
pub mod storage;

#[cfg(test)]
mod tests;
