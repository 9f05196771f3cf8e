//! Each format of one small graph.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::topology::model::{
    Container, Identity, Iface, Ifindex, Init, Kind, Link, NetnsInode, Nsid, Peer, Runtime, Watch,
};

fn link(ifindex: u32, name: &str, kind: &str, addresses: &[&str]) -> Link {
    Link {
        mac: Some(format!("02:00:00:00:00:{ifindex:02x}")),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        ..Link::sample(ifindex, name, kind)
    }
}

fn unwatched(link: Link, why: &str) -> Iface {
    Iface {
        link,
        peer: None,
        watch: Watch::No(why.to_owned()),
    }
}

fn loopback() -> Iface {
    let link = Link {
        mac: None,
        mtu: 65536,
        state: "unknown".to_owned(),
        ..link(1, "lo", "loopback", &["127.0.0.1/8"])
    };
    unwatched(link, "loopback")
}

fn peer(name: &str, ifindex: u32, master: Option<&str>) -> Peer {
    Peer {
        name: name.to_owned(),
        ifindex: Ifindex(ifindex),
        master: master.map(str::to_owned),
    }
}

fn netns(name: &str, kind: Kind, identity: Identity, interfaces: Vec<Iface>) -> Netns {
    Netns {
        identity,
        nsid: None,
        name: name.to_owned(),
        kind,
        paths: Vec::new(),
        pids: Vec::new(),
        containers: Vec::new(),
        interfaces,
    }
}

const fn inode(inode: u32) -> Identity {
    Identity::Inode(NetnsInode(inode), Some(5))
}

/// The host, a container that is watched, a namespace that is not, and one of which little is
/// known.
fn small() -> Vec<Netns> {
    let end = Iface {
        peer: Some(peer("eth0", 2, None)),
        ..unwatched(
            link(14, "veth1a2b", "veth", &[]),
            "the host's end of a veth pair",
        )
    };
    let host = Netns {
        pids: vec![1, 800],
        interfaces: vec![
            loopback(),
            unwatched(
                link(4, "br0", "bridge", &["198.18.0.1/24"]),
                "the host's own",
            ),
            end,
        ],
        ..netns("host", Kind::Host, inode(4_026_531_840), vec![])
    };
    let eth0 = ["198.18.0.2/24", "fe80::2/64", "2001:db8::2/64"];
    let web = Netns {
        nsid: Some(Nsid(0)),
        paths: vec![PathBuf::from("/run/docker/netns/0123456789ab")],
        pids: vec![4242, 4250],
        containers: vec![Container {
            image: "busybox:latest".to_owned(),
            init: Some(Init {
                pid: 4242,
                started: 1,
            }),
            inode: Some(NetnsInode(4_026_532_200)),
            ..Container::new(
                Runtime::Docker,
                "fedcba9876543210".to_owned(),
                "web".to_owned(),
            )
        }],
        interfaces: vec![
            loopback(),
            Iface {
                link: link(2, "eth0", "veth", &eth0),
                peer: Some(peer("veth1a2b", 14, Some("br0"))),
                watch: Watch::HostVeth,
            },
        ],
        ..netns("web", Kind::Container, inode(4_026_532_200), vec![])
    };
    let blue = netns("blue", Kind::Named, inode(4_026_532_300), vec![loopback()]);
    let unknown = Netns {
        nsid: Some(Nsid(7)),
        ..netns("nsid:7", Kind::Unnamed, Identity::Nsid(Nsid(7)), vec![])
    };
    vec![host, blue, unknown, web]
}

fn written(format: Format, headers: bool, netnses: &[Netns], warnings: &[&str]) -> String {
    let netnses: Vec<&Netns> = netnses.iter().collect();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let mut out = Vec::new();
    write(&mut out, format, headers, &netnses, &warnings).expect("writes to memory");
    String::from_utf8(out).expect("UTF-8")
}

