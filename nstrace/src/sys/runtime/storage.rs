//! containers/storage: Podman's containers and CRI-O's, root's and ordinary users'.
//!
//! A run root has what is gone after a reboot, a graph root what stays; for each container both may
//! have a directory, of which Podman keeps the bundle in the graph root and CRI-O in both.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

use super::{
    FindInit, Found, Source,
    bundles::read_pid,
    docker::MAX_FILE,
    init,
    root::{Cache, Root, distinct},
};
use crate::{
    sys::proc,
    topology::{
        model::{Init, Network, Runtime},
        runtime::{
            libpod::{Database, join_pods},
            oci::Bundle,
            storage::{Listed, list},
        },
    },
};

const RUN_ROOT: &str = "/run/containers/storage";
const GRAPH_ROOT: &str = "/var/lib/containers/storage";
/// containers-storage.conf(5): the distribution's, and the administrator's.
const SETTINGS: [&str; 2] = [
    "/usr/share/containers/storage.conf",
    "/etc/containers/storage.conf",
];
/// Where users' run roots are, each in a directory of its own.
const USERS: &str = "/run/user";
/// The same of a graph root, below a user's home directory.
const USERS_GRAPH: &str = ".local/share/containers/storage";
/// Each storage driver has a directory of its own name.
const DRIVERS: [&str; 5] = ["overlay", "vfs", "btrfs", "zfs", "overlay2"];
/// Podman's database: bolt's, and since 4.8 `SQLite`'s.
const DATABASES: [&str; 2] = ["libpod/bolt_state.db", "db.sql"];
/// The list of all containers, and the database.
const MAX_LIST: u64 = 32 << 20;

/// How much of a store is looked at: of an ordinary user's, so much that no user makes us slow or large.
#[derive(Clone, Copy)]
struct Limits {
    containers: usize,
    file: u64,
    list: u64,
}

const OF_ROOT: Limits = Limits {
    containers: usize::MAX,
    file: MAX_FILE,
    list: MAX_LIST,
};
const OF_USERS: Limits = Limits {
    containers: 256,
    file: 256 << 10,
    list: 4 << 20,
};

/// A run root and its graph root.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) run: PathBuf,
    pub(super) graph: PathBuf,
    /// Whose it is, if not root's.
    pub(super) user: Option<u32>,
}

#[derive(Default, Deserialize)]
struct Settings {
    #[serde(default)]
    storage: Storage,
}

#[derive(Default, Deserialize)]
struct Storage {
    runroot: Option<PathBuf>,
    graphroot: Option<PathBuf>,
}

/// Root's stores: what the settings name, and these.
pub(super) fn of_root(run: &[PathBuf], graph: &[PathBuf]) -> Vec<Store> {
    let mut runs = vec![PathBuf::from(RUN_ROOT)];
    let mut graphs = vec![PathBuf::from(GRAPH_ROOT)];
    for path in SETTINGS {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
        let settings: Settings = read
            .ok()
            .and_then(|_| toml::from_str(&text).ok())
            .unwrap_or_default();
        runs.extend(settings.storage.runroot);
        graphs.extend(settings.storage.graphroot);
    }
    runs.extend_from_slice(run);
    graphs.extend_from_slice(graph);
    let (runs, graphs) = (distinct(runs), distinct(graphs));
    // Which belongs to which need not be known: a container is in one pair alone.
    let pairs = runs.iter().flat_map(|run| {
        graphs.iter().map(|graph| Store {
            run: run.clone(),
            graph: graph.clone(),
            user: None,
        })
    });
    pairs.collect()
}

/// Ordinary users' stores: of those who have a directory for what runs.
fn of_users() -> Vec<Store> {
    let Ok(users) = fs::read_dir(USERS) else {
        return Vec::new();
    };
    let homes = homes();
    users
        .flatten()
        .filter_map(|entry| {
            let user: u32 = entry.file_name().to_str()?.parse().ok()?;
            // It is named after its owner, or somebody plays tricks.
            (user != 0 && entry.metadata().ok()?.uid() == user).then_some(())?;
            Some(Store {
                run: entry.path().join("containers"),
                graph: homes.get(&user)?.join(USERS_GRAPH),
                user: Some(user),
            })
        })
        .collect()
}

/// Home directories by user: passwd(5).
fn homes() -> HashMap<u32, PathBuf> {
    let mut text = String::new();
    let read =
        File::open("/etc/passwd").and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    if read.is_err() {
        return HashMap::new();
    }
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':').skip(2);
            let user = fields.next()?.parse().ok()?;
            Some((user, PathBuf::from(fields.nth(2)?)))
        })
        .collect()
}

/// Whose stores a source looks at.
pub(super) enum Whose {
    /// These.
    Given(Vec<Store>),
    /// Those of whatever users there are.
    Users,
}

/// The containers in stores.
pub(super) struct ContainersStorage {
    whose: Whose,
    bundles: Cache<Arc<Bundle>>,
    lists: Cache<Arc<HashMap<String, Listed>>>,
    databases: Cache<Arc<Database>>,
    find_init: FindInit,
}

impl ContainersStorage {
    pub(super) fn new(whose: Whose) -> Self {
        Self::with(whose, init)
    }

