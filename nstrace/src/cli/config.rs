//! Settings from files: what else could be typed each time.
//!
//! `/etc/nstrace/config.toml`, then `nstrace/config.toml` below `$XDG_CONFIG_HOME` or `~/.config`, then
//! what `--config` names; what is said later counts, lists grow. The environment counts before all
//! of that, and the command line before the environment. As root by sudo, `~` is root's.

use std::{
    env,
    fs::File,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    Failure,
    args::{DEFAULT, GlobalArgs},
};
use crate::{
    sys::{
        ask::{self, Ask},
        runtime::Roots,
    },
    topology::target::{Pattern, Selection, Target},
};

/// More than anybody types.
const MAX_FILE: u64 = 1 << 20;

/// A file, or all of them together.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Settings {
    namespace: Option<String>,
    docker_roots: Vec<PathBuf>,
    containerd_states: Vec<PathBuf>,
    storage_runroots: Vec<PathBuf>,
    storage_graphroots: Vec<PathBuf>,
    docker_socket: Option<PathBuf>,
    cri_socket: Option<PathBuf>,
    kubernetes: Option<bool>,
}

/// Settings, resolved.
#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    /// The Kubernetes namespace where none is said.
    namespace: Option<Pattern>,
    /// Where runtimes keep their files.
    pub(super) roots: Roots,
    /// Whom to ask beside.
    pub(super) ask: Ask,
}

impl Config {
    /// Reads the files, and puts what was typed on top.
    pub(super) fn load(args: &GlobalArgs) -> Result<Self, Failure> {
        let mut settings = Settings::default();
        for path in places() {
            if let Some(text) = read(&path, false)? {
                settings.extend(parse(&path, &text)?);
            }
        }
        if let Some(path) = &args.names.config
            && let Some(text) = read(path, true)?
        {
            settings.extend(parse(path, &text)?);
        }
        let names = &args.names;
        let path =
            |typed: &Option<PathBuf>, settings: Option<PathBuf>, default: fn() -> PathBuf| {
                let said = typed.clone().or(settings)?;
                let is_default = said == Path::new(DEFAULT);
                Some(if is_default { default() } else { said })
            };
        let is_asked = names.kubernetes || settings.kubernetes.unwrap_or_default();
        let ask = Ask {
            docker: path(
                &names.docker_socket,
                settings.docker_socket,
                ask::docker_socket,
            ),
            cri: path(&names.cri_socket, settings.cri_socket, ask::cri_socket),
            kubernetes: is_asked.then(|| names.node()),
        };
        ask.check().map_err(|missing| Failure::Usage {
            message: missing.to_string(),
            hint: Some(format!("cargo build --release --features {}", missing.0)),
        })?;
        let both = |settings: Vec<PathBuf>, typed: &[PathBuf]| [&settings[..], typed].concat();
        Ok(Self {
            namespace: settings.namespace.as_deref().map(Pattern::new),
            roots: Roots {
                docker: both(settings.docker_roots, &names.docker_root),
                containerd: both(settings.containerd_states, &names.containerd_state),
                storage_run: both(settings.storage_runroots, &names.storage_runroot),
                storage_graph: both(settings.storage_graphroots, &names.storage_graphroot),
            },
            ask,
        })
    }

    /// What is meant by TARGETs and the options beside them.
    pub(super) fn selection(
        &self,
        select: &super::args::SelectArgs,
        targets: Vec<Target>,
    ) -> Selection {
        select.selection(targets, self.namespace.as_ref())
    }
}

impl Settings {
    fn extend(&mut self, later: Self) {
        let Self {
            namespace,
            docker_roots,
            containerd_states,
            storage_runroots,
            storage_graphroots,
            docker_socket,
            cri_socket,
            kubernetes,
        } = later;
        self.namespace = namespace.or(self.namespace.take());
        self.docker_socket = docker_socket.or(self.docker_socket.take());
        self.cri_socket = cri_socket.or(self.cri_socket.take());
        self.kubernetes = kubernetes.or(self.kubernetes);
        self.docker_roots.extend(docker_roots);
        self.containerd_states.extend(containerd_states);
        self.storage_runroots.extend(storage_runroots);
        self.storage_graphroots.extend(storage_graphroots);
    }
}

fn places() -> Vec<PathBuf> {
    const FILE: &str = "nstrace/config.toml";
    let directory = |name: &str| {
        env::var_os(name)
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
    };
    let own = directory("XDG_CONFIG_HOME")
        .or_else(|| Some(directory("HOME")?.join(".config")))
        .map(|dir| dir.join(FILE));
    std::iter::once(Path::new("/etc").join(FILE))
        .chain(own)
        .collect()
}

/// A file's text; `None` where it need not be there and is not.
fn read(path: &Path, must_be: bool) -> Result<Option<String>, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text)),
        Err(error)
            if !must_be
                && matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
                ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Failure::Usage {
            message: format!("read the settings {}: {error}", path.display()),
            hint: None,
        }),
    }
}

fn parse(path: &Path, text: &str) -> Result<Settings, Failure> {
    toml::from_str(text).map_err(|error| Failure::Usage {
        // With the line; its further lines draw the place.
        message: format!(
            "settings {}: {}",
            path.display(),
            error.to_string().trim_end().replace('\n', "; ")
        ),
        hint: Some(
            "keys are: namespace, docker-roots, containerd-states, storage-runroots, \
             storage-graphroots, docker-socket, cri-socket, kubernetes"
                .to_owned(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(text: &str) -> Settings {
        parse(Path::new("config.toml"), text).expect("settings")
    }

    #[test]
    fn later_files_replace_words_and_lengthen_lists() {
        let mut settings = parsed("namespace = \"shop\"\ndocker-roots = [\"/data/docker\"]");
        settings.extend(parsed(
            "docker-roots = [\"/more\"]\ncontainerd-states = [\"/c\"]",
        ));
        assert_eq!(
            settings,
            Settings {
                namespace: Some("shop".to_owned()),
                docker_roots: vec!["/data/docker".into(), "/more".into()],
                containerd_states: vec!["/c".into()],
                ..Settings::default()
            }
        );
        settings.extend(parsed("namespace = \"web\""));
        assert_eq!(settings.namespace.as_deref(), Some("web"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let error = parse(Path::new("/c.toml"), "docker-root = \"/x\"").expect_err("no such key");
        let Failure::Usage { message, .. } = error else {
            panic!("{error:?}");
        };
        assert!(
            message.starts_with("settings /c.toml: TOML parse error at line 1"),
            "{message}"
        );
        assert!(message.contains("unknown field `docker-root`"), "{message}");
    }
}