#[track_caller]
fn check(format: Format, headers: bool, expected: &[&str]) {
    let text = written(format, headers, &small(), &["odd"]);
    assert!(text.ends_with('\n'), "the last line ends");
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

const TABLE_ROWS: [&str; 5] = [
    "NAME    KIND       INTERFACE  ADDRESS           PEER      MASTER  WATCH",
    "host    host       br0        198.18.0.1/24     -         -       none: the host's own",
    "blue    named      -          -                 -         -       none: no interface but lo",
    "nsid:7  unnamed    -          -                 -         -       unknown",
    "web     container  eth0       198.18.0.2/24 +1  veth1a2b  br0     host-veth",
];

#[test]
fn the_table_leaves_out_loopbacks_and_host_ends() {
    check(Format::Table, true, &TABLE_ROWS);
}

#[test]
fn a_table_without_headers_is_as_wide_as_its_rows() {
    let rows = [
        "host    host       br0   198.18.0.1/24     -         -    none: the host's own",
        "blue    named      -     -                 -         -    none: no interface but lo",
        "nsid:7  unnamed    -     -                 -         -    unknown",
        "web     container  eth0  198.18.0.2/24 +1  veth1a2b  br0  host-veth",
    ];
    check(Format::Table, false, &rows);
}

const WIDE_TABLE: &str = "\
NAME    KIND            INODE  NSID   PID  INTERFACE  IFINDEX  TYPE      STATE      MTU  MAC                ADDRESS                                  PEER      MASTER  WATCH                                IMAGE           RUNTIME  CONTAINERS  LABELS
host    host       4026531840     -     1  lo               1  loopback  unknown  65536  -                  127.0.0.1/8                              -         -       none: loopback                       -               -        -           -
host    host       4026531840     -     1  br0              4  bridge    up        1500  02:00:00:00:00:04  198.18.0.1/24                            -         -       none: the host's own                 -               -        -           -
host    host       4026531840     -     1  veth1a2b        14  veth      up        1500  02:00:00:00:00:0e  -                                        eth0      -       none: the host's end of a veth pair  -               -        -           -
blue    named      4026532300     -     -  lo               1  loopback  unknown  65536  -                  127.0.0.1/8                              -         -       none: loopback                       -               -        -           -
nsid:7  unnamed             -     7     -  -                -  -         -            -  -                  -                                        -         -       unknown                              -               -        -           -
web     container  4026532200     0  4242  lo               1  loopback  unknown  65536  -                  127.0.0.1/8                              -         -       none: loopback                       busybox:latest  docker   web         -
web     container  4026532200     0  4242  eth0             2  veth      up        1500  02:00:00:00:00:02  198.18.0.2/24 fe80::2/64 2001:db8::2/64  veth1a2b  br0     host-veth                            busybox:latest  docker   web         -
";

#[test]
fn the_wide_table_shows_everything() {
    let rows = WIDE_TABLE.lines().collect::<Vec<_>>();
    check(Format::Wide, true, &rows);
}

#[test]
fn names_alone_are_one_a_line() {
    let names = ["host", "blue", "nsid:7", "web"];
    check(Format::Name, true, &names);
    check(Format::Name, false, &names);
}

const CSV: &str = "\
name,kind,inode,nsid,pid,interface,ifindex,type,state,mtu,mac,address,peer,master,watch,image,runtime,containers,labels
host,host,4026531840,-,1,lo,1,loopback,unknown,65536,-,127.0.0.1/8,-,-,none: loopback,-,-,-,-
host,host,4026531840,-,1,br0,4,bridge,up,1500,02:00:00:00:00:04,198.18.0.1/24,-,-,none: the host's own,-,-,-,-
host,host,4026531840,-,1,veth1a2b,14,veth,up,1500,02:00:00:00:00:0e,-,eth0,-,none: the host's end of a veth pair,-,-,-,-
blue,named,4026532300,-,-,lo,1,loopback,unknown,65536,-,127.0.0.1/8,-,-,none: loopback,-,-,-,-
nsid:7,unnamed,-,7,-,-,-,-,-,-,-,-,-,-,unknown,-,-,-,-
web,container,4026532200,0,4242,lo,1,loopback,unknown,65536,-,127.0.0.1/8,-,-,none: loopback,busybox:latest,docker,web,-
web,container,4026532200,0,4242,eth0,2,veth,up,1500,02:00:00:00:00:02,198.18.0.2/24 fe80::2/64 2001:db8::2/64,veth1a2b,br0,host-veth,busybox:latest,docker,web,-
";

#[test]
fn csv_has_the_wide_columns() {
    let rows = CSV.lines().collect::<Vec<_>>();
    check(Format::Csv, true, &rows);
    check(Format::Csv, false, &rows[1..]);
}

fn loopback_record() -> Value {
    json!({
        "name": "lo",
        "ifindex": 1,
        "kind": "loopback",
        "mac": null,
        "mtu": 65536,
        "state": "unknown",
        "addresses": ["127.0.0.1/8"],
        "peer": null,
        "watch": "none",
        "why": "loopback",
    })
}

fn web_record(lo: &Value) -> Value {
    json!({
        "name": "web",
        "kind": "container",
        "inode": 4_026_532_200_u32,
        "nsid": 0,
        "paths": ["/run/docker/netns/0123456789ab"],
        "pids": [4242, 4250],
        "container": {
            "runtime": "docker",
            "id": "fedcba9876543210",
            "name": "web",
            "image": "busybox:latest",
        },
        "pod": null,
        "containers": [{
            "runtime": "docker",
            "id": "fedcba9876543210",
            "name": "web",
            "image": "busybox:latest",
            "pod": null,
            "sandbox": false,
            "pid": 4242,
            "user": null,
            "labels": {},
        }],
        "interfaces": [
            lo,
            {
                "name": "eth0",
                "ifindex": 2,
                "kind": "veth",
                "mac": "02:00:00:00:00:02",
                "mtu": 1500,
                "state": "up",
                "addresses": ["198.18.0.2/24", "fe80::2/64", "2001:db8::2/64"],
                "peer": { "name": "veth1a2b", "ifindex": 14, "master": "br0" },
                "watch": "host-veth",
                "why": null,
            },
        ],
    })
}

fn document() -> Value {
    let lo = loopback_record();
    json!({
        "schema": "nstrace.ls/v1",
        "namespaces": [
            {
                "name": "host",
                "kind": "host",
                "inode": 4_026_531_840_u32,
                "nsid": null,
                "paths": [],
                "pids": [1, 800],
                "container": null,
                "pod": null,
                "containers": [],
                "interfaces": [
                    lo,
                    {
                        "name": "br0",
                        "ifindex": 4,
                        "kind": "bridge",
                        "mac": "02:00:00:00:00:04",
                        "mtu": 1500,
                        "state": "up",
                        "addresses": ["198.18.0.1/24"],
                        "peer": null,
                        "watch": "none",
                        "why": "the host's own",
                    },
                    {
                        "name": "veth1a2b",
                        "ifindex": 14,
                        "kind": "veth",
                        "mac": "02:00:00:00:00:0e",
                        "mtu": 1500,
                        "state": "up",
                        "addresses": [],
                        "peer": { "name": "eth0", "ifindex": 2, "master": null },
                        "watch": "none",
                        "why": "the host's end of a veth pair",
                    },
                ],
            },
            {
                "name": "blue",
                "kind": "named",
                "inode": 4_026_532_300_u32,
                "nsid": null,
                "paths": [],
                "pids": [],
                "container": null,
                "pod": null,
                "containers": [],
                "interfaces": [lo],
            },
            {
                "name": "nsid:7",
                "kind": "unnamed",
                "inode": null,
                "nsid": 7,
                "paths": [],
                "pids": [],
                "container": null,
                "pod": null,
                "containers": [],
                "interfaces": [],
            },
            web_record(&lo),
        ],
        "warnings": ["odd"],
    })
}

#[test]
fn json_is_one_line_with_the_whole_document() {
    for headers in [true, false] {
        let text = written(Format::Json, headers, &small(), &["odd"]);
        assert_eq!(text.lines().count(), 1);
        assert_eq!(
            serde_json::from_str::<Value>(&text).expect("JSON"),
            document()
        );
    }
}

const YAML: &str = "\
schema: nstrace.ls/v1
namespaces:
- name: nsid:7
  kind: unnamed
  inode: null
  nsid: 7
  paths: []
  pids: []
  container: null
  pod: null
  containers: []
  interfaces: []
- name: web
  kind: container
  inode: 4026532200
  nsid: 0
  paths:
  - /run/docker/netns/0123456789ab
  pids:
  - 4242
  - 4250
  container:
    runtime: docker
    id: fedcba9876543210
    name: web
    image: busybox:latest
  pod: null
  containers:
  - runtime: docker
    id: fedcba9876543210
    name: web
    image: busybox:latest
    pod: null
    sandbox: false
    pid: 4242
    user: null
    labels: {}
  interfaces:
  - name: lo
    ifindex: 1
    kind: loopback
    mac: null
    mtu: 65536
    state: unknown
    addresses:
    - 127.0.0.1/8
    peer: null
    watch: none
    why: loopback
  - name: eth0
    ifindex: 2
    kind: veth
    mac: 02:00:00:00:00:02
    mtu: 1500
    state: up
    addresses:
    - 198.18.0.2/24
    - fe80::2/64
    - 2001:db8::2/64
    peer:
      name: veth1a2b
      ifindex: 14
      master: br0
    watch: host-veth
    why: null
warnings:
- odd
";

#[test]
fn yaml_is_the_same_document() {
    assert_eq!(written(Format::Yaml, true, &small()[2..], &["odd"]), YAML);
}

#[test]
fn nothing_gives_headers_or_an_empty_document() {
    let nothing = |format| written(format, true, &[], &[]);
    assert_eq!(
        nothing(Format::Table),
        "NAME  KIND  INTERFACE  ADDRESS  PEER  MASTER  WATCH\n"
    );
    assert_eq!(nothing(Format::Name), "");
    assert_eq!(nothing(Format::Csv).lines().count(), 1);
    let empty = json!({ "schema": "nstrace.ls/v1", "namespaces": [], "warnings": [] });
    let document: Value = serde_json::from_str(&nothing(Format::Json)).expect("JSON");
    assert_eq!(document, empty);
    for format in [Format::Table, Format::Wide, Format::Csv, Format::Name] {
        assert_eq!(written(format, false, &[], &["odd"]), "", "{format:?}");
    }
}

/// A namespace in which everything that others can choose tries to command the terminal.
fn hostile() -> Netns {
    let evil = |what: &str| format!("{what}\x1b[31m\n\u{202e},\"");
    Netns {
        containers: vec![Container {
            image: evil("image"),
            init: None,
            inode: None,
            ..Container::new(Runtime::Docker, "0123".to_owned(), evil("name"))
        }],
        paths: vec![PathBuf::from(evil("/run/netns/path"))],
        interfaces: vec![
            Iface {
                link: link(2, &evil("if"), &evil("kind"), &[]),
                peer: Some(peer(&evil("peer"), 14, Some(&evil("master")))),
                watch: Watch::HostVeth,
            },
            unwatched(link(3, "x", "veth", &[]), &evil("why")),
        ],
        ..netns(&evil("name"), Kind::Container, inode(1), vec![])
    }
}

#[test]
fn what_commands_a_terminal_is_escaped_in_every_format() {
    use clap::ValueEnum as _;

    for format in Format::value_variants() {
        let text = written(*format, true, &[hostile()], &["warn\x1b[31m\u{202e}"]);
        let commands = |c: char| c != '\n' && crate::untrusted::is_unsafe(c);
        assert_eq!(text.find(commands), None, "{format:?}: {text}");
    }
}

#[test]
fn no_name_forges_a_line() {
    let lines = |format| written(format, true, &[hostile()], &[]).lines().count();
    assert_eq!(lines(Format::Table), 3);
    assert_eq!(lines(Format::Wide), 3);
    assert_eq!(lines(Format::Csv), 3);
    assert_eq!(lines(Format::Name), 1);
    assert_eq!(lines(Format::Json), 1);
}

#[test]
fn an_escaped_name_is_shown_as_hexadecimal() {
    assert_eq!(
        written(Format::Name, true, &[hostile()], &[]),
        "name\\x1b[31m\\x0a\\u{202e},\"\n"
    );
}

#[test]
fn csv_fields_with_commas_and_quotes_are_read_back() {
    let text = written(Format::Csv, true, &[hostile()], &[]);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let records: Vec<csv::StringRecord> = reader
        .records()
        .collect::<Result<_, _>>()
        .expect("the CSV is well-formed");
    let escaped = |what: &str| format!("{what}\\x1b[31m\\x0a\\u{{202e}},\"");
    assert_eq!(records.len(), 2);
    assert_eq!(records[0][0], escaped("name"));
    assert_eq!(records[0][5], escaped("if"));
    assert_eq!(records[0][15], escaped("image"));
    assert_eq!(records[1][14], format!("none: {}", escaped("why")));
}

#[test]
fn json_keeps_the_value_of_every_name() {
    let text = written(Format::Json, true, &[hostile()], &["warn\x1b[31m\u{202e}"]);
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["namespaces"][0]["name"], hostile().name);
    assert_eq!(
        document["namespaces"][0]["interfaces"][0]["peer"]["master"],
        "master\x1b[31m\n\u{202e},\""
    );
    assert_eq!(document["warnings"], json!(["warn\x1b[31m\u{202e}"]));
}

