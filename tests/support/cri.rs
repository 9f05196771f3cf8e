//! Kubernetes pods without Kubernetes: containerd with its CRI plugin and the CNI bridge plugin, in a
//! lab, asked over its socket as a kubelet asks.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs,
    process::{Child, Stdio},
};

use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, ImageSpec, LinuxContainerConfig,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext,
    NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata, RemovePodSandboxRequest,
    RunPodSandboxRequest, StartContainerRequest, StopContainerRequest, StopPodSandboxRequest,
    runtime_service_client::RuntimeServiceClient,
};
use tokio::runtime::{self, Runtime};
use tonic::transport::{Channel, Endpoint};

use super::{cgroup, lab::Lab, wait_until};

/// Where containerd keeps what runs, unless a test moves it.
pub(crate) const STATE: &str = "/run/containerd";

/// Whose network a pod has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// Its own.
    Pod,
    /// The host's.
    Host,
}

/// A pod that runs.
pub(crate) struct Sandbox {
    pub(crate) id: String,
    config: PodSandboxConfig,
}

impl Sandbox {
    /// As a kubelet tells it from the next of its name.
    pub(crate) fn uid(&self) -> &str {
        &self.config.metadata.as_ref().unwrap().uid
    }
}

/// containerd. It ends with the lab.
pub(crate) struct Containerd<'a> {
    lab: &'a Lab,
    daemon: Child,
    runtime: Runtime,
    client: RefCell<RuntimeServiceClient<Channel>>,
    /// Of its pods: the kubelet's would be in one that others may be using.
    cgroups: RefCell<Vec<String>>,
}

impl<'a> Containerd<'a> {
    pub(crate) fn start(lab: &'a Lab) -> Self {
        Self::start_at(lab, STATE)
    }

