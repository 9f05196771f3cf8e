//! Trees of files as runtimes leave them (see `fixtures/README.md`), and garbage in their place.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{bundles::Containerd, docker::Docker, root::Root, storage::*, *};
use crate::topology::model::{Network, Runtime};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/sys/runtime/fixtures")
        .join(name)
}

/// Whoever is asked for lives.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands for what may find nobody"
)]
fn alive(pid: u32, _id: &str) -> Option<Init> {
    Some(Init { pid, started: 1 })
}

fn nobody(_pid: u32, _id: &str) -> Option<Init> {
    None
}

/// A container in a line: name, pod, what it is, network, pid.
fn line(container: &Container) -> String {
    let pod = container
        .pod
        .as_ref()
        .map_or_else(|| "-".to_owned(), ToString::to_string);
    let sandbox = if container.is_sandbox { " sandbox" } else { "" };
    let network = match &container.network {
        Network::Process => "process".to_owned(),
        Network::Host => "host".to_owned(),
        Network::File(path) => path.display().to_string(),
        Network::Container(id) => format!("of {}", &id[..4]),
    };
    let pid = container.init.map_or(0, |init| init.pid);
    let name = &container.name;
    format!("{name} in {pod}{sandbox}: {network}, {pid}")
}

#[track_caller]
fn check(found: &Found, expected: &[&str]) {
    let mut lines: Vec<String> = found.containers.iter().map(line).collect();
    lines.sort();
    assert_eq!(lines, expected);
    assert_eq!(found.warnings, [""; 0]);
}

fn of<'a>(found: &'a Found, name: &str) -> &'a Container {
    let mut containers = found.containers.iter();
    containers
        .find(|one| one.name == name)
        .expect("it is found")
}