    pub(super) fn with(whose: Whose, find_init: FindInit) -> Self {
        Self {
            whose,
            find_init,
            bundles: Cache::default(),
            lists: Cache::default(),
            databases: Cache::default(),
        }
    }
}

impl Source for ContainersStorage {
    fn name(&self) -> &'static str {
        match self.whose {
            Whose::Given(_) => "Podman and CRI-O",
            Whose::Users => "users' Podman",
        }
    }

    fn look(&mut self, afresh: bool) -> Found {
        let mut found = Found::default();
        self.bundles.begin(afresh);
        self.lists.begin(afresh);
        self.databases.begin(afresh);
        let stores = match &self.whose {
            Whose::Given(stores) => stores.clone(),
            Whose::Users => {
                found.dirs.push(PathBuf::from(USERS));
                of_users()
            }
        };
        for store in stores {
            let mut limits = if store.user.is_some() {
                OF_USERS
            } else {
                OF_ROOT
            };
            for driver in DRIVERS {
                self.look_at(&store, driver, &mut limits, &mut found);
            }
            if found.dirs.iter().all(|dir| !dir.starts_with(&store.run)) {
                found.dirs.push(store.run);
            }
        }
        found
    }
}

impl ContainersStorage {
    fn look_at(&mut self, store: &Store, driver: &str, limits: &mut Limits, found: &mut Found) {
        let open = |path: &Path| match store.user {
            Some(_) => Root::open_users(path),
            None => Root::open(path),
        };
        let (Ok(run), Ok(graph)) = (open(&store.run), open(&store.graph)) else {
            return;
        };
        let dir = format!("{driver}-containers");
        let Ok(ids) = run.names(&dir) else {
            return;
        };
        found.dirs.extend([run.path(&dir), graph.path(&dir)]);
        let list_file = format!("{dir}/containers.json");
        let listed = self
            .lists
            .get(
                &graph,
                &list_file,
                limits.list,
                &mut found.warnings,
                &mut found.is_unfinished,
                |document| list(document).map(Arc::new),
            )
            .unwrap_or_default();
        let mut members = Vec::new();
        for id in ids {
            let Some(left) = limits.containers.checked_sub(1) else {
                let most = OF_USERS.containers;
                let warning = format!("no names beyond {most} from {}", store.run.display());
                found.warnings.push(warning);
                break;
            };
            limits.containers = left;
            let userdata = format!("{dir}/{id}/userdata");
            // No link of a user's is followed, as that which is no directory is not.
            let own = [&userdata, &format!("{dir}/{id}")];
            let own = own.into_iter().find(|dir| run.is_dir(dir));
            found.dirs.extend(own.map(|own| run.path(own)));
            let file = format!("{userdata}/config.json");
            let mut read = |root: &Root| {
                self.bundles.get(
                    root,
                    &file,
                    limits.file,
                    &mut found.warnings,
                    &mut found.is_unfinished,
                    |document| Bundle::parse(document).map(Arc::new),
                )
            };
            let Some(bundle) = read(&run).or_else(|| read(&graph)) else {
                continue;
            };
            let Some(mut member) = bundle.storage(id.clone(), listed.get(&id)) else {
                continue;
            };
            let container = &mut member.container;
            container.init =
                first_process(self.find_init, &run, &format!("{userdata}/pidfile"), &id);
            if let Some(user) = store.user {
                // Nobody runs Kubernetes so.
                if container.runtime != Runtime::Podman {
                    continue;
                }
                container.user = Some(user);
                // A user's word counts for what is that user's, and of a file that is not known.
                container.network = Network::Process;
            }
            // The directory stays when the container has stopped. CRI-O's sandbox may need no process:
            // the file that holds its namespace goes with it.
            let is_pinned =
                container.runtime == Runtime::Crio && matches!(container.network, Network::File(_));
            if container.init.is_some() || is_pinned {
                members.push(member);
            }
        }
        if members.is_empty() {
            return;
        }
        let database = self.database(&graph, limits.list, found);
        // A container whose bundle is in the run root is found beside every graph root.
        let known: HashSet<String> = found.containers.iter().map(|one| one.id.clone()).collect();
        let joined = join_pods(members, &database).into_iter();
        found
            .containers
            .extend(joined.filter(|one| !known.contains(&one.id)));
    }

    /// Podman's database, if there is one.
    fn database(&mut self, graph: &Root, most: u64, found: &mut Found) -> Arc<Database> {
        let mut read = |name: &str| {
            self.databases.get(
                graph,
                name,
                most,
                &mut found.warnings,
                &mut found.is_unfinished,
                |bytes| Ok(Arc::new(Database::search(bytes))),
            )
        };
        DATABASES
            .iter()
            .find_map(|name| read(name))
            .unwrap_or_default()
    }
}

/// The process in a pidfile, if it is the container's: by its cgroup, or, where containers have none
/// of their own (rootless with cgroup v1), because it was there when the file was written.
fn first_process(find_init: FindInit, run: &Root, pidfile: &str, id: &str) -> Option<Init> {
    let pid = read_pid(run, pidfile)?;
    find_init(pid, id).or_else(|| {
        let written = run.stamp(pidfile)?.2;
        let started = proc::start_time(pid)?;
        let is_older = proc::started_at(started)? <= written;
        is_older.then_some(Init { pid, started })
    })
}
