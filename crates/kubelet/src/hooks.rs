//! Hooks of containers: after their start, before their end.
//!
//! Upstream counterpart: `pkg/kubelet/lifecycle/handlers.go`.

use std::time::Duration;

use api::core::v1::{Container, LifecycleHandler, Pod};

use crate::context::Context;
use crate::http;
use crate::spec;

/// Go's HTTP client of hooks has no limit but the container's; ours ends with the longest grace period that is usual.
const HTTP_LIMIT: Duration = Duration::from_secs(600);

/// Runs a hook to its end.
///
/// # Errors
/// What went wrong; it is shown in the container's status.
pub(crate) async fn run(
    context: &Context,
    pod: &Pod,
    container: &Container,
    id: &str,
    pod_ip: &str,
    hook: &LifecycleHandler,
) -> Result<(), String> {
    let place = || {
        let name = format!("{}_{}({})", spec::name(pod), spec::namespace(pod), spec::uid(pod));
        format!("for Container \"{}\" in Pod \"{name}\" failed", container.name)
    };
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        let answer = context.runtime.exec_sync(id, command, Duration::ZERO).await;
        let (error, output) = match answer {
            Ok(answer) if answer.exit_code == 0 => return Ok(()),
            Ok(answer) => {
                let output = [answer.stdout, answer.stderr].concat();
                let error = format!("command '{shown}' exited with {}: ", answer.exit_code);
                (error + &String::from_utf8_lossy(&output), output)
            }
            Err(error) => (error.to_string(), Vec::new()),
        };
        let output = String::from_utf8_lossy(&output).into_owned();
        return Err(format!(
            "Exec lifecycle hook ([{shown}]) {} - error: {error}, message: {output:?}",
            place()
        ));
    }
    if let Some(action) = &hook.http_get {
        let path = action.path.as_deref().unwrap_or_default();
        let failed = |error: String| format!("HTTP lifecycle hook ({path}) {} - error: {error}", place());
        let result = http::get(action, container, pod_ip, "lifecycle", HTTP_LIMIT).await;
        // A server that speaks no TLS is asked again without, as upstream does.
        let is_tls = action.scheme.as_deref() == Some("HTTPS");
        let result = match result {
            Err(error) if is_tls && error.contains(http::NO_TLS) => {
                let plain = api::core::v1::HTTPGetAction { scheme: Some("HTTP".into()), ..action.clone() };
                http::get(&plain, container, pod_ip, "lifecycle", HTTP_LIMIT).await
            }
            result => result,
        };
        return result.map(drop).map_err(failed);
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err("Cannot run handler: invalid handler".into())
}
