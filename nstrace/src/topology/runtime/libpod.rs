//! Podman's database: the names of pods, and labels, which stand nowhere else.
//!
//! Its format is bolt's or `SQLite`'s, and both change; but what Podman puts into it are documents as
//! text. So the text is looked for, and believed if it decodes. What is not found that way (a long
//! document that `SQLite` has spread over pages, one that is being written) is not known: then a pod
//! is called by the host name that its containers share, which is its name unless the user has said
//! another.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::topology::model::{Container, Network, Pod};

/// No document of Podman's is so long.
const MAX_DOCUMENT: usize = 1 << 20;
/// The bytes of documents that turn out to be none, for each byte of the database: whoever wrote it
/// may want it to take long.
const PATIENCE: usize = 4;

/// How the documents of pods and of containers begin.
const BEGINNINGS: [&[u8]; 2] = [b"{\"id\":\"", b"{\"spec\":{"];

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Document {
    id: String,
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// What the database says, by id of pod or container.
#[derive(Clone, Debug, Default)]
pub struct Database(HashMap<String, Document>);

impl Database {
    /// Looks for documents.
    #[must_use]
    pub fn search(bytes: &[u8]) -> Self {
        let mut found = HashMap::new();
        let mut rest = bytes;
        let mut patience = PATIENCE * bytes.len();
        while let Some(at) = rest.iter().position(|byte| *byte == b'{') {
            rest = &rest[at..];
            let mut skip = 1;
            if BEGINNINGS
                .iter()
                .any(|beginning| rest.starts_with(beginning))
            {
                let part = &rest[..rest.len().min(MAX_DOCUMENT)];
                let mut documents =
                    serde_json::Deserializer::from_slice(part).into_iter::<Document>();
                match documents.next() {
                    Some(Ok(document)) => {
                        skip = documents.byte_offset();
                        found.insert(document.id.clone(), document);
                    }
                    Some(Err(error)) => {
                        // Columns count from the last line on.
                        let read = if error.line() == 1 {
                            error.column()
                        } else {
                            part.len()
                        };
                        let Some(left) = patience.checked_sub(read) else {
                            break;
                        };
                        patience = left;
                    }
                    None => {}
                }
            }
            rest = &rest[skip..];
        }
        Self(found)
    }

    /// A pod by the start of its id.
    fn pod(&self, start: &str) -> Option<&Document> {
        match self.0.get(start) {
            Some(document) => Some(document),
            None => self
                .0
                .iter()
                .find(|(id, _)| id.starts_with(start))
                .map(|(_, document)| document),
        }
    }
}

/// A container of Podman's, and what leads to its pod.
#[derive(Clone, Debug)]
pub struct Member {
    /// The container.
    pub container: Container,
    /// Host name that it was started with.
    pub hostname: String,
    /// Id of the pod, or its start.
    pub pod_id: Option<String>,
    /// Id of the pod's infra container, from which it has namespaces.
    pub sandbox: Option<String>,
}

/// Tells containers which pod they are in.
#[must_use]
pub fn join_pods(members: Vec<Member>, database: &Database) -> Vec<Container> {
    let mut pods: HashMap<String, Pod> = HashMap::new();
    for member in &members {
        if let Some(pod_id) = member
            .pod_id
            .as_ref()
            .filter(|_| member.container.is_sandbox)
        {
            let known = database.pod(pod_id);
            let of_host = member.container.network == Network::Host || member.hostname.is_empty();
            let called = if of_host { pod_id } else { &member.hostname };
            let pod = Pod {
                namespace: None,
                name: known.map_or_else(|| called.clone(), |known| known.name.clone()),
                uid: Some(known.map_or_else(|| pod_id.clone(), |known| known.id.clone())),
                owner: None,
            };
            pods.insert(member.container.id.clone(), pod);
        }
    }
    let join = |member: Member| {
        let mut container = member.container;
        if container.pod.is_some() {
            // CRI-O's say it themselves.
            return container;
        }
        let sandbox = member.sandbox.as_ref().unwrap_or(&container.id);
        container.pod = pods.get(sandbox).cloned();
        if container.pod.is_none()
            && let Some(known) = member
                .pod_id
                .and_then(|pod_id| database.pod(&pod_id).cloned())
        {
            container.pod = Some(Pod {
                namespace: None,
                name: known.name,
                uid: Some(known.id),
                owner: None,
            });
        }
        let of_pod = container.pod.as_ref().and_then(|pod| pod.uid.as_ref());
        let labelled = if container.is_sandbox {
            of_pod.unwrap_or(&container.id)
        } else {
            &container.id
        };
        if let Some(known) = database.0.get(labelled) {
            container.labels.clone_from(&known.labels);
        }
        container
    };
    members.into_iter().map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_wants_to_take_long_does_not() {
        // Each of these begins a document that goes on to the end: read to there each time, that would
        // be a terabyte.
        let endless = br#"{"id":"","z":"#.repeat(512 << 10);
        assert!(Database::search(&endless).0.is_empty());
        // What stands before is found all the same.
        let good = br#"{"id":"p1","name":"shop","labels":{}}"#;
        assert_eq!(Database::search(&[good, &endless[..]].concat()).0.len(), 1);
    }
}
