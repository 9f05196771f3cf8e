//! OCI bundles: the `config.json` that a runtime is started by, with annotations of its manager.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use super::{libpod::Member, storage::Listed};
use crate::topology::model::{Container, Network, Pod, Runtime};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    linux: Option<Linux>,
    #[serde(default)]
    hostname: String,
}

#[derive(Default, Deserialize)]
struct Linux {
    #[serde(default)]
    namespaces: Vec<Namespace>,
    #[serde(default, rename = "cgroupsPath")]
    cgroup: String,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: PathBuf,
}

/// How the annotations begin that say whose it is.
const KEPT: [&str; 3] = ["io.kubernetes.", "io.container.manager", "nerdctl/"];
/// Longer than what is used: all labels of a pod are in one.
const MAX_ANNOTATION: usize = 256 << 10;

/// A bundle, decoded.
#[derive(Clone, Debug)]
pub struct Bundle {
    annotations: BTreeMap<String, String>,
    network: Network,
    hostname: String,
    cgroup: String,
}

impl Bundle {
    /// Decodes a `config.json`.
    ///
    /// # Errors
    ///
    /// If that is no such document.
    pub fn parse(document: &[u8]) -> serde_json::Result<Self> {
        let Document {
            mut annotations,
            linux,
            hostname,
        } = serde_json::from_slice(document)?;
        let Linux { namespaces, cgroup } = linux.unwrap_or_default();
        // Of what others write as long as they like, what is used is kept.
        annotations.retain(|key, value| {
            value.len() <= MAX_ANNOTATION && KEPT.iter().any(|kept| key.starts_with(kept))
        });
        let network = namespaces.into_iter().find(|one| one.kind == "network");
        Ok(Self {
            annotations,
            network: match network {
                None => Network::Host,
                Some(Namespace { path, .. }) if path.as_os_str().is_empty() => Network::Process,
                // Of a process that may be another by now.
                Some(Namespace { path, .. }) if path.starts_with("/proc") => Network::Process,
                Some(Namespace { path, .. }) => Network::File(path),
            },
            hostname,
            cgroup,
        })
    }

    fn annotation(&self, key: &str) -> Option<String> {
        self.annotations.get(key).cloned()
    }

    /// The namespace: one's own as the bundle says, else the sandbox's.
    fn network(&self, is_sandbox: bool, sandbox: Option<String>) -> Network {
        match (&self.network, sandbox) {
            (Network::Process, Some(sandbox)) if !is_sandbox => Network::Container(sandbox),
            (network, _) => network.clone(),
        }
    }

    /// A container of containerd's, in the namespace of containerd's that is called `namespace`.
    #[must_use]
    pub fn containerd(&self, id: String, namespace: &str) -> Container {
        let cri = |key: &str| self.annotation(&format!("io.kubernetes.cri.{key}"));
        let is_sandbox = cri("container-type").as_deref() == Some("sandbox");
        let pod = cri("sandbox-name").map(|name| Pod {
            namespace: cri("sandbox-namespace"),
            name,
            uid: cri("sandbox-uid"),
            owner: None,
        });
        let name = cri("container-name")
            .or_else(|| is_sandbox.then(|| SANDBOX.to_owned()))
            .or_else(|| self.annotation("nerdctl/name"))
            .unwrap_or_else(|| {
                let short: String = id.chars().take(12).collect();
                format!("{namespace}:{short}")
            });
        Container {
            network: self.network(is_sandbox, cri("sandbox-id")),
            image: cri("image-name").unwrap_or_default(),
            pod,
            is_sandbox,
            ..Container::new(Runtime::Containerd, id, name)
        }
    }

    /// A container in containers/storage: CRI-O's or Podman's; `None` if it is neither's. `listed` is
    /// what the storage's own list says of it.
    #[must_use]
    pub fn storage(&self, id: String, listed: Option<&Listed>) -> Option<Member> {
        let member = |container| Member {
            container,
            hostname: self.hostname.clone(),
            pod_id: None,
            sandbox: None,
        };
        match self.annotation("io.container.manager").as_deref() {
            Some("cri-o") => Some(member(self.crio(id))),
            Some("libpod") => Some(self.podman(id, listed)),
            _ => None,
        }
    }

    fn crio(&self, id: String) -> Container {
        let crio = |key: &str| self.annotation(&format!("io.kubernetes.cri-o.{key}"));
        let kubernetes = |key: &str| self.annotation(&format!("io.kubernetes.{key}"));
        let is_sandbox = crio("ContainerType").as_deref() == Some("sandbox");
        let pod = kubernetes("pod.name").map(|name| Pod {
            namespace: kubernetes("pod.namespace"),
            name,
            uid: kubernetes("pod.uid"),
            owner: None,
        });
        let labels = crio("Labels").and_then(|labels| serde_json::from_str(&labels).ok());
        let name = kubernetes("container.name").or_else(|| crio("Name"));
        // Also where the host's namespace is pinned to a file.
        let network = if crio("HostNetwork").as_deref() == Some("true") {
            Network::Host
        } else {
            self.network(is_sandbox, crio("SandboxID"))
        };
        Container {
            network,
            image: crio("ImageName")
                .or_else(|| crio("Image"))
                .unwrap_or_default(),
            pod,
            is_sandbox,
            labels: labels.unwrap_or_default(),
            ..Container::new(
                Runtime::Crio,
                id,
                name.unwrap_or_else(|| SANDBOX.to_owned()),
            )
        }
    }

    fn podman(&self, id: String, listed: Option<&Listed>) -> Member {
        let listed = listed.cloned().unwrap_or_else(|| Listed {
            name: id.chars().take(12).collect(),
            image: String::new(),
        });
        // Podman calls a pod's infra container after the pod's id.
        let is_hex = |text: &&str| text.len() >= 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let of_infra = listed.name.strip_suffix("-infra").filter(is_hex);
        // With cgroupfs the pod's cgroup is called after its id.
        let mut parents = self.cgroup.rsplit('/').skip(1);
        let of_cgroup = parents
            .next()
            .filter(|parent| parent.len() == 64)
            .filter(is_hex);
        Member {
            hostname: self.hostname.clone(),
            pod_id: of_cgroup.or(of_infra).map(str::to_owned),
            sandbox: self.annotation("io.kubernetes.cri-o.SandboxID"),
            container: Container {
                // A pod may share other namespaces than this one: what the bundle says counts.
                network: self.network.clone(),
                image: listed.image.clone(),
                is_sandbox: of_infra.is_some(),
                ..Container::new(Runtime::Podman, id, listed.name.clone())
            },
        }
    }
}

/// What a sandbox is called, of which nothing says a name: the kubelet's word.
const SANDBOX: &str = "POD";
