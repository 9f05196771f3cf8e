//! Sockets that are asked beside the files: what they add, and that nothing depends on them.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixListener,
    process::Output,
    thread,
};

use serde_json::{Value, json};

use crate::support::{
    cri::{Containerd, Network},
    lab::Lab,
    nstrace::{NSTRACE, Top, class, ls, run},
    send,
};

/// Names that a document lists.
fn names(document: &Value) -> Vec<&str> {
    let netnses = document["namespaces"].as_array().unwrap().iter();
    netnses
        .map(|netns| netns["name"].as_str().unwrap())
        .collect()
}

fn warning(document: &Value) -> &str {
    let warnings = document["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{document:#}");
    warnings[0].as_str().unwrap()
}

#[test]
fn containerd_s_labels_come_by_its_socket() {
    const SOCKET: &str = "--cri-socket=/run/containerd/containerd.sock";
    let lab = Lab::new();
    let cri = Containerd::start(&lab);
    let web = cri.pod("shop/web-1", &[("app", "web")], Network::Pod);
    cri.container(&web, "app");
    cri.pod("shop/db-0", &[("app", "db")], Network::Pod);

    // Its files have none of the labels.
    let without = run(&lab, &["ls", "-l", "app=web"]);
    assert_eq!(without.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&without.stderr);
    assert!(errors.contains("-l app=web"), "{errors}");
    for socket in [SOCKET, "--cri-socket"] {
        let with = ls(&lab, &[socket, "-l", "app=web"]);
        assert_eq!(with["warnings"], json!([]));
        assert_eq!(names(&with), ["shop/web-1"]);
        assert_eq!(
            with["namespaces"][0]["containers"][0]["labels"]["app"],
            "web"
        );
    }
}

#[test]
fn nothing_depends_on_a_socket_that_hangs_lies_or_is_not_there() {
    let lab = Lab::new();
    let (red, blue) = (lab.pod("red"), lab.pod("blue"));
    // Files of a runtime that lies: a pipe that nobody writes, no JSON, too much, a link out.
    lab.shell(
        "mkdir -p /run/bad/containers; cd /run/bad/containers; mkdir a b c d; \
         mkfifo a/config.v2.json; echo '{{{' >b/config.v2.json; \
         truncate -s 1T c/config.v2.json; ln -s /etc/shadow d/config.v2.json; ln -s / e",
    );
    // Connections stand in its queue; nobody takes them.
    let hangs = UnixListener::bind(lab.path("/run/hangs.sock")).unwrap();
    let mut top = Top::start(
        &lab,
        &[
            "--docker-root=/run/bad",
            "--docker-socket=/run/hangs.sock",
            "--cri-socket=/run/not-there.sock",
        ],
    );
    top.until_attached(&["red", "blue"]);
    lab.up(&red);
    lab.up(&blue);
    lab.introduce(&red, &blue);
    send::udp(&lab, &red, &blue, &blue.ipv4, 500, 64);
    let counted = top.until_counted("red", || lab.device(&red.veth));
    assert_eq!(
        class(&counted, "ipv4_udp", "tx"),
        (500, 500 * (14 + 20 + 8 + 64))
    );
    let (status, _) = top.end("INT");
    assert!(status.success());

    let listed = ls(&lab, &["--docker-socket=/run/hangs.sock"]);
    assert!(
        warning(&listed).starts_with("the Docker socket /run/hangs.sock: no answer within 5 s")
    );
    assert!(names(&listed).contains(&"red"));
    drop(hangs);
    let listed = ls(&lab, &["--docker-socket=/run/hangs.sock"]);
    assert!(
        warning(&listed).contains("Connection refused"),
        "{listed:#}"
    );
    let listed = ls(&lab, &["--cri-socket=/run/not-there.sock"]);
    assert!(
        warning(&listed).contains("No such file or directory"),
        "{listed:#}"
    );

    // Something else than what was expected listens.
    let lies = UnixListener::bind(lab.path("/run/lies.sock")).unwrap();
    let server = thread::spawn(move || {
        for stream in lies.incoming().take(2) {
            // Whoever is answered nonsense may be gone before its end.
            drop(stream.unwrap().write_all(b"220 mail.example ESMTP\r\n"));
        }
    });
    for flag in ["--docker-socket", "--cri-socket"] {
        let listed = ls(&lab, &[&format!("{flag}=/run/lies.sock")]);
        warning(&listed);
        assert!(names(&listed).contains(&"red"));
    }
    server.join().unwrap();
}

/// A Kubernetes API that knows one pod, as it answers for metadata alone. Gives what was asked.
fn api(listener: &TcpListener, uid: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let asked = head(&mut stream);
    let pod = json!({
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": uid, "labels": {"app": "web"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8",
                "uid": "of-the-set", "controller": true,
            }],
        },
    });
    let list = json!({
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "7"}, "items": [pod],
    })
    .to_string();
    let length = list.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(list.as_bytes()).unwrap();
    asked
}

fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn kubernetes_says_labels_and_owners() {
    let lab = Lab::new();
    lab.run("ip link set lo up");
    let cri = Containerd::start(&lab);
    let web = cri.pod("shop/web-1", &[], Network::Pod);
    cri.pod("shop/db-0", &[], Network::Pod);
    let listener = lab.on_host(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let settings = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
         clusters: [{{name: lab, cluster: {{server: \"http://{address}\"}}}}]\n\
         contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]\n\
         users: [{{name: lab, user: {{}}}}]\n"
    );
    std::fs::write(lab.path("/run/kubeconfig"), settings).unwrap();
    let ask = |args: &[&str]| -> Output {
        lab.command(NSTRACE)
            .args(["ls", "-o", "json", "--kubernetes"])
            .args(["--kubernetes-node", "node-a"])
            .args(args)
            .env("KUBECONFIG", "/run/kubeconfig")
            .output()
            .unwrap()
    };

    let uid = web.uid().to_owned();
    let server = thread::spawn(move || (api(&listener, &uid), listener));
    let output = ask(&["-l", "app=web"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["warnings"], json!([]));
    assert_eq!(names(&document), ["shop/web-1"]);
    let pod = &document["namespaces"][0]["pod"];
    assert_eq!(pod["owner"], "ReplicaSet/web-5d4f8");
    let (asked, listener) = server.join().unwrap();
    let line = asked.lines().next().unwrap();
    assert!(
        line.starts_with("GET /api/v1/pods?")
            && line.contains("fieldSelector=spec.nodeName%3Dnode-a"),
        "{line}"
    );
    assert!(asked.contains("PartialObjectMetadataList"), "{asked}");

    // Another pod of that name, as after a deletion: not this one's.
    let server = thread::spawn(move || (api(&listener, "of-the-next"), listener));
    let document: Value = serde_json::from_slice(&ask(&["shop/*"]).stdout).unwrap();
    assert_eq!(names(&document), ["shop/db-0", "shop/web-1"]);
    assert_eq!(document["namespaces"][1]["pod"]["owner"], json!(null));

    // And when it answers no more.
    drop(server.join().unwrap());
    let document: Value = serde_json::from_slice(&ask(&["shop/*"]).stdout).unwrap();
    assert_eq!(names(&document), ["shop/db-0", "shop/web-1"]);
    assert!(warning(&document).starts_with("Kubernetes about the node node-a: "));
}
