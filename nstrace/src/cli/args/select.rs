//! What restricts the namespaces that a subcommand is about, and where names come from.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap_complete::ArgValueCompleter;

use super::super::complete;
use crate::{
    sys,
    topology::target::{Pattern, Pods, Selection, Selector, Target},
};

/// Options of every subcommand that takes TARGETs.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Which namespaces")]
pub struct SelectArgs {
    /// Only pods of this Kubernetes namespace; may be a pattern.
    #[arg(short, long, value_name = "NAMESPACE", env = "NSTRACE_NAMESPACE", add = ArgValueCompleter::new(complete::namespaces))]
    pub namespace: Option<Pattern>,

    /// Only pods of Kubernetes, but of all its namespaces: also where the environment or the
    /// configuration names one.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,

    /// Only pods and containers with such labels: KEY=VALUE, KEY!=VALUE, KEY, !KEY, KEY in (A,B);
    /// several, all of which must hold, with commas or by saying it again. Labels are known where
    /// the runtime has them on disk (Docker, Podman, CRI-O), or where a socket is asked for them.
    #[arg(short = 'l', long = "selector", value_name = "SELECTOR")]
    pub selector: Vec<Selector>,
}

impl SelectArgs {
    /// Whether anything is restricted by what was typed.
    #[must_use]
    pub const fn is_said(&self) -> bool {
        self.namespace.is_some() || self.all_namespaces || !self.selector.is_empty()
    }

    /// These with TARGETs. `default` is the Kubernetes namespace where none is said.
    #[must_use]
    pub fn selection(&self, targets: Vec<Target>, default: Option<&Pattern>) -> Selection {
        let pods = if self.all_namespaces {
            Some(Pods::OfAny)
        } else {
            let namespace = self.namespace.as_ref().or(default);
            namespace.cloned().map(Pods::Of)
        };
        Selection {
            targets,
            pods,
            labels: self.selector.clone(),
        }
    }
}

/// Stands for the path where a socket is by default.
pub const DEFAULT: &str = "default";

/// Where names come from, beside where runtimes keep their files by default.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Where names come from")]
pub struct NameArgs {
    /// A data root of Docker, where it is neither the default nor named in /etc/docker/daemon.json;
    /// may be given more than once, as those that follow may.
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        env = "NSTRACE_DOCKER_ROOT",
        value_delimiter = ':'
    )]
    pub docker_root: Vec<PathBuf>,

    /// A state directory of containerd.
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        env = "NSTRACE_CONTAINERD_STATE",
        value_delimiter = ':'
    )]
    pub containerd_state: Vec<PathBuf>,

    /// A run root of containers/storage, where Podman and CRI-O keep what runs.
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        env = "NSTRACE_STORAGE_RUNROOT",
        value_delimiter = ':'
    )]
    pub storage_runroot: Vec<PathBuf>,

    /// A graph root of containers/storage, where they keep the rest.
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        env = "NSTRACE_STORAGE_GRAPHROOT",
        value_delimiter = ':'
    )]
    pub storage_graphroot: Vec<PathBuf>,

    /// Ask Docker too, for labels; by this socket, or /run/docker.sock. Names need no socket.
    #[arg(
        long,
        value_name = "PATH",
        global = true,
        env = "NSTRACE_DOCKER_SOCKET",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = DEFAULT
    )]
    pub docker_socket: Option<PathBuf>,

    /// Ask containerd, CRI-O or cri-dockerd too, for labels and images; by this socket, or where one
    /// of them has it by default.
    #[arg(
        long,
        value_name = "PATH",
        global = true,
        env = "NSTRACE_CRI_SOCKET",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = DEFAULT
    )]
    pub cri_socket: Option<PathBuf>,

    /// Ask Kubernetes too, for labels and owners of pods; as kubectl would, or as the pod that
    /// nstrace is in.
    #[arg(long, global = true, env = "NSTRACE_KUBERNETES")]
    pub kubernetes: bool,

    /// The name of this node in Kubernetes, where it is not the host's.
    #[arg(long, value_name = "NAME", global = true, env = "NODE_NAME")]
    pub kubernetes_node: Option<String>,

    /// A file of settings, beside /etc/nstrace/config.toml and ~/.config/nstrace/config.toml.
    #[arg(long, value_name = "FILE", global = true, env = "NSTRACE_CONFIG")]
    pub config: Option<PathBuf>,
}

impl NameArgs {
    /// What Kubernetes calls this node.
    #[must_use]
    pub fn node(&self) -> String {
        let said = self.kubernetes_node.clone();
        // A kubelet takes the host's name in small letters.
        said.unwrap_or_else(|| sys::host_name().to_lowercase())
    }
}
