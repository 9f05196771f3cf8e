//! Sockets that can be asked for what files do not say: labels, images, owners.
//!
//! Nothing is asked unless the user says so, and nothing depends on an answer: names come from files
//! ([`super::runtime`]), and what was answered last is kept while nothing new is. Each kind is behind a
//! feature of Cargo, since most of what it takes to ask is other people's code.
//!
//! One thread asks, in its own pace; an answer that takes too long is given up.

#[cfg(feature = "cri-socket")]
mod cri;
#[cfg(feature = "docker-socket")]
mod docker;
#[cfg(feature = "kubernetes")]
mod kubernetes;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::topology::runtime::answer::Answer;

/// Longest wait for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// More than any node's containers take, in bytes.
#[cfg(any(feature = "docker-socket", feature = "cri-socket"))]
const MAX_ANSWER: usize = 16 << 20;

/// Whom to ask, beside reading files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Docker's socket.
    pub docker: Option<PathBuf>,
    /// A socket that speaks the Container Runtime Interface.
    pub cri: Option<PathBuf>,
    /// The API of Kubernetes, about the node of this name.
    pub kubernetes: Option<String>,
}

/// A kind of socket that this nstrace was built without.
#[derive(Debug, thiserror::Error)]
#[error("nstrace was built without the feature {0}")]
pub struct NotBuilt(pub &'static str);

/// One that is asked.
pub(super) enum Api {
    Docker(PathBuf),
    Cri(PathBuf),
    Kubernetes(String),
}

impl Ask {
    /// Whether all of it can be asked.
    ///
    /// # Errors
    ///
    /// Names the feature that is missing.
    pub fn check(&self) -> Result<(), NotBuilt> {
        let wanted = [
            (
                self.docker.is_some(),
                cfg!(feature = "docker-socket"),
                "docker-socket",
            ),
            (
                self.cri.is_some(),
                cfg!(feature = "cri-socket"),
                "cri-socket",
            ),
            (
                self.kubernetes.is_some(),
                cfg!(feature = "kubernetes"),
                "kubernetes",
            ),
        ];
        let missing = wanted
            .iter()
            .find(|(is_said, is_built, _)| *is_said && !is_built);
        missing.map_or(Ok(()), |(_, _, feature)| Err(NotBuilt(feature)))
    }

    /// Those to ask.
    pub(super) fn apis(&self) -> Vec<Api> {
        [
            self.docker.clone().map(Api::Docker),
            self.cri.clone().map(Api::Cri),
            self.kubernetes.clone().map(Api::Kubernetes),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Api {
    /// Asks, and waits for the answer. What went wrong is said in words.
    pub(super) async fn ask(&self) -> Result<Vec<Answer>, String> {
        let answer = async {
            match self {
                #[cfg(feature = "docker-socket")]
                Self::Docker(path) => docker::ask(path).await,
                #[cfg(feature = "cri-socket")]
                Self::Cri(path) => cri::ask(path).await,
                #[cfg(feature = "kubernetes")]
                Self::Kubernetes(node) => kubernetes::ask(node).await,
                // `Ask::check` comes first.
                #[cfg(not(all(
                    feature = "docker-socket",
                    feature = "cri-socket",
                    feature = "kubernetes"
                )))]
                _ => Err("nstrace was built without it".to_owned()),
            }
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Docker(path) => write!(f, "the Docker socket {}", path.display()),
            Self::Cri(path) => write!(f, "the CRI socket {}", path.display()),
            Self::Kubernetes(node) => write!(f, "Kubernetes about the node {node}"),
        }
    }
}

/// Where the Docker socket is by default.
#[must_use]
pub fn docker_socket() -> PathBuf {
    PathBuf::from("/run/docker.sock")
}

/// The first that is there of where CRI sockets are by default; the first of all if none is.
#[must_use]
pub fn cri_socket() -> PathBuf {
    const KNOWN: [&str; 4] = [
        "/run/containerd/containerd.sock",
        "/run/crio/crio.sock",
        "/run/k3s/containerd/containerd.sock",
        "/run/cri-dockerd.sock",
    ];
    let there = KNOWN.iter().find(|path| Path::new(path).exists());
    PathBuf::from(there.unwrap_or(&KNOWN[0]))
}

/// An error with its causes: libraries say at the top only that something failed.
#[cfg(any(
    feature = "docker-socket",
    feature = "cri-socket",
    feature = "kubernetes"
))]
fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}
