//! LXC and systemd-nspawn, and processes that unshare: real ones.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{
    cgroup,
    lab::{BRIDGE, Lab},
    nstrace::{Top, ls, run},
    wait_until,
};

fn found<'a>(document: &'a Value, name: &str) -> Option<&'a Value> {
    let mut netnses = document["namespaces"].as_array().unwrap().iter();
    netnses.find(|netns| netns["name"] == name)
}

#[test]
fn a_container_of_lxc_is_called_by_its_name() {
    let lab = Lab::new();
    let cgroup = cgroup::unique("lxc");
    // LXC looks for the bridge in a sysfs of the lab's own namespace.
    lab.shell(&format!(
        "mkdir /run/cgroups; mount --rbind /sys/fs/cgroup /run/cgroups; mount -t sysfs sysfs /sys; \
         mount --rbind /run/cgroups /sys/fs/cgroup; umount -l /run/cgroups; \
         mkdir -p /run/lxc-lab/box/rootfs; cd /run/lxc-lab/box/rootfs; \
         mkdir bin dev etc proc sys run tmp; cp /bin/busybox bin/; ln -s busybox bin/sh; \
         cat >/run/lxc-lab/box/config <<'END'
lxc.uts.name = box
lxc.rootfs.path = dir:/run/lxc-lab/box/rootfs
lxc.apparmor.profile = unconfined
lxc.mount.auto = proc
lxc.net.0.type = veth
lxc.net.0.link = {BRIDGE}
lxc.net.0.flags = up
lxc.net.0.ipv4.address = 192.0.2.10/24
lxc.init.cmd = /bin/busybox sleep 1000
lxc.cgroup.dir = {cgroup}
lxc.cgroup.relative = 0
END
"
    ));
    lab.run("lxc-start -P /run/lxc-lab -n box -o /run/lxc-lab/log -l INFO");
    let document = ls(&lab, &[]);
    let shown = found(&document, "box").unwrap_or_else(|| panic!("{document:#}"));
    assert_eq!(
        (&shown["kind"], &shown["container"]["runtime"]),
        (&"container".into(), &"lxc".into())
    );
    let eth0 = &shown["interfaces"][1];
    assert_eq!(
        (&eth0["watch"], &eth0["peer"]["master"]),
        (&"host-veth".into(), &BRIDGE.into())
    );
    let mut top = Top::start(&lab, &["lxc:box"]);
    top.until_attached(&["box"]);
    drop(top.end("INT"));
    lab.shell("lxc-stop -P /run/lxc-lab -n box -k");
    cgroup::remove(&cgroup);
}

#[test]
fn a_machine_of_nspawns_is_called_by_its_name() {
    let lab = Lab::new();
    lab.shell(
        "mkdir -p /run/machine; cd /run/machine; mkdir bin dev etc proc sys run tmp usr; \
         cp /bin/busybox bin/; ln -s busybox bin/sh; echo 'ID=lab' >etc/os-release",
    );
    // As machined has it: the name is in the cgroup too.
    let slice = cgroup::unique("slice");
    let scope = format!("{slice}/machine-nsbox.scope");
    let line = "systemd-nspawn -D /run/machine --network-veth --register=no --keep-unit -M nsbox \
                /bin/busybox sleep 1000";
    let mut command = lab.command("sh");
    command.args(["-ec", &format!("{}; exec {line}", cgroup::enter(&scope))]);
    let mut machine = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let shown = wait_until("the machine is named", || {
        let document = ls(&lab, &[]);
        let netns = found(&document, "nsbox")?;
        (netns["interfaces"][1]["watch"] == "host-veth").then(|| netns.clone())
    });
    assert_eq!(shown["kind"], "container");
    assert_eq!(shown["container"]["runtime"], "systemd-nspawn");
    assert_eq!(shown["interfaces"][1]["name"], "host0");
    assert_eq!(shown["interfaces"][1]["peer"]["name"], "ve-nsbox");
    lab.run(&format!("kill -9 {}", shown["containers"][0]["pid"]));
    machine.wait().unwrap();
    cgroup::remove(&slice);
}

#[test]
fn a_user_namespace_is_listed_with_what_can_be_watched_of_it() {
    let lab = Lab::new();
    let mut process = lab
        .command("unshare")
        .args(["--user", "--map-root-user", "--net", "sleep", "1000"])
        .spawn()
        .unwrap();
    let name = wait_until("it is listed", || {
        let document = ls(&lab, &[]);
        let netnses = document["namespaces"].as_array().unwrap();
        let netns = netnses.iter().find(|netns| netns["kind"] == "process")?;
        assert_eq!(netns["interfaces"][0]["why"], "loopback");
        let name = netns["name"].as_str().unwrap().to_owned();
        name.contains("sleep").then_some(name)
    });
    let table = run(&lab, &["ls", &name]).stdout;
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains("none: no interface but lo"), "{table}");
    process.kill().unwrap();
    process.wait().unwrap();
}
