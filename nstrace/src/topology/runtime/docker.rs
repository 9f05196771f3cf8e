//! Docker: one `config.v2.json` for each container.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use crate::topology::model::{Container, Network, Pod, Runtime};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    state: State,
    config: Config,
    network_settings: Option<NetworkSettings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    pid: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: String,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    sandbox_key: Option<PathBuf>,
}

/// Docker's own settings, `daemon.json`.
#[derive(Deserialize)]
struct Settings {
    #[serde(rename = "data-root")]
    data_root: Option<PathBuf>,
}

/// The data root that Docker's settings name.
#[must_use]
pub fn data_root(settings: &[u8]) -> Option<PathBuf> {
    serde_json::from_slice::<Settings>(settings).ok()?.data_root
}

/// A container, and the process that the file says is its first, if it runs. One that does not yet
/// is known by its id alone, which the cgroup of its processes has.
///
/// # Errors
///
/// If that is no such document.
pub fn container(document: &[u8]) -> serde_json::Result<(Container, Option<u32>)> {
    let read: Document = serde_json::from_slice(document)?;
    let labels = read.config.labels.unwrap_or_default();
    let name = read.name.trim_start_matches('/');
    let kubernetes = of_kubernetes(&labels).or_else(|| of_name(name));
    // With `--network container:` there is no sandbox of its own; that of the host's network is a
    // file which holds the host's namespace.
    let network = read
        .network_settings
        .and_then(|settings| settings.sandbox_key)
        // One that has stopped still says which it had.
        .filter(|sandbox| read.state.running && !sandbox.as_os_str().is_empty())
        .map_or(Network::Process, Network::File);
    let mut container = Container {
        image: read.config.image,
        network,
        ..Container::new(Runtime::Docker, read.id, name.to_owned())
    };
    if let Some(of_pod) = kubernetes {
        container.is_sandbox = of_pod.is_sandbox;
        container.name = of_pod.container;
        container.pod = Some(of_pod.pod);
    }
    // cri-dockerd keeps annotations among the labels.
    container.labels = labels
        .into_iter()
        .filter(|(key, _)| !key.starts_with("annotation."))
        .collect();
    Ok((container, read.state.running.then_some(read.state.pid)))
}

struct OfPod {
    pod: Pod,
    container: String,
    is_sandbox: bool,
}

/// cri-dockerd's own labels.
fn of_kubernetes(labels: &BTreeMap<String, String>) -> Option<OfPod> {
    let label = |key: &str| labels.get(&format!("io.kubernetes.{key}")).cloned();
    let is_sandbox = label("docker.type").as_deref() == Some("podsandbox");
    Some(OfPod {
        pod: Pod {
            namespace: Some(label("pod.namespace")?),
            name: label("pod.name")?,
            uid: label("pod.uid"),
            owner: None,
        },
        container: label("container.name").unwrap_or_else(|| SANDBOX.to_owned()),
        is_sandbox,
    })
}

/// What the kubelet calls a sandbox.
const SANDBOX: &str = "POD";

/// `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT`; no name of Kubernetes has an underscore.
fn of_name(name: &str) -> Option<OfPod> {
    let parts: Vec<&str> = name.strip_prefix("k8s_")?.split('_').collect();
    let [container, pod, namespace, uid, _attempt, ..] = parts[..] else {
        return None;
    };
    Some(OfPod {
        pod: Pod {
            namespace: Some(namespace.to_owned()),
            name: pod.to_owned(),
            uid: Some(uid.to_owned()),
            owner: None,
        },
        container: container.to_owned(),
        is_sandbox: container == SANDBOX,
    })
}
