//! The API of Kubernetes: the metadata of the pods of one node, and nothing else of them.
//!
//! Where it is and who asks is found as `kubectl` does: by `KUBECONFIG` or `~/.kube/config`, else by the
//! service account of the pod that nstrace runs in. It needs `list` on `pods`.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, Config, api::ListParams, core::PartialObjectMeta};

use super::{PATIENCE, in_words};
use crate::topology::runtime::answer::{Answer, Subject};

/// A pod that the kubelet has from a file is shown by the API with another uid; the kubelet's own is
/// in this annotation.
const MIRRORED: &str = "kubernetes.io/config.mirror";

/// Asks for all pods of the node.
pub(super) async fn ask(node: &str) -> Result<Vec<Answer>, String> {
    let mut config = Config::infer().await.map_err(|error| in_words(&error))?;
    // It is asked again soon enough.
    config.default_retry = false;
    config.connect_timeout = Some(PATIENCE);
    let client = Client::try_from(config).map_err(|error| in_words(&error))?;
    let pods: Api<Pod> = Api::all(client);
    let of_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let listed = pods.list_metadata(&of_node).await;
    let listed = listed.map_err(|error| in_words(&error))?;
    if listed.items.is_empty() {
        return Err("it has no pods of that node; --kubernetes-node says which it is".to_owned());
    }
    Ok(listed.items.into_iter().filter_map(answer).collect())
}

fn answer(pod: PartialObjectMeta<Pod>) -> Option<Answer> {
    let metadata = pod.metadata;
    let mirrored = metadata.annotations.unwrap_or_default().remove(MIRRORED);
    let mut owners = metadata.owner_references.into_iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true));
    Some(Answer {
        subject: Subject::Pod {
            namespace: metadata.namespace?,
            name: metadata.name?,
            uid: mirrored.or(metadata.uid)?,
        },
        labels: metadata.labels.unwrap_or_default(),
        image: None,
        owner: owner.map(|owner| format!("{}/{}", owner.kind, owner.name)),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn decoded(text: &str) -> Option<Answer> {
        answer(serde_json::from_str(text).expect("metadata"))
    }

    #[test]
    fn labels_and_what_controls_it() {
        let told = decoded(
            r#"{"metadata": {"name": "web-1", "namespace": "shop", "uid": "u1",
                "labels": {"app": "web"}, "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "1"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8",
                 "uid": "2", "controller": true}]}}"#,
        );
        let expected = Answer {
            subject: Subject::Pod {
                namespace: "shop".to_owned(),
                name: "web-1".to_owned(),
                uid: "u1".to_owned(),
            },
            labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            image: None,
            owner: Some("ReplicaSet/web-5d4f8".to_owned()),
        };
        assert_eq!(told, Some(expected));
    }

    #[test]
    fn a_pod_from_a_file_has_the_uid_that_its_runtime_knows() {
        let told = decoded(
            r#"{"metadata": {"name": "etcd", "namespace": "kube-system", "uid": "of-the-api",
                "annotations": {"kubernetes.io/config.mirror": "of-the-file"}}}"#,
        );
        let Subject::Pod { uid, .. } = told.expect("an answer").subject else {
            panic!("not of a pod");
        };
        assert_eq!(uid, "of-the-file");
        assert_eq!(decoded(r#"{"metadata": {"name": "web"}}"#), None);
    }
}