/// What the ADDRESS cell of the table shows.
#[track_caller]
fn check_address(addresses: &[&str], shown: &str) {
    let interfaces = vec![unwatched(link(2, "x", "veth", addresses), "why")];
    let netns = netns("a", Kind::Named, inode(1), interfaces);
    let text = written(Format::Csv, false, std::slice::from_ref(&netns), &[]);
    let wide = if addresses.is_empty() {
        "-".to_owned()
    } else {
        addresses.join(" ")
    };
    assert_eq!(text.split(',').nth(11), Some(&*wide));
    let expected = format!("a  named  x  {shown}  -  -  none: why\n");
    assert_eq!(written(Format::Table, false, &[netns], &[]), expected);
}

#[test]
fn the_table_shows_one_address_and_how_many_more() {
    check_address(&[], "-");
    check_address(&["198.18.0.2/24"], "198.18.0.2/24");
    check_address(&["fe80::2/64", "198.18.0.2/24"], "198.18.0.2/24");
    check_address(&["fe80::2/64"], "fe80::2/64");
    check_address(
        &[
            "198.18.0.2/24",
            "198.18.0.3/24",
            "fe80::2/64",
            "2001:db8::2/64",
        ],
        "198.18.0.2/24 +2",
    );
}

#[test]
fn a_closed_pipe_is_told_from_other_failures() {
    struct Refuses(std::io::ErrorKind);

    impl Write for Refuses {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[track_caller]
    fn check(kind: std::io::ErrorKind, is_closed_pipe: bool) {
        use clap::ValueEnum as _;

        let netnses = small();
        let netnses: Vec<&Netns> = netnses.iter().collect();
        for format in Format::value_variants() {
            let error = write(&mut Refuses(kind), *format, true, &netnses, &[])
                .expect_err("the writer refuses");
            assert_eq!(error.is_closed_pipe(), is_closed_pipe, "{format:?}");
        }
    }

    check(std::io::ErrorKind::BrokenPipe, true);
    check(std::io::ErrorKind::StorageFull, false);
}

fn tree(netnses: &[Netns]) -> String {
    let netnses: Vec<&Netns> = netnses.iter().collect();
    let mut out = Vec::new();
    write_tree(&mut out, &netnses).expect("writes to memory");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn a_tree_leads_from_the_bridge_to_the_containers() {
    let mut all = small();
    // Routed, with a container beside its own; and one that uses the host's network.
    let mut routed = Netns::clone(&all[3]);
    routed.name = "routed".to_owned();
    routed.containers.push(Container::new(
        Runtime::Docker,
        "0123456789abcdef".to_owned(),
        "sidecar\u{1b}".to_owned(),
    ));
    if let Some(peer) = &mut routed.interfaces[1].peer {
        (peer.name, peer.master) = ("veth9".to_owned(), None);
    }
    all.push(routed);
    all[0].containers.push(Container::new(
        Runtime::Podman,
        "aaaabbbbccccdddd".to_owned(),
        "agent".to_owned(),
    ));
    assert_eq!(
        tree(&all),
        "\
br0  bridge  198.18.0.1/24
└─ veth1a2b ── web  container  eth0 198.18.0.2/24 2001:db8::2/64
   └─ web  docker fedcba987654  busybox:latest
routed by the host
└─ veth9 ── routed  container  eth0 198.18.0.2/24 2001:db8::2/64
   ├─ web  docker fedcba987654  busybox:latest
   └─ sidecar\\x1b  docker 0123456789ab
in the host's network
└─ agent  container
   └─ agent  podman aaaabbbbcccc
not watched
├─ blue  named  no interface but lo
└─ nsid:7  unnamed  no interface but lo
"
    );
}

#[test]
fn changes_are_told_line_by_line() {
    use crate::topology::model::Change;

    let netnses = small();
    let web = std::sync::Arc::new(netnses[3].clone());
    let told = |format, headers| {
        let mut out = Vec::new();
        let mut printer = ChangePrinter::new(&mut out, format, headers);
        let time = "2026-01-02T03:04:05.678Z";
        for change in [Change::Present, Change::Removed] {
            let changes = [(change, std::sync::Arc::clone(&web))];
            printer.print(&changes, time).expect("writes to memory");
        }
        String::from_utf8(out).expect("UTF-8")
    };
    let table = told(Format::Table, true);
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("TIME                      CHANGE   NAME"),
        "{table}"
    );
    assert!(
        lines[1].starts_with("2026-01-02T03:04:05.678Z  present  web "),
        "{table}"
    );
    assert!(
        lines[2].starts_with("2026-01-02T03:04:05.678Z  removed  web "),
        "{table}"
    );
    assert_eq!(lines.len(), 3, "headers stand there once");
    let json = told(Format::Json, false);
    let line: Value = serde_json::from_str(json.lines().next().expect("a line")).expect("JSON");
    assert_eq!(line["schema"], "nstrace.ls.change/v1");
    assert_eq!(
        (&line["change"], &line["namespace"]["name"]),
        (&"present".into(), &"web".into())
    );
}

#[test]
fn who_uses_the_hosts_network_has_a_row_that_says_so() {
    let mut host = small().remove(0);
    host.containers.push(Container::new(
        Runtime::Podman,
        "aaaabbbbccccdddd".to_owned(),
        "agent".to_owned(),
    ));
    let table = written(Format::Table, false, std::slice::from_ref(&host), &[]);
    let last = table.lines().last().expect("a row");
    let cells: Vec<&str> = last.split_whitespace().collect();
    assert_eq!(cells[..2], ["agent", "container"]);
    assert!(last.ends_with("none: in the host's network"), "{last}");
    // Of the host, nothing else was asked for.
    let alone = host.with_guests_alone(|_| true);
    assert_eq!(
        written(Format::Table, false, std::slice::from_ref(&alone), &[])
            .lines()
            .count(),
        1
    );
    assert_eq!(written(Format::Name, false, &[alone], &[]), "agent\n");
}
