//! Docker's files, by the fields that Docker 20.10 writes, and garbage in their place.

use super::*;

fn root_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("temporary directory");
    for (id, content) in files {
        let dir = root.path().join("containers").join(id);
        fs::create_dir_all(&dir).expect("container directory");
        fs::write(dir.join("config.v2.json"), content).expect("container file");
    }
    root
}

fn file(id: &str, name: &str, running: bool) -> Vec<u8> {
    serde_json::json!({
        "ID": id,
        "Name": format!("/{name}"),
        "State": { "Running": running, "Paused": false, "Pid": if running { 4242 } else { 0 } },
        "Config": { "Image": "busybox:latest", "Labels": {} },
        "NetworkSettings": { "SandboxKey": "/nowhere/netns/0123456789ab", "Networks": {} },
    })
    .to_string()
    .into_bytes()
}

#[test]
fn running_containers_are_named() {
    let root = root_with(&[
        ("aa", &file("aa", "web", true)),
        ("bb", &file("bb", "old", false)),
    ]);
    let mut warnings = Vec::new();
    let found = Docker::new(root.path().to_owned()).containers(&mut warnings);
    let expected = Container {
        runtime: "docker".to_owned(),
        id: "aa".to_owned(),
        name: "web".to_owned(),
        image: "busybox:latest".to_owned(),
        // 4242 is in no cgroup of that name.
        pid: None,
        inode: None,
    };
    assert_eq!((found, warnings), (vec![expected], vec![]));
}

#[test]
fn garbage_is_said_and_hides_no_other_container() {
    let root = root_with(&[("aa", b"{\"ID\": 1}"), ("bb", &file("bb", "db", true))]);
    let mut warnings = Vec::new();
    let found = Docker::new(root.path().to_owned()).containers(&mut warnings);
    assert_eq!(found.len(), 1);
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("containers/aa/config.v2.json"),
        "{warnings:?}"
    );
}

#[test]
fn a_file_past_the_bound_is_refused() {
    let huge = vec![b' '; usize::try_from(MAX_FILE).expect("fits") + 1];
    let root = root_with(&[("aa", &huge)]);
    let mut warnings = Vec::new();
    assert!(
        Docker::new(root.path().to_owned())
            .containers(&mut warnings)
            .is_empty()
    );
    assert_eq!(warnings.len(), 1);
}

#[test]
fn a_host_without_docker_has_no_containers_and_no_warning() {
    let mut warnings = Vec::new();
    assert!(
        Docker::new("/nowhere".into())
            .containers(&mut warnings)
            .is_empty()
    );
    assert!(warnings.is_empty());
}

#[test]
fn a_file_that_is_replaced_is_read_again() {
    let root = root_with(&[("aa", &file("aa", "web", false))]);
    let mut docker = Docker::new(root.path().to_owned());
    let mut warnings = Vec::new();
    assert!(docker.containers(&mut warnings).is_empty());
    assert!(docker.containers(&mut warnings).is_empty());
    let path = root.path().join("containers/aa/config.v2.json");
    let next = root.path().join("next");
    fs::write(&next, file("aa", "web", true)).expect("container file");
    fs::rename(next, &path).expect("replaced");
    let found = docker.containers(&mut warnings);
    assert_eq!(found.len(), 1);
    fs::remove_file(path).expect("removed");
    assert!(docker.containers(&mut warnings).is_empty());
    assert_eq!(warnings, [""; 0]);
}
