//! A client of the container runtime (containerd, CRI-O): the CRI, v1, over a unix socket.
//!
//! It does nothing but call: what a call means for a pod is decided elsewhere.

pub(crate) mod messages;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::sync::OnceCell;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use messages::*;

/// As upstream's `--runtime-request-timeout`.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Sandboxes wait for the network, which may wait for other nodes: upstream gives them twice the time.
const SANDBOX_TIMEOUT: Duration = Duration::from_secs(240);
/// A pull is slow by nature; containerd itself gives up a pull without progress.
const PULL_TIMEOUT: Duration = Duration::from_secs(3600);
/// What containerd gives `pinned` images by (`pkg/cri/labels`).
const PINNED_FILTER: &str = "labels.\"io.cri-containerd.pinned\"==pinned";
/// As upstream's `maxMsgSize`: lists of many containers are larger than gRPC's usual 4 MiB.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// A connection to the runtime; cheap to clone, connects by itself, and again when the runtime was restarted.
#[derive(Clone)]
pub(crate) struct Runtime {
    channel: Channel,
    cgroup_driver: Arc<OnceCell<Option<CgroupDriver>>>,
}

/// Why a call to the runtime failed.
#[derive(Debug, Clone)]
pub(crate) struct Error {
    /// What was called: `RunPodSandbox`.
    pub(crate) call: &'static str,
    /// gRPC's code.
    pub(crate) code: Code,
    /// The runtime's own text, unchanged: events show it.
    pub(crate) message: String,
}

impl fmt::Display for Error {
    /// As Go prints an error of gRPC, which users know from events.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rpc error: code = {:?} desc = {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Whether the thing is not (or no longer) there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code == Code::NotFound
    }

    /// Whether this runtime does not know the call.
    pub(crate) fn is_unimplemented(&self) -> bool {
        self.code == Code::Unimplemented
    }
}

/// One of the two services of the interface.
macro_rules! path {
    (runtime $name:literal) => {
        ($name, concat!("/runtime.v1.RuntimeService/", $name))
    };
    (image $name:literal) => {
        ($name, concat!("/runtime.v1.ImageService/", $name))
    };
}

/// The empty answer of calls that only do.
#[derive(Clone, Copy, PartialEq, Message)]
struct Done {}

impl Runtime {
    /// A client of the socket at `endpoint` (`unix:///run/containerd/containerd.sock`); connects when first used.
    ///
    /// # Errors
    /// `endpoint` is no such address.
    pub(crate) fn new(endpoint: &str) -> Result<Self, Error> {
        let address =
            if endpoint.starts_with('/') { format!("unix://{endpoint}") } else { endpoint.to_owned() };
        let endpoint = Endpoint::from_shared(address).map_err(|error| Error {
            call: "connect",
            code: Code::InvalidArgument,
            message: format!("{endpoint} is no address of a container runtime: {error}"),
        })?;
        Ok(Self { channel: endpoint.connect_lazy(), cgroup_driver: Arc::default() })
    }

    pub(crate) async fn version(&self) -> Result<VersionResponse, Error> {
        self.call(path!(runtime "Version"), VersionRequest { version: "0.1.0".into() }, CALL_TIMEOUT).await
    }

    /// The runtime's conditions (`RuntimeReady`, `NetworkReady`).
    pub(crate) async fn status(&self, verbose: bool) -> Result<StatusResponse, Error> {
        self.call(path!(runtime "Status"), StatusRequest { verbose }, CALL_TIMEOUT).await
    }

    /// Which cgroup driver the runtime wants; `None` if it is too old to say. Asked once.
    pub(crate) async fn cgroup_driver(&self) -> Result<Option<CgroupDriver>, Error> {
        let ask = async || match self
            .call::<_, RuntimeConfigResponse>(path!(runtime "RuntimeConfig"), Done {}, CALL_TIMEOUT)
            .await
        {
            Ok(answer) => Ok(answer.linux.map(|linux| linux.cgroup_driver())),
            Err(error) if error.is_unimplemented() => Ok(None),
            Err(error) => Err(error),
        };
        self.cgroup_driver.get_or_try_init(ask).await.copied()
    }

