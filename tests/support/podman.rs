//! A real Podman in a lab, as root or as an ordinary user of the lab's.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use super::{cgroup, lab::Lab};

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    Root,
    /// `labuser`, with this id.
    Ordinary,
}

/// The ordinary user.
pub(crate) const UID: u32 = 4242;

/// Podman. What it has started ends with the lab.
pub(crate) struct Podman<'a> {
    lab: &'a Lab,
    user: User,
    /// Below which its containers' cgroups are made: of this one alone.
    cgroup: String,
}

impl<'a> Podman<'a> {
    pub(crate) fn start(lab: &'a Lab, user: User) -> Self {
        lab.shell(match user {
            User::Root => ROOT,
            User::Ordinary => ORDINARY,
        });
        let cgroup = cgroup::unique("podman");
        Self { lab, user, cgroup }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.user {
            User::Root => {
                let mut command = self.lab.command("env");
                command.args([
                    "CONTAINERS_CONF=/run/lab/containers.conf",
                    "CONTAINERS_STORAGE_CONF=/run/lab/storage.conf",
                    "podman",
                ]);
                command
            }
            User::Ordinary => {
                let mut command = self.lab.command("/run/lab/as-user");
                command.arg("podman");
                command
            }
        };
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command line, and gives what it printed.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(&words).output().unwrap();
        let errors = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "podman {line}: {status}\n{errors}");
        String::from_utf8(stdout).unwrap().trim().to_owned()
    }

    /// Starts a container that does nothing; gives its id.
    #[track_caller]
    pub(crate) fn container(&self, name: &str, options: &str) -> String {
        let cgroup = self.cgroup_option();
        self.run(&format!(
            "run -d --name {name} {cgroup} {options} lab/busybox:1 /bin/busybox sleep 1000"
        ))
    }

    /// Makes a pod, which is started with its first container.
    #[track_caller]
    pub(crate) fn pod(&self, name: &str, options: &str) {
        let cgroup = self.cgroup_option();
        self.run(&format!("pod create --name {name} {cgroup} {options}"));
    }

    /// A user has none to give where cgroups are of the first version.
    fn cgroup_option(&self) -> String {
        match self.user {
            User::Root => format!("--cgroup-parent /{}", self.cgroup),
            User::Ordinary => String::new(),
        }
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // In rounds, since those that depend on others go first; then the lab ends what is left. Its
        // cgroups are the machine's.
        for _ in 0..3 {
            drop(self.command(&["pod", "rm", "-af", "-t", "0"]).output());
            drop(self.command(&["rm", "-af", "-t", "0"]).output());
        }
        if self.user == User::Ordinary {
            for file in ["pause.pid", "rootless-netns/rootless-netns-slirp4netns.pid"] {
                let path = format!("/run/user/{UID}/libpod/tmp/{file}");
                if let Ok(pid) = fs::read_to_string(self.lab.path(&path)) {
                    drop(self.lab.command("kill").arg(pid.trim()).status());
                }
            }
        }
        cgroup::remove(&self.cgroup);
    }
}

const ROOT: &str = r#"
for dir in /var/lib/containers /var/lib/cni /var/cache/containers; do
    mkdir -p $dir; mount -t tmpfs tmpfs $dir
done
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mkdir -p /run/lab/image/bin /run/lab/networks
cat >/run/lab/containers.conf <<'END'
[containers]
cgroup_conf = []
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "cni"
network_config_dir = "/run/lab/networks"
default_subnet = "203.0.113.0/24"
END
cat >/run/lab/storage.conf <<'END'
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
END
cp /bin/busybox /run/lab/image/bin/; ln -s busybox /run/lab/image/bin/sh
export CONTAINERS_CONF=/run/lab/containers.conf CONTAINERS_STORAGE_CONF=/run/lab/storage.conf
cd /run/lab/image; tar -c . | podman import - lab/busybox:1 2>/dev/null
"#;

/// The machine's users and devices stay as they are: the lab sees others.
const ORDINARY: &str = r#"
for file in passwd group subuid subgid; do touch /etc/$file; cp /etc/$file /run/$file; done
echo 'labuser:x:4242:4242::/home/labuser:/bin/sh' >>/run/passwd
echo 'labuser:x:4242:' >>/run/group
echo 'labuser:500000:65536' | tee -a /run/subuid >>/run/subgid
for file in passwd group subuid subgid; do mount --bind /run/$file /etc/$file; done
mknod -m 666 /run/tun c 10 200; mount --bind /run/tun /dev/net/tun
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
install -d -o 4242 -g 4242 -m 700 /run/user/4242
mount -t tmpfs tmpfs /home
install -d -o 4242 -g 4242 -m 711 /home/labuser
install -d /run/lab/image/bin
install -d -o 4242 -g 4242 /home/labuser/.config /home/labuser/.config/containers
cat >/home/labuser/.config/containers/containers.conf <<'END'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
network_cmd_options = ["cidr=203.0.113.0/24", "enable_ipv6=false"]
[network]
network_backend = "cni"
default_subnet = "198.51.100.0/24"
END
cat >/home/labuser/.config/containers/storage.conf <<'END'
[storage]
driver = "vfs"
END
cp /bin/busybox /run/lab/image/bin/; ln -s busybox /run/lab/image/bin/sh
cat >/run/lab/as-user <<'END'
#!/bin/sh
cd /home/labuser
exec setpriv --reuid 4242 --regid 4242 --init-groups --reset-env env HOME=/home/labuser \
    XDG_RUNTIME_DIR=/run/user/4242 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
END
chmod +x /run/lab/as-user
cd /run/lab/image; tar -c . | /run/lab/as-user podman import - lab/busybox:1 2>/dev/null
"#;
