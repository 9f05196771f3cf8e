//! Documents cut short or made up; recorded ones are in the tests of [`crate::sys::runtime`].

use proptest::prelude::*;

use super::{
    cgroup::{by_parent, container},
    docker, libpod,
    oci::Bundle,
    storage,
};
use crate::topology::model::{Container, Network, Runtime};

#[track_caller]
fn check_cgroup(cgroups: &str, expected: Option<(Runtime, &str)>) {
    let found = container(cgroups);
    let found = found.as_ref().map(|one| (one.runtime, &*one.name));
    assert_eq!(found, expected, "{cgroups}");
}

const ID: &str = "9ffcb0d77436f97a46bdf9ed2557afbbb85d839ef6a5f0eea1f5895d8e589748";

#[test]
fn a_cgroup_says_whose_it_is() {
    let docker = Some((Runtime::Docker, "docker:9ffcb0d77436"));
    let podman = Some((Runtime::Podman, "podman:9ffcb0d77436"));
    let containerd = Some((Runtime::Containerd, "containerd:9ffcb0d77436"));
    // By cgroupfs, as recorded; by systemd, as documented.
    check_cgroup(
        &format!("9:name=systemd:/docker/{ID}\n0::/docker/{ID}\n"),
        docker,
    );
    check_cgroup(&format!("0::/system.slice/docker-{ID}.scope\n"), docker);
    check_cgroup(
        &format!("8:pids:/libpod_parent/libpod-{ID}\n0::/\n"),
        podman,
    );
    check_cgroup(
        &format!("0::/machine.slice/libpod-{ID}.scope/container\n"),
        podman,
    );
    check_cgroup(
        &format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n"),
        containerd,
    );
    check_cgroup(
        &format!("0::/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope\n"),
        Some((Runtime::Crio, "cri-o:9ffcb0d77436")),
    );
    check_cgroup(
        "4:memory:/x/lxc.payload.box\n0::/lxc.payload.box\n",
        Some((Runtime::Lxc, "box")),
    );
    check_cgroup("5:devices:/lxc/old\n", Some((Runtime::Lxc, "old")));
    check_cgroup(
        "0::/machine.slice/machine-my\\x2dbox.scope/payload\n",
        Some((Runtime::Nspawn, "my-box")),
    );
    check_cgroup(
        "0::/machine.slice/systemd-nspawn@box.service/payload\n",
        Some((Runtime::Nspawn, "box")),
    );
}

#[test]
fn the_innermost_cgroup_counts() {
    let inner = ID.replace('9', "1");
    check_cgroup(
        &format!("0::/docker/{ID}/docker/{inner}\n"),
        Some((Runtime::Docker, &format!("docker:{}", &inner[..12]))),
    );
}

#[test]
fn other_cgroups_say_nothing() {
    for cgroups in [
        "",
        "0::/\n",
        "0::/user.slice/user-1000.slice/session-1.scope\n",
        "0::/docker/short\n",
        "0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope\n",
        "0::/lxc.monitor.box\n",
        "nonsense",
        "1:2",
    ] {
        check_cgroup(cgroups, None);
    }
}

#[test]
fn a_parent_says_what_it_has_started() {
    let check = |comm: &str, line: &[&str], expected: Option<&str>| {
        let arguments: Vec<String> = line.iter().map(ToString::to_string).collect();
        let found = by_parent(comm, &arguments);
        assert_eq!(found.as_ref().map(|one| &*one.name), expected, "{line:?}");
    };
    // As recorded.
    check(
        "lxc-start",
        &["[lxc monitor] /run/lxcpath box"],
        Some("box"),
    );
    check(
        "systemd-nspawn",
        &[
            "systemd-nspawn",
            "-D",
            "/run/machine",
            "--register=no",
            "-M",
            "nsbox",
            "sleep",
        ],
        Some("nsbox"),
    );
    check(
        "systemd-nspawn",
        &["systemd-nspawn", "--machine=box"],
        Some("box"),
    );
    check(
        "systemd-nspawn",
        &["systemd-nspawn", "-D", "/srv/box/"],
        Some("box"),
    );
    check("lxc-start", &["lxc-start", "-F", "-n", "box"], Some("box"));
    check("bash", &["bash", "-M", "x"], None);
    check("systemd-nspawn", &[], None);
    check("", &[], None);
}