    /// Creates and starts the sandbox of a pod; returns its id.
    pub(crate) async fn run_sandbox(
        &self,
        config: PodSandboxConfig,
        runtime_handler: String,
    ) -> Result<String, Error> {
        let request = RunPodSandboxRequest { config: Some(config), runtime_handler };
        let answer: RunPodSandboxResponse =
            self.call(path!(runtime "RunPodSandbox"), request, SANDBOX_TIMEOUT).await?;
        Ok(answer.pod_sandbox_id)
    }

    /// Ends all processes of the sandbox and takes its network down; may be repeated.
    pub(crate) async fn stop_sandbox(&self, id: &str) -> Result<(), Error> {
        let request = StopPodSandboxRequest { pod_sandbox_id: id.into() };
        self.act(path!(runtime "StopPodSandbox"), request, SANDBOX_TIMEOUT).await
    }

    /// Removes the sandbox and all its containers; may be repeated.
    pub(crate) async fn remove_sandbox(&self, id: &str) -> Result<(), Error> {
        let request = RemovePodSandboxRequest { pod_sandbox_id: id.into() };
        self.act(path!(runtime "RemovePodSandbox"), request, CALL_TIMEOUT).await
    }

    /// A sandbox's status; with `verbose` the runtime's own information too.
    pub(crate) async fn sandbox_status(
        &self,
        id: &str,
        verbose: bool,
    ) -> Result<(PodSandboxStatus, Labels), Error> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.into(), verbose };
        let answer: PodSandboxStatusResponse =
            self.call(path!(runtime "PodSandboxStatus"), request, CALL_TIMEOUT).await?;
        let status = answer.status.ok_or_else(|| empty("PodSandboxStatus"))?;
        Ok((status, answer.info))
    }

    pub(crate) async fn list_sandboxes(&self, filter: PodSandboxFilter) -> Result<Vec<PodSandbox>, Error> {
        let request = ListPodSandboxRequest { filter: Some(filter) };
        let answer: ListPodSandboxResponse =
            self.call(path!(runtime "ListPodSandbox"), request, CALL_TIMEOUT).await?;
        Ok(answer.items)
    }

    /// Creates a container in a sandbox; returns its id.
    pub(crate) async fn create_container(
        &self,
        sandbox: &str,
        config: ContainerConfig,
        sandbox_config: PodSandboxConfig,
    ) -> Result<String, Error> {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let answer: CreateContainerResponse =
            self.call(path!(runtime "CreateContainer"), request, CALL_TIMEOUT).await?;
        Ok(answer.container_id)
    }

    pub(crate) async fn start_container(&self, id: &str) -> Result<(), Error> {
        let request = StartContainerRequest { container_id: id.into() };
        self.act(path!(runtime "StartContainer"), request, CALL_TIMEOUT).await
    }

    /// Sends the stop signal, and kills after `grace`; returns when the container has ended.
    pub(crate) async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Error> {
        let request = StopContainerRequest { container_id: id.into(), timeout: seconds(grace) };
        self.act(path!(runtime "StopContainer"), request, CALL_TIMEOUT + grace).await
    }

    pub(crate) async fn remove_container(&self, id: &str) -> Result<(), Error> {
        let request = RemoveContainerRequest { container_id: id.into() };
        self.act(path!(runtime "RemoveContainer"), request, CALL_TIMEOUT).await
    }

    pub(crate) async fn list_containers(&self, filter: ContainerFilter) -> Result<Vec<Container>, Error> {
        let request = ListContainersRequest { filter: Some(filter) };
        let answer: ListContainersResponse =
            self.call(path!(runtime "ListContainers"), request, CALL_TIMEOUT).await?;
        Ok(answer.containers)
    }

    /// A container's status; with `verbose` the runtime's own information too (containerd's has the `pid`).
    pub(crate) async fn container_status(
        &self,
        id: &str,
        verbose: bool,
    ) -> Result<(ContainerStatus, Labels), Error> {
        let request = ContainerStatusRequest { container_id: id.into(), verbose };
        let answer: ContainerStatusResponse =
            self.call(path!(runtime "ContainerStatus"), request, CALL_TIMEOUT).await?;
        let status = answer.status.ok_or_else(|| empty("ContainerStatus"))?;
        Ok((status, answer.info))
    }

    /// Changes what a running container may use.
    pub(crate) async fn update_container_resources(
        &self,
        id: &str,
        linux: LinuxContainerResources,
    ) -> Result<(), Error> {
        let request = UpdateContainerResourcesRequest { container_id: id.into(), linux: Some(linux) };
        self.act(path!(runtime "UpdateContainerResources"), request, CALL_TIMEOUT).await
    }

    /// Makes the runtime open the container's log file anew, after it was renamed.
    pub(crate) async fn reopen_container_log(&self, id: &str) -> Result<(), Error> {
        let request = ReopenContainerLogRequest { container_id: id.into() };
        self.act(path!(runtime "ReopenContainerLog"), request, CALL_TIMEOUT).await
    }

    /// Runs a command in a container and waits for its end; a zero `timeout` is none.
    pub(crate) async fn exec_sync(
        &self,
        id: &str,
        cmd: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecSyncResponse, Error> {
        let request = ExecSyncRequest { container_id: id.into(), cmd, timeout: seconds(timeout) };
        let limit = if timeout.is_zero() { PULL_TIMEOUT } else { CALL_TIMEOUT + timeout };
        self.call(path!(runtime "ExecSync"), request, limit).await
    }

    /// Prepares a command whose streams are served at the URL that is returned.
    pub(crate) async fn exec(&self, request: ExecRequest) -> Result<String, Error> {
        let answer: ExecResponse = self.call(path!(runtime "Exec"), request, CALL_TIMEOUT).await?;
        Ok(answer.url)
    }

    /// Prepares to attach to a container's streams, which are served at the URL that is returned.
    pub(crate) async fn attach(&self, request: AttachRequest) -> Result<String, Error> {
        let answer: AttachResponse = self.call(path!(runtime "Attach"), request, CALL_TIMEOUT).await?;
        Ok(answer.url)
    }

    /// Prepares forwarding to ports of a sandbox, which is served at the URL that is returned.
    pub(crate) async fn port_forward(&self, request: PortForwardRequest) -> Result<String, Error> {
        let answer: PortForwardResponse =
            self.call(path!(runtime "PortForward"), request, CALL_TIMEOUT).await?;
        Ok(answer.url)
    }

    /// What all containers use.
    pub(crate) async fn list_container_stats(&self) -> Result<Vec<ContainerStats>, Error> {
        let answer: ListContainerStatsResponse = self
            .call(path!(runtime "ListContainerStats"), ListContainerStatsRequest {}, CALL_TIMEOUT)
            .await?;
        Ok(answer.stats)
    }

    /// What sandboxes use; of all that is told only the network is read.
    pub(crate) async fn list_sandbox_stats(&self) -> Result<Vec<PodSandboxStats>, Error> {
        let answer: ListPodSandboxStatsResponse = self
            .call(path!(runtime "ListPodSandboxStats"), ListPodSandboxStatsRequest {}, CALL_TIMEOUT)
            .await?;
        Ok(answer.stats)
    }

    pub(crate) async fn list_images(&self) -> Result<Vec<Image>, Error> {
        let answer: ListImagesResponse =
            self.call(path!(image "ListImages"), ListImagesRequest { filter: None }, CALL_TIMEOUT).await?;
        Ok(answer.images)
    }

    /// The names of images that are labelled as pinned. containerd before 1.7 knows the label and does not tell of it
    /// over the CRI, so its own service is asked; where there is none, the CRI tells.
    pub(crate) async fn images_labelled_pinned(&self) -> Result<Vec<String>, Error> {
        let mut request = tonic::Request::new(ListByFilterRequest { filters: vec![PINNED_FILTER.into()] });
        request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static("k8s.io"));
        let path = ("List", "/containerd.services.images.v1.Images/List");
        match self.send::<_, ListByFilterResponse>(path, request, CALL_TIMEOUT).await {
            Ok(answer) => Ok(answer.images.into_iter().map(|image| image.name).collect()),
            Err(error) if error.is_unimplemented() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The image that a name means here; `None` if it is not here.
    pub(crate) async fn image_status(&self, image: ImageSpec) -> Result<Option<Image>, Error> {
        let request = ImageStatusRequest { image: Some(image), verbose: false };
        let answer: ImageStatusResponse =
            self.call(path!(image "ImageStatus"), request, CALL_TIMEOUT).await?;
        Ok(answer.image)
    }

    /// Pulls an image; returns its reference.
    pub(crate) async fn pull_image(
        &self,
        image: ImageSpec,
        auth: Option<AuthConfig>,
        sandbox_config: PodSandboxConfig,
    ) -> Result<String, Error> {
        let request = PullImageRequest { image: Some(image), auth, sandbox_config: Some(sandbox_config) };
        let answer: PullImageResponse = self.call(path!(image "PullImage"), request, PULL_TIMEOUT).await?;
        Ok(answer.image_ref)
    }

    pub(crate) async fn remove_image(&self, image: ImageSpec) -> Result<(), Error> {
        let request = RemoveImageRequest { image: Some(image) };
        self.act(path!(image "RemoveImage"), request, CALL_TIMEOUT).await
    }

    /// The file systems that images lie on.
    pub(crate) async fn image_fs_info(&self) -> Result<ImageFsInfoResponse, Error> {
        self.call(path!(image "ImageFsInfo"), ImageFsInfoRequest {}, CALL_TIMEOUT).await
    }

    /// The stream of what happens to containers; fails with `Unimplemented` where the runtime has none.
    pub(crate) async fn container_events(&self) -> Result<tonic::Streaming<ContainerEventResponse>, Error> {
        const NAME: &str = "GetContainerEvents";
        let wrong = |status: &Status| error(NAME, status);
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        grpc.ready().await.map_err(|cause| unavailable(NAME, &cause))?;
        let path = PathAndQuery::from_static("/runtime.v1.RuntimeService/GetContainerEvents");
        let codec = ProstCodec::<Done, ContainerEventResponse>::default();
        let answer = grpc.server_streaming(tonic::Request::new(Done {}), path, codec).await;
        Ok(answer.map_err(|status| wrong(&status))?.into_inner())
    }

    async fn act<Q>(
        &self,
        path: (&'static str, &'static str),
        request: Q,
        limit: Duration,
    ) -> Result<(), Error>
    where
        Q: Message + Default + 'static,
    {
        self.call::<Q, Done>(path, request, limit).await.map(|_| ())
    }

    async fn call<Q, A>(
        &self,
        path: (&'static str, &'static str),
        request: Q,
        limit: Duration,
    ) -> Result<A, Error>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        self.send(path, tonic::Request::new(request), limit).await
    }

    async fn send<Q, A>(
        &self,
        (name, path): (&'static str, &'static str),
        request: tonic::Request<Q>,
        limit: Duration,
    ) -> Result<A, Error>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let call = async move {
            let mut grpc = Grpc::new(self.channel.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX);
            grpc.ready().await.map_err(|cause| unavailable(name, &cause))?;
            let path = PathAndQuery::from_static(path);
            let codec = ProstCodec::<Q, A>::default();
            let answer = grpc.unary(request, path, codec).await;
            Ok(answer.map_err(|status| error(name, &status))?.into_inner())
        };
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
            Err(Error {
                call: name,
                code: Code::DeadlineExceeded,
                message: format!("no answer to {name} within {limit:?}"),
            })
        })
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn error(call: &'static str, status: &Status) -> Error {
    Error { call, code: status.code(), message: status.message().to_owned() }
}

/// tonic's own text is only "transport error": the causes tell what happened.
fn unavailable(call: &'static str, error: &dyn std::error::Error) -> Error {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    Error { call, code: Code::Unavailable, message }
}

fn empty(call: &'static str) -> Error {
    Error { call, code: Code::Internal, message: "the runtime's answer is empty".into() }
}
