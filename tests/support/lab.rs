//! A host of its own for each test: network, mount and PID namespaces, with a private `/run`.
//!
//! What runs in it sees neither the machine's interfaces nor its processes nor other labs. All of
//! it is held by one process that ends when the test does, however that ends; the kernel then
//! removes the rest.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    os::fd::AsFd as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use nix::sched::{CloneFlags, setns};

/// The lab.
pub(crate) struct Lab {
    holder: Child,
    addresses: AtomicU32,
}

/// A namespace with an eth0 (ifindex 2) whose host end is in the lab's bridge.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) veth: String,
    pub(crate) ipv4: String,
    pub(crate) ipv6: String,
    pub(crate) mac: [u8; 6],
}

/// The lab's bridge.
pub(crate) const BRIDGE: &str = "br0";

impl Lab {
    /// Makes the lab. A test that needs one cannot run without root, and says so.
    pub(crate) fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "namespace tests need root: cargo xtask test"
        );
        let script = format!(
            "mount -t tmpfs tmpfs /run && mkdir /run/netns \
             && ip link set lo up && ip link add {BRIDGE} type bridge mcast_snooping 0 \
             && ip link set {BRIDGE} addrgenmode none && ip link set {BRIDGE} up \
             && echo ready && cat >/dev/null; :"
        );
        let mut holder = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is there");
        let mut ready = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        assert_eq!(ready, "ready\n", "the lab could not be made");
        Self {
            holder,
            addresses: AtomicU32::new(10),
        }
    }

    fn namespace(&self, kind: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/{kind}", self.holder.id()))
    }

    /// A path of the lab, as the test's own process sees it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.holder.id()))
    }

    /// A command that will run in the lab.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.namespace("net").display()))
            .arg(format!("--mount={}", self.namespace("mnt").display()))
            .arg(format!(
                "--pid={}",
                self.namespace("pid_for_children").display()
            ))
            .args(["--", program]);
        command
    }

    /// Runs a command line and gives what it printed; panics if it fails.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().unwrap());
        output(command.args(words), line)
    }

    /// Runs a shell script the same way.
    #[track_caller]
    pub(crate) fn shell(&self, script: &str) -> String {
        let mut command = self.command("sh");
        output(command.args(["-ec", script]), script)
    }

    /// Makes a pod whose two ends are still down: whoever attaches now misses no packet, and the
    /// device's own counters stand at zero.
    pub(crate) fn pod(&self, name: &str) -> Pod {
        let number = self.addresses.fetch_add(1, Ordering::Relaxed);
        let pod = Pod {
            name: name.to_owned(),
            veth: format!("v-{name}"),
            ipv4: format!("198.51.100.{number}"),
            ipv6: format!("2001:db8::{number:x}"),
            mac: [2, 0, 0, 0, 0, u8::try_from(number).unwrap()],
        };
        let Pod {
            veth, ipv4, ipv6, ..
        } = &pod;
        let mac = pod.mac.map(|byte| format!("{byte:02x}")).join(":");
        self.shell(&format!(
            "ip netns add {name}; \
             ip -n {name} link set lo up; \
             ip link add {veth} type veth peer name eth0 address {mac} netns {name}; \
             ip link set {veth} addrgenmode none master {BRIDGE}; \
             ip -n {name} link set eth0 addrgenmode none; \
             ip -n {name} addr add {ipv4}/24 dev eth0; \
             ip -n {name} addr add {ipv6}/64 dev eth0 nodad"
        ));
        pod
    }

    /// Takes a pod's ends up.
    pub(crate) fn up(&self, pod: &Pod) {
        self.shell(&format!(
            "ip link set {} up; ip -n {} link set eth0 up",
            pod.veth, pod.name
        ));
        super::wait_until("the link is up", || {
            self.run(&format!("ip -n {} -br link show eth0", pod.name))
                .contains("LOWER_UP")
                .then_some(())
        });
        // The bridge hears of it a little later, and drops what it is to forward until then.
        super::wait_until("the bridge forwards", || {
            let link = self.run(&format!("ip -d -o link show {}", pod.veth));
            (!link.contains("bridge_slave") || link.contains("state forwarding")).then_some(())
        });
    }

    /// Tells two pods each other's MAC addresses, so that they need not ask.
    pub(crate) fn introduce(&self, a: &Pod, b: &Pod) {
        for (who, whom) in [(a, b), (b, a)] {
            let mac = whom.mac.map(|byte| format!("{byte:02x}")).join(":");
            for address in [&whom.ipv4, &whom.ipv6] {
                let name = &who.name;
                self.run(&format!(
                    "ip -n {name} neigh replace {address} lladdr {mac} dev eth0 nud permanent"
                ));
            }
        }
    }

    /// What a host veth has counted itself: (rx packets, rx bytes, tx packets, tx bytes).
    pub(crate) fn device(&self, veth: &str) -> [u64; 4] {
        let shown = self.run(&format!("ip -s -j link show {veth}"));
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let stats = &shown[0]["stats64"];
        [
            ("rx", "packets"),
            ("rx", "bytes"),
            ("tx", "packets"),
            ("tx", "bytes"),
        ]
        .map(|(direction, what)| stats[direction][what].as_u64().unwrap())
    }

    /// Index of a device of the lab's host.
    pub(crate) fn ifindex(&self, name: &str) -> u32 {
        let shown: serde_json::Value =
            serde_json::from_str(&self.run(&format!("ip -j link show {name}"))).unwrap();
        u32::try_from(shown[0]["ifindex"].as_u64().unwrap()).unwrap()
    }

    /// Runs `work` in the lab's own network namespace.
    pub(crate) fn on_host<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.namespace("net"), work)
    }

    /// Runs `work` in one of the lab's named namespaces.
    pub(crate) fn inside<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.path(&format!("/run/netns/{name}")), work)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The holder's shell reads this pipe; with its end everything in the lab ends.
        drop(self.holder.stdin.take());
        let ended = self.holder.wait();
        if !thread::panicking() {
            ended.expect("the lab's holder ends");
        }
    }
}

/// On a thread made for it, which ends with `work`.
fn inside<T: Send>(path: &PathBuf, work: impl FnOnce() -> T + Send) -> T {
    let netns = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(netns.as_fd(), CloneFlags::CLONE_NEWNET).expect("root may enter");
            drop(netns);
            work()
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[track_caller]
fn output(command: &mut Command, what: &str) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{what}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