fn labels(container: &Container) -> Vec<String> {
    let labels = container.labels.iter();
    labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

fn docker(root: &Path) -> Docker {
    Docker::below(vec![root.to_owned()], alive)
}

fn containerd(state: &Path) -> Containerd {
    Containerd::below(vec![state.to_owned()], alive)
}

fn storage(root: &Path, user: Option<u32>) -> ContainersStorage {
    let store = Store {
        run: root.join("run"),
        graph: root.join("graph"),
        user,
    };
    ContainersStorage::with(Whose::Given(vec![store]), alive)
}

#[test]
fn docker_20_10_is_read() {
    let mut docker = docker(&fixture("docker-20.10"));
    let found = docker.look(true);
    check(
        &found,
        &[
            "created in -: process, 0",
            "db in -: /run/engine/exec/netns/a4cfa7dbd091, 632",
            "none in -: /run/engine/exec/netns/db3883f5a5c0, 568",
            "on-host in -: /run/engine/exec/netns/default, 517",
            "sidecar in -: process, 463",
            "stopped in -: process, 0",
            "web in -: /run/engine/exec/netns/6dd7d5d7ab24, 360",
        ],
    );
    let web = of(&found, "web");
    assert_eq!(
        (web.runtime, &*web.image),
        (Runtime::Docker, "lab/busybox:1")
    );
    assert_eq!(labels(web), ["app=web", "tier=front"]);
    // What has not changed is the same.
    assert_eq!(docker.look(false).containers, found.containers);
}

#[test]
fn containerd_1_6_is_read() {
    let found = containerd(&fixture("containerd-1.6")).look(true);
    check(
        &found,
        &[
            "POD in kube-system/agent sandbox: host, 324",
            "POD in shop/db-0 sandbox: /var/run/netns/cni-95efc7e5-5986-eca1-28fc-b2d61f1f178c, 247",
            "POD in shop/web-1 sandbox: /var/run/netns/cni-8731bb2b-1a2c-2ecd-ae25-44965d919a44, 129",
            "agent in kube-system/agent: of 3fcb, 356",
            "app in shop/web-1: of 490f, 160",
            "db in shop/db-0: of 3758, 281",
            "sidecar in shop/web-1: of 490f, 191",
        ],
    );
    let app = of(&found, "sidecar");
    assert_eq!(
        (app.runtime, &*app.image),
        (Runtime::Containerd, "docker.io/lab/busybox:1")
    );
    let uid = app.pod.as_ref().and_then(|pod| pod.uid.as_deref());
    assert_eq!(uid, Some("11111111-2222-3333-4444-555555555501"));
    // Everything has been written: nothing changes in a bundle any more.
    let bundle = format!("k8s.io/{}", app.id);
    assert!(found.dirs.iter().all(|dir| !dir.ends_with(&bundle)));
}

#[test]
fn podman_4_3_is_read() {
    let found = storage(&fixture("podman-4.3"), None).look(true);
    check(
        &found,
        &[
            "9b2a28dfa981-infra in shop sandbox: /run/netns/netns-32460610-123e-a15a-02db-3bc17e53bcc1, 1017",
            "back in shop: process, 1069",
            "db in -: /run/netns/netns-5b994c93-d18f-fef2-1440-2f577114c1ef, 649",
            "front in shop: process, 1039",
            "netted in -: /run/netns/netns-b7b8b3ba-0619-4e44-9872-a6d8749bf83f, 815",
            "none in -: process, 709",
            "on-host in -: host, 679",
            "sidecar in -: process, 507",
            "web in -: /run/netns/netns-ea280175-4d29-a4a7-4ea9-ef1f5059f651, 432",
        ],
    );
    let front = of(&found, "front");
    assert_eq!(
        (front.runtime, &*front.image),
        (Runtime::Podman, "localhost/lab/busybox:1")
    );
    assert_eq!(labels(front), ["app=front"]);
    assert_eq!(labels(of(&found, "9b2a28dfa981-infra")), ["team=sales"]);
    // Of its database, these pages are not among the recorded ones.
    assert_eq!(labels(of(&found, "web")), [""; 0]);
}

#[test]
fn a_pod_of_podmans_is_called_after_its_host_name_where_the_database_does_not_say() {
    let tree = copy("podman-4.3");
    fs::remove_file(tree.path().join("graph/libpod/bolt_state.db")).expect("there it was");
    let found = storage(tree.path(), None).look(true);
    let pod = |name: &str| of(&found, name).pod.as_ref().map(ToString::to_string);
    assert_eq!(pod("front").as_deref(), Some("shop"));
    assert_eq!(pod("web"), None);
}

#[test]
fn a_users_podman_is_read_and_its_files_believed_about_names_alone() {
    let found = storage(&fixture("podman-4.3-rootless"), Some(4242)).look(true);
    assert_eq!(found.containers.len(), 3);
    for container in &found.containers {
        assert_eq!(container.user, Some(4242));
        assert_eq!(container.network, Network::Process, "{}", line(container));
    }
    let mut names: Vec<&str> = found.containers.iter().map(|one| &*one.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["rbridged", "rbridged2", "rweb"]);
}

#[test]
fn cri_o_is_read_as_its_source_says() {
    let found = storage(&fixture("cri-o"), None).look(true);
    let netns = "/var/run/netns/dec735d1-0e86-44c1-94e0-a102173334a4";
    check(
        &found,
        &[
            "POD in kube-system/agent sandbox: host, 4712",
            &format!("POD in shop/web-1 sandbox: {netns}, 0"),
            "agent in kube-system/agent: host, 4713",
            &format!("app in shop/web-1: {netns}, 4711"),
        ],
    );
    let sandbox = found.containers.iter().find(|one| one.id.starts_with('5'));
    let labels = labels(sandbox.expect("the sandbox"));
    assert!(labels.contains(&"app=web".to_owned()), "{labels:?}");
    assert_eq!(of(&found, "app").image, "registry.example/shop/web:1");
}

#[test]
fn what_has_stopped_is_not_there() {
    let store = Store {
        run: fixture("podman-4.3").join("run"),
        graph: fixture("podman-4.3").join("graph"),
        user: None,
    };
    let found = ContainersStorage::with(Whose::Given(vec![store]), nobody).look(true);
    // Also where the file of its namespace is another's who is there still. A pid of the lab may be
    // somebody's here, who was there before the file.
    let stopped = found.containers.iter().find(|one| one.init.is_none());
    assert_eq!(stopped, None);
}

/// A fixture that may be changed.
fn copy(name: &str) -> tempfile::TempDir {
    fn copy_dir(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("a directory");
        for entry in fs::read_dir(from).expect("the fixture") {
            let entry = entry.expect("an entry");
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy_dir(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).expect("copied");
            }
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    copy_dir(&fixture(name), dir.path());
    dir
}

/// Every file that a source reads of one container, and a container beside it.
struct Victim {
    source: fn(&Path) -> Box<dyn Source>,
    fixture: &'static str,
    file: &'static str,
    other: &'static str,
}

const VICTIMS: [Victim; 3] = [
    Victim {
        source: |root| Box::new(docker(root)),
        fixture: "docker-20.10",
        file: "containers/9ffcb0d77436f97a46bdf9ed2557afbbb85d839ef6a5f0eea1f5895d8e589748/config.v2.json",
        other: "db",
    },
    Victim {
        source: |root| Box::new(containerd(root)),
        fixture: "containerd-1.6",
        file: "io.containerd.runtime.v2.task/k8s.io/490f5f9cb526de568fa228a4d6646d393a36746cb74ca8d251f0a4503c2523d2/config.json",
        other: "sidecar",
    },
    Victim {
        source: |root| Box::new(storage(root, None)),
        fixture: "podman-4.3",
        file: "graph/overlay-containers/4d7b537531891a78e102d5a2259b49ac52ff263946a477854afbaffe4d6157f7/userdata/config.json",
        other: "db",
    },
];

/// That what `spoil` puts in a file's place costs that file's container alone, and is said; or is
/// looked at again, as long as it is young.
#[track_caller]
fn check_spoilt(spoil: impl Fn(&Path), is_said: bool) {
    for victim in VICTIMS {
        let tree = copy(victim.fixture);
        let whole = (victim.source)(tree.path()).look(true).containers.len();
        let file = tree.path().join(victim.file);
        fs::remove_file(&file).expect("there it was");
        spoil(&file);
        let found = (victim.source)(tree.path()).look(true);
        assert_eq!(found.containers.len(), whole - 1, "{}", victim.fixture);
        of(&found, victim.other);
        let said = found.warnings.iter().any(|one| one.contains(victim.file));
        assert_eq!(said, is_said, "{:?}", found.warnings);
    }
}

/// As if it had been written long ago.
fn age(file: &Path) {
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    let file = fs::File::options().write(true).open(file).expect("a file");
    file.set_modified(long_ago).expect("its own file");
}

#[test]
fn garbage_costs_its_own_container_alone() {
    check_spoilt(
        |file| {
            fs::write(file, b"{\"ID\": [[[").expect("written");
            age(file);
        },
        true,
    );
    check_spoilt(
        |file| {
            fs::write(file, "[".repeat(1 << 20)).expect("written");
            age(file);
        },
        true,
    );
    check_spoilt(
        |file| {
            fs::write(file, vec![b' '; (4 << 20) + 1]).expect("written");
            age(file);
        },
        true,
    );
    check_spoilt(|file| fs::create_dir(file).expect("made"), false);
}

#[test]
fn what_is_written_just_now_is_not_complained_of() {
    check_spoilt(|file| fs::write(file, b"{\"ID\":").expect("written"), false);
}

#[test]
fn a_pipe_without_a_writer_keeps_nobody_waiting() {
    check_spoilt(
        |file| {
            let mode = nix::sys::stat::Mode::S_IRUSR;
            nix::unistd::mkfifo(file, mode).expect("made");
        },
        false,
    );
}

#[test]
fn no_link_leads_out_of_the_root() {
    let outside = tempfile::tempdir().expect("a directory");
    let elsewhere = outside.path().join("elsewhere.json");
    fs::write(
        &elsewhere,
        fs::read(fixture(VICTIMS[0].fixture).join(VICTIMS[0].file)).unwrap_or_default(),
    )
    .expect("written");
    // A link has no age of its own: it is as old as it is made.
    check_spoilt(|file| symlink(&elsewhere, file).expect("linked"), false);
    let root = tempfile::tempdir().expect("a directory");
    symlink("/proc/self/environ", root.path().join("magic")).expect("linked");
    symlink("../../../../etc/passwd", root.path().join("up")).expect("linked");
    fs::write(root.path().join("plain"), b"text").expect("written");
    symlink("plain", root.path().join("inside")).expect("linked");
    let root = Root::open(root.path()).expect("a directory");
    assert!(root.read("magic", 100).is_err());
    assert!(root.read("up", 100).is_err());
    assert!(root.read("../etc/passwd", 100).is_err());
    assert_eq!(root.read("inside", 100).expect("within").1, b"text");
}

#[test]
fn a_file_that_is_replaced_is_read_again() {
    let tree = copy("docker-20.10");
    let mut docker = docker(tree.path());
    assert_eq!(of(&docker.look(true), "web").name, "web");
    let file = tree.path().join(VICTIMS[0].file);
    let text = fs::read_to_string(&file).expect("the fixture");
    let next = tree.path().join("next");
    fs::write(&next, text.replace("\"/web\"", "\"/shop\"")).expect("written");
    fs::rename(next, &file).expect("replaced");
    assert_eq!(of(&docker.look(false), "shop").labels.len(), 2);
    fs::remove_dir_all(file.parent().expect("a directory")).expect("removed");
    assert_eq!(docker.look(false).containers.len(), 6);
}

#[test]
fn a_host_without_runtimes_has_no_containers_and_no_warnings() {
    let nowhere = Path::new("/nowhere");
    check(&docker(nowhere).look(true), &[]);
    check(&containerd(nowhere).look(true), &[]);
    check(&storage(nowhere, None).look(true), &[]);
}