#[test]
fn cri_dockerds_containers_are_pods() {
    let document = |name: &str, labels: &str| {
        let text = format!(
            "{{\"ID\":\"{ID}\",\"Name\":\"/{name}\",\"State\":{{\"Running\":true,\"Pid\":7}},\
             \"Config\":{{\"Image\":\"pause\",\"Labels\":{labels}}},\
             \"NetworkSettings\":{{\"SandboxKey\":\"/var/run/docker/netns/ab\"}}}}"
        );
        docker::container(text.as_bytes()).expect("a document").0
    };
    let shown = |one: &Container| (one.shown_as().0, one.name.clone(), one.is_sandbox);
    // By the name alone, and by labels.
    let sandbox = document("k8s_POD_web-1_shop_11-22_0", "null");
    assert_eq!(
        shown(&sandbox),
        ("shop/web-1".to_owned(), "POD".to_owned(), true)
    );
    let app = document(
        "k8s_app_web-1_shop_11-22_0",
        "{\"app\":\"web\",\"annotation.x\":\"y\"}",
    );
    assert_eq!(
        shown(&app),
        ("shop/web-1".to_owned(), "app".to_owned(), false)
    );
    assert_eq!(app.labels.len(), 1);
    let labels = "{\"io.kubernetes.docker.type\":\"podsandbox\",\"io.kubernetes.pod.name\":\"db-0\",\
                  \"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.pod.uid\":\"33\"}";
    let by_labels = document("whatever", labels);
    assert_eq!(
        shown(&by_labels),
        ("shop/db-0".to_owned(), "POD".to_owned(), true)
    );
    let plain = document("k8s_of-mine", "{}");
    assert_eq!(shown(&plain).0, "k8s_of-mine");
}

#[test]
fn nerdctls_containers_have_their_names() {
    let text = "{\"annotations\":{\"nerdctl/name\":\"web\"},\"linux\":{\"namespaces\":[{\"type\":\"network\"}]}}";
    let bundle = Bundle::parse(text.as_bytes()).expect("a document");
    let found = bundle.containerd(ID.to_owned(), "default");
    assert_eq!((&*found.name, found.network), ("web", Network::Process));
    let bare = Bundle::parse(b"{}").expect("a document");
    let found = bare.containerd(ID.to_owned(), "default");
    assert_eq!(&*found.name, "default:9ffcb0d77436");
}

#[test]
fn a_database_is_searched_for_documents_only() {
    let pod =
        format!("{{\"id\":\"{ID}\",\"name\":\"shop\",\"labels\":{{\"a\":\"b\"}},\"more\":[1]}}");
    let mut bytes = vec![0xff; 100];
    // Cut off, nested in another, of another kind, and whole.
    bytes.extend_from_slice(&pod.as_bytes()[..90]);
    bytes.extend_from_slice(b"\0{\"id\":7}{\"id\":\"x\"}{{{");
    bytes.extend_from_slice(pod.as_bytes());
    let listed = storage::Listed {
        name: format!("{}-infra", &ID[..12]),
        image: String::new(),
    };
    let bundle = "{\"annotations\":{\"io.container.manager\":\"libpod\"},\"hostname\":\"h\"}";
    let bundle = Bundle::parse(bundle.as_bytes()).expect("a document");
    let member = bundle
        .storage("aa".to_owned(), Some(&listed))
        .expect("Podman's");
    let database = libpod::Database::search(&bytes);
    let [joined] = &libpod::join_pods(vec![member], &database)[..] else {
        panic!("one container");
    };
    assert_eq!(joined.shown_as().0, "shop");
    assert_eq!(joined.labels.len(), 1);
}

proptest! {
    #[test]
    fn nothing_panics_whatever_is_read(bytes in any::<Vec<u8>>(), text in any::<String>()) {
        drop(docker::container(&bytes));
        drop(storage::list(&bytes));
        drop(libpod::Database::search(&bytes));
        if let Ok(bundle) = Bundle::parse(&bytes) {
            drop(bundle.containerd(text.clone(), &text));
        }
        drop(container(&text));
        drop(by_parent(&text, std::slice::from_ref(&text)));
        drop(by_parent("systemd-nspawn", &[text.clone(), text]));
    }
}
