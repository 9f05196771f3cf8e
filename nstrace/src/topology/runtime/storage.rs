//! containers/storage: the list of containers that Podman and CRI-O keep.

use std::collections::HashMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// A document of its own.
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(rename = "image-name", default)]
    image: String,
}

/// What the list says of a container. Its strings are untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Image reference.
    pub image: String,
}

/// Decodes a `containers.json`: what it says, by container id.
///
/// # Errors
///
/// If that is no such document.
pub fn list(document: &[u8]) -> serde_json::Result<HashMap<String, Listed>> {
    let entries: Vec<Entry> = serde_json::from_slice(document)?;
    let listed = entries.into_iter().filter_map(|entry| {
        let metadata: Metadata = serde_json::from_str(&entry.metadata).unwrap_or_default();
        let listed = Listed {
            name: entry.names.into_iter().next()?,
            image: metadata.image,
        };
        Some((entry.id, listed))
    });
    Ok(listed.collect())
}