    /// With its state elsewhere.
    pub(crate) fn start_at(lab: &'a Lab, state: &str) -> Self {
        // libcni writes below /var/lib whatever it is told.
        lab.shell(
            "mount -t tmpfs tmpfs /var/lib; mkdir -p /run/cri/net.d /run/cri/image/bin; \
             cp /bin/busybox /run/cri/image/bin/; ln -s busybox /run/cri/image/bin/sh",
        );
        let write = |name: &str, text: &str| fs::write(lab.path(name), text).unwrap();
        write("/run/cri/config.toml", &settings(state));
        write("/run/cri/net.d/10-lab.conflist", NETWORK);
        write("/run/cri/import", IMPORT);
        let daemon = lab
            .command("containerd")
            .args(["--config", "/run/cri/config.toml"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(lab.path("/run/cri/log")).unwrap())
            .spawn()
            .expect("containerd is there: cargo xtask setup --tests");
        let socket = format!("{state}/containerd.sock");
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut daemon = daemon;
        wait_until("containerd answers", || {
            if let Some(status) = daemon.try_wait().unwrap() {
                let log = fs::read_to_string(lab.path("/run/cri/log")).unwrap();
                panic!("containerd ended with {status}:\n{log}");
            }
            let mut version = lab.command("ctr");
            version.args(["-a", &socket, "version"]);
            version.stdout(Stdio::null()).stderr(Stdio::null());
            version.status().unwrap().success().then_some(())
        });
        lab.run(&format!("sh -e /run/cri/import {socket}"));
        let outside = lab.path(&socket);
        let channel = runtime.block_on(async {
            let endpoint = Endpoint::try_from(format!("unix://{}", outside.display())).unwrap();
            endpoint.connect().await.unwrap()
        });
        Self {
            lab,
            daemon,
            runtime,
            client: RefCell::new(RuntimeServiceClient::new(channel)),
            cgroups: RefCell::default(),
        }
    }

    /// Makes a pod, called `NAMESPACE/NAME`, as a kubelet does: without containers yet.
    #[track_caller]
    pub(crate) fn pod(&self, name: &str, labels: &[(&str, &str)], network: Network) -> Sandbox {
        let (namespace, pod) = name.split_once('/').unwrap();
        let cgroup = cgroup::unique("pod");
        let uid = format!("uid-of-{cgroup}");
        self.cgroups.borrow_mut().push(cgroup.clone());
        let mode = match network {
            Network::Pod => NamespaceMode::Pod,
            Network::Host => NamespaceMode::Node,
        };
        let own = [("name", pod), ("namespace", namespace), ("uid", &uid)]
            .map(|(key, value)| (format!("io.kubernetes.pod.{key}"), value.to_owned()));
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: pod.to_owned(),
                uid: uid.clone(),
                namespace: namespace.to_owned(),
                attempt: 0,
            }),
            hostname: match network {
                Network::Pod => pod.to_owned(),
                Network::Host => String::new(),
            },
            log_directory: format!("/run/cri/logs/{uid}"),
            labels: labels.chain(own).collect(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("/{cgroup}"),
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces(mode)),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: String::new(),
        };
        let mut client = self.client.borrow_mut();
        let answer = self.runtime.block_on(client.run_pod_sandbox(request));
        Sandbox {
            id: answer.unwrap().into_inner().pod_sandbox_id,
            config,
        }
    }

    /// Starts a container in a pod that does nothing; gives its id.
    #[track_caller]
    pub(crate) fn container(&self, pod: &Sandbox, name: &str) -> String {
        let linux = pod.config.linux.clone().unwrap();
        let options = linux.security_context.unwrap().namespace_options;
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: name.to_owned(),
                attempt: 0,
            }),
            image: Some(ImageSpec {
                image: "docker.io/lab/busybox:1".to_owned(),
                ..Default::default()
            }),
            command: ["/bin/busybox", "sleep", "1000"]
                .map(str::to_owned)
                .to_vec(),
            labels: HashMap::from([("io.kubernetes.container.name".to_owned(), name.to_owned())]),
            linux: Some(LinuxContainerConfig {
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: options,
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let mut client = self.client.borrow_mut();
        self.runtime.block_on(async {
            let created = client.create_container(request).await.unwrap();
            let container_id = created.into_inner().container_id;
            let start = StartContainerRequest {
                container_id: container_id.clone(),
            };
            client.start_container(start).await.unwrap();
            container_id
        })
    }

    /// Kills a container.
    #[track_caller]
    pub(crate) fn stop_container(&self, id: &str) {
        let request = StopContainerRequest {
            container_id: id.to_owned(),
            timeout: 0,
        };
        let mut client = self.client.borrow_mut();
        self.runtime
            .block_on(client.stop_container(request))
            .unwrap();
    }

    /// Stops a pod, and removes it.
    #[track_caller]
    pub(crate) fn remove(&self, pod: &Sandbox) {
        let pod_sandbox_id = pod.id.clone();
        let stop = StopPodSandboxRequest {
            pod_sandbox_id: pod_sandbox_id.clone(),
        };
        let mut client = self.client.borrow_mut();
        self.runtime.block_on(async {
            client.stop_pod_sandbox(stop).await.unwrap();
            let remove = RemovePodSandboxRequest { pod_sandbox_id };
            client.remove_pod_sandbox(remove).await.unwrap();
        });
    }

    /// The first process of a sandbox or container, as the lab sees it.
    pub(crate) fn pid(&self, id: &str) -> u32 {
        let bundle = format!("{STATE}/io.containerd.runtime.v2.task/k8s.io/{id}/init.pid");
        let pid = fs::read_to_string(self.lab.path(&bundle)).unwrap();
        pid.trim().parse().unwrap()
    }

    /// Runs a command line of busybox in a pod's network.
    #[track_caller]
    pub(crate) fn run(&self, pod: &Sandbox, line: &str) -> String {
        let pid = self.pid(&pod.id);
        self.lab
            .run(&format!("nsenter -t {pid} -n /bin/busybox {line}"))
    }

    /// The pod's first address.
    pub(crate) fn address(&self, pod: &Sandbox) -> String {
        let shown = self.run(pod, "ip -4 -o addr show eth0");
        let mut words = shown.split_whitespace().skip_while(|word| *word != "inet");
        let address = words
            .nth(1)
            .unwrap_or_else(|| panic!("no address: {shown}"));
        address.split('/').next().unwrap().to_owned()
    }
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        // What it has started ends with the lab; its cgroups are the machine's, and stay.
        let daemon = self.daemon.id();
        let inside = fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children"));
        for pid in inside.unwrap_or_default().split_whitespace() {
            cgroup::end(pid);
        }
        drop(self.daemon.wait());
        for cgroup in self.cgroups.borrow().iter() {
            cgroup::remove(cgroup);
        }
    }
}

fn namespaces(network: NamespaceMode) -> NamespaceOption {
    NamespaceOption {
        network: network as i32,
        pid: NamespaceMode::Container as i32,
        ipc: network as i32,
        ..Default::default()
    }
}

fn settings(state: &str) -> String {
    format!(
        r#"version = 2
root = "/run/cri/root"
state = "{state}"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
]
required_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
  address = "{state}/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/lab/busybox:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/cri/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"#
    )
}

const NETWORK: &str = r#"{ "cniVersion": "0.4.0", "name": "lab", "plugins": [ {
  "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
  "ipam": { "type": "host-local", "ranges": [[{ "subnet": "203.0.113.0/24" }]],
            "routes": [{ "dst": "0.0.0.0/0" }] } } ] }"#;

/// Makes an image of busybox, by hand, and imports it: nothing is pulled. It is the sandbox's too.
const IMPORT: &str = r#"
cd /run/cri
tar -C image -cf layer.tar .
layer=$(sha256sum layer.tar | cut -d' ' -f1)
echo '{"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/busybox","sleep","1000"]},"rootfs":{"type":"layers","diff_ids":["sha256:'$layer'"]}}' >config.json
config=$(sha256sum config.json | cut -d' ' -f1).json
mv config.json $config
echo '[{"Config":"'$config'","RepoTags":["docker.io/lab/busybox:1"],"Layers":["layer.tar"]}]' >manifest.json
tar -cf archive.tar $config layer.tar manifest.json
ctr -a $1 -n k8s.io images import archive.tar
"#;
