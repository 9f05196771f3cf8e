//! The Container Runtime Interface, as kubelets speak it: `ListPodSandbox` and `ListContainers` of
//! `runtime.v1`, <https://github.com/kubernetes/cri-api>. containerd has it since 1.6, CRI-O since 1.23.

use std::path::Path;

use k8s_cri::v1::{
    ContainerFilter, ContainerState, ContainerStateValue, ListContainersRequest,
    ListPodSandboxRequest, PodSandboxFilter, PodSandboxState, PodSandboxStateValue,
    runtime_service_client::RuntimeServiceClient,
};
use tonic::transport::Endpoint;

use super::{MAX_ANSWER, in_words};
use crate::topology::runtime::answer::{Answer, Subject};

/// Asks for the pods that are ready and the containers that run.
pub(super) async fn ask(socket: &Path) -> Result<Vec<Answer>, String> {
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display()));
    let channel = endpoint
        .map_err(|error| in_words(&error))?
        .connect()
        .await
        .map_err(|error| in_words(&error))?;
    let mut client = RuntimeServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);
    let ready = PodSandboxStateValue {
        state: PodSandboxState::SandboxReady as i32,
    };
    let pods = ListPodSandboxRequest {
        filter: Some(PodSandboxFilter {
            state: Some(ready),
            ..PodSandboxFilter::default()
        }),
    };
    let pods = client.list_pod_sandbox(pods).await.map_err(refused)?;
    let running = ContainerStateValue {
        state: ContainerState::ContainerRunning as i32,
    };
    let containers = ListContainersRequest {
        filter: Some(ContainerFilter {
            state: Some(running),
            ..ContainerFilter::default()
        }),
    };
    let containers = client.list_containers(containers).await.map_err(refused)?;
    let pods = pods.into_inner().items.into_iter().map(|pod| Answer {
        subject: Subject::Container(pod.id),
        labels: pod.labels.into_iter().collect(),
        image: None,
        owner: None,
    });
    let containers = containers.into_inner().containers.into_iter();
    let containers = containers.map(|container| Answer {
        subject: Subject::Container(container.id),
        labels: container.labels.into_iter().collect(),
        image: container.image.map(|image| image.image),
        owner: None,
    });
    Ok(pods.chain(containers).collect())
}

/// By value, as `map_err` gives it.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn refused(status: tonic::Status) -> String {
    format!("{}: {}", status.code(), status.message())
}
