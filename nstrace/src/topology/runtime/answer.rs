//! What a runtime's socket, or Kubernetes, answers about containers that their files name.
//!
//! An answer adds: it makes no container, and takes nothing away that files say.

use std::collections::{BTreeMap, HashMap};

use crate::topology::model::Container;

/// About what something is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The container with this full id, or the pod whose sandbox it is.
    Container(String),
    /// A pod of Kubernetes.
    Pod {
        /// Its Kubernetes namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What tells it from the next of its name, as its runtime is told.
        uid: String,
    },
}

/// What is said about one container or pod. Its strings are untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// About what.
    pub subject: Subject,
    /// Its labels as they are now.
    pub labels: BTreeMap<String, String>,
    /// Image reference, if anything is said of it.
    pub image: Option<String>,
    /// What controls the pod: kind and name, as `ReplicaSet/web-5d4f8`.
    pub owner: Option<String>,
}

/// Adds answers to what files say. A label that both have is as the answer says, since labels can
/// change; an image is as the file says, since it cannot.
pub fn add(containers: &mut [Container], answers: &[Answer]) {
    let mut by_id = HashMap::new();
    let mut by_pod = HashMap::new();
    for answer in answers {
        match &answer.subject {
            Subject::Container(id) => by_id.entry(&**id).or_insert_with(Vec::new).push(answer),
            Subject::Pod {
                namespace, name, ..
            } => by_pod
                .entry((&**namespace, &**name))
                .or_insert_with(Vec::new)
                .push(answer),
        }
    }
    for container in containers {
        for answer in by_id.get(&*container.id).into_iter().flatten() {
            container.labels.extend(answer.labels.clone());
            if container.image.is_empty()
                && let Some(image) = &answer.image
            {
                container.image.clone_from(image);
            }
        }
        let Some(pod) = &mut container.pod else {
            continue;
        };
        let Some(namespace) = &pod.namespace else {
            continue;
        };
        let told = by_pod.get(&(&**namespace, &*pod.name));
        for answer in told.into_iter().flatten() {
            // The one before it had the same name.
            if let (Some(is), Subject::Pod { uid, .. }) = (&pod.uid, &answer.subject)
                && is != uid
            {
                continue;
            }
            pod.owner.clone_from(&answer.owner);
            // The labels of a sandbox are the pod's.
            if container.is_sandbox {
                container.labels.extend(answer.labels.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::{Pod, Runtime};

    fn labels(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        let of = of.iter();
        of.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn sandbox() -> Container {
        let mut container = Container::new(Runtime::Containerd, "s1".to_owned(), "POD".to_owned());
        container.is_sandbox = true;
        container.pod = Some(Pod {
            namespace: Some("shop".to_owned()),
            name: "web-1".to_owned(),
            uid: Some("u1".to_owned()),
            owner: None,
        });
        container.labels = labels(&[("app", "old"), ("only", "file")]);
        container
    }

    fn of_pod(uid: &str) -> Answer {
        Answer {
            subject: Subject::Pod {
                namespace: "shop".to_owned(),
                name: "web-1".to_owned(),
                uid: uid.to_owned(),
            },
            labels: labels(&[("app", "new")]),
            image: None,
            owner: Some("ReplicaSet/web".to_owned()),
        }
    }

    #[test]
    fn what_a_socket_says_adds_to_what_files_say() {
        let mut named = sandbox();
        named.image = "by-file".to_owned();
        let plain = Container::new(Runtime::Docker, "c1".to_owned(), "web".to_owned());
        let mut containers = [named, plain];
        let said = |id: &str| Answer {
            subject: Subject::Container(id.to_owned()),
            labels: labels(&[("app", "new")]),
            image: Some("by-socket".to_owned()),
            owner: None,
        };
        add(&mut containers, &[said("s1"), said("c1"), said("gone")]);
        assert_eq!(containers[0].image, "by-file");
        assert_eq!(
            containers[0].labels,
            labels(&[("app", "new"), ("only", "file")])
        );
        assert_eq!(containers[1].image, "by-socket");
        assert_eq!(containers[1].labels, labels(&[("app", "new")]));
    }

    #[test]
    fn a_pod_is_told_from_the_one_before_it() {
        let mut containers = [sandbox()];
        add(&mut containers, &[of_pod("u0")]);
        assert_eq!(containers, [sandbox()]);
        add(&mut containers, &[of_pod("u0"), of_pod("u1")]);
        let pod = containers[0].pod.as_ref().expect("its pod");
        assert_eq!(pod.owner.as_deref(), Some("ReplicaSet/web"));
        assert_eq!(containers[0].labels["app"], "new");
    }
}
