//! The environment of containers.
//!
//! Upstream counterparts: `makeEnvironmentVariables` of `pkg/kubelet/kubelet_pods.go`, `pkg/kubelet/envvars`,
//! `third_party/forked/golang/expansion`.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::core::v1::{Container, FileKeySelector, Pod, Service};
use bytes::Bytes;

use crate::context::Context;
use crate::fields::{self, Surroundings};
use crate::spec;
use crate::text::host_port;
use crate::volumes::Paths;

/// How long services may take to be known.
const SYNC_LIMIT: Duration = Duration::from_secs(5);

/// Variables by name; values need not be text.
pub(crate) type Variables = BTreeMap<String, Bytes>;

/// The environment of a container.
///
/// # Errors
/// What it refers to is not there, in upstream's words.
pub(crate) async fn environment(
    context: &Context,
    pod: &Pod,
    container: &Container,
    around: &Surroundings,
    volumes: &Paths,
) -> Result<Variables, String> {
    let namespace = spec::namespace(pod);
    let has_links = spec::spec(pod).enable_service_links.unwrap_or(true);
    if tokio::time::timeout(SYNC_LIMIT, context.services.synced()).await.is_err() {
        return Err("services have not yet been read at least once, cannot construct envvars".into());
    }
    let services = services(&context.services.list(), namespace, has_links);
    let mut sources = Sources { context, namespace, config_maps: BTreeMap::new(), secrets: BTreeMap::new() };
    let mut found = Variables::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let data = if let Some(map) = &from.config_map_ref {
            sources.config_map(&map.name, map.optional == Some(true)).await?
        } else if let Some(secret) = &from.secret_ref {
            sources.secret(&secret.name, secret.optional == Some(true)).await?
        } else {
            None
        };
        for (key, value) in data.iter().flat_map(|data| data.iter()) {
            found.insert(format!("{prefix}{key}"), value.clone());
        }
    }
    for variable in container.env.iter().flatten() {
        let text = variable.value.as_deref().unwrap_or_default();
        let value = if !text.is_empty() {
            Some(Bytes::from(expand(text, &[&found, &services])))
        } else if let Some(from) = &variable.value_from {
            match &from.file_key_ref {
                Some(from) => of_file(from, volumes)?,
                None => value_from(&mut sources, pod, container, from, around).await?,
            }
        } else {
            Some(Bytes::new())
        };
        if let Some(value) = value {
            found.insert(variable.name.clone(), value);
        }
    }
    for (name, value) in services {
        found.entry(name).or_insert(value);
    }
    Ok(found)
}

fn of_file(from: &FileKeySelector, volumes: &Paths) -> Result<Option<Bytes>, String> {
    let FileKeySelector { volume_name, path, key, optional } = from;
    let Some(volume) = volumes.get(volume_name) else {
        return Err(format!("cannot find the volume {volume_name:?} referenced by FileKeyRef"));
    };
    let found =
        file::value(volume, path, key).map_err(|error| format!("couldn't parse env file: {error}"))?;
    match found {
        Some(value) => Ok(Some(value.into())),
        None if *optional == Some(true) => Ok(None),
        None => {
            let file = volume.join(path.trim_start_matches('/'));
            Err(format!(
                "environment variable key {key:?} not found in file {:?}",
                file.display().to_string()
            ))
        }
    }
}

async fn value_from(
    sources: &mut Sources<'_>,
    pod: &Pod,
    container: &Container,
    from: &api::core::v1::EnvVarSource,
    around: &Surroundings,
) -> Result<Option<Bytes>, String> {
    let namespace = spec::namespace(pod);
    if let Some(field) = &from.field_ref {
        return fields::field(pod, &field.field_path, around).map(|text| Some(text.into()));
    }
    if let Some(resource) = &from.resource_field_ref {
        return fields::resource(pod, Some(container), resource, around).map(|text| Some(text.into()));
    }
    let (data, key, is_optional, what, name) = if let Some(from) = &from.config_map_key_ref {
        let is_optional = from.optional == Some(true);
        (sources.config_map(&from.name, is_optional).await?, &from.key, is_optional, "ConfigMap", &from.name)
    } else if let Some(from) = &from.secret_key_ref {
        let is_optional = from.optional == Some(true);
        (sources.secret(&from.name, is_optional).await?, &from.key, is_optional, "Secret", &from.name)
    } else {
        return Ok(None);
    };
    match data.as_ref().and_then(|data| data.get(key)) {
        Some(value) => Ok(Some(value.clone())),
        None if is_optional => Ok(None),
        None => Err(format!("couldn't find key {key} in {what} {namespace}/{name}")),
    }
}

/// What variables are taken from; each object is read once.
struct Sources<'a> {
    context: &'a Context,
    namespace: &'a str,
    config_maps: BTreeMap<String, Option<Arc<Variables>>>,
    secrets: BTreeMap<String, Option<Arc<Variables>>>,
}

impl Sources<'_> {
    async fn config_map(&mut self, name: &str, is_optional: bool) -> Result<Option<Arc<Variables>>, String> {
        if let Some(known) = self.config_maps.get(name) {
            return Ok(known.clone());
        }
        let map = self.context.config_map(self.namespace, name, is_optional).await?;
        let data = map.map(|map| {
            let data = map.data.into_iter().flatten();
            Arc::new(data.map(|(key, value)| (key, Bytes::from(value))).collect::<Variables>())
        });
        self.config_maps.insert(name.to_owned(), data.clone());
        Ok(data)
    }

    async fn secret(&mut self, name: &str, is_optional: bool) -> Result<Option<Arc<Variables>>, String> {
        if let Some(known) = self.secrets.get(name) {
            return Ok(known.clone());
        }
        let secret = self.context.secret(self.namespace, name, is_optional).await?;
        let data = secret.map(|secret| {
            let data = secret.data.into_iter().flatten();
            Arc::new(data.map(|(key, value)| (key, Bytes::from(value.0))).collect::<Variables>())
        });
        self.secrets.insert(name.to_owned(), data.clone());
        Ok(data)
    }
}

/// The variables that tell of services: `default/kubernetes` always, those of the namespace with links.
fn services(all: &[Arc<Service>], namespace: &str, has_links: bool) -> Variables {
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in all {
        let meta = &service.metadata;
        let name = meta.name.as_deref().unwrap_or_default();
        let own = meta.namespace.as_deref() == Some(namespace);
        let is_master = meta.namespace.as_deref() == Some("default") && name == "kubernetes";
        let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
        if address.is_empty() || address == "None" {
            continue;
        }
        if own && has_links {
            chosen.insert(name, service);
        } else if is_master {
            chosen.entry(name).or_insert(service);
        }
    }
    let mut found = Variables::new();
    for (name, service) in chosen {
        service_variables(name, service, &mut found);
    }
    found
}

fn service_variables(name: &str, service: &Service, found: &mut Variables) {
    let Some(spec) = &service.spec else { return };
    let address = spec.cluster_ip.clone().unwrap_or_default();
    let upper = |text: &str| text.to_uppercase().replace('-', "_");
    let name = upper(name);
    let mut set = |key: String, value: String| found.insert(key, Bytes::from(value));
    set(format!("{name}_SERVICE_HOST"), address.clone());
    let ports = spec.ports.as_deref().unwrap_or_default();
    if let Some(first) = ports.first() {
        set(format!("{name}_SERVICE_PORT"), first.port.to_string());
    }
    for port in ports {
        if let Some(own) = port.name.as_deref().filter(|own| !own.is_empty()) {
            set(format!("{name}_SERVICE_PORT_{}", upper(own)), port.port.to_string());
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let number = u16::try_from(port.port).unwrap_or_default();
        let url = format!("{lower}://{}", host_port(&address, number));
        if index == 0 {
            set(format!("{name}_PORT"), url.clone());
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_uppercase());
        set(prefix.clone(), url);
        set(format!("{prefix}_PROTO"), lower);
        set(format!("{prefix}_PORT"), port.port.to_string());
        set(format!("{prefix}_ADDR"), address.clone());
    }
}

/// Replaces `$(NAME)` by the first value known; what is not known stays, `$$` is `$`.
pub(crate) fn expand(text: &str, known: &[&Variables]) -> Vec<u8> {
    expand_with(text, |name| known.iter().find_map(|known| known.get(name)))
}

fn expand_with<'a>(text: &str, mut value_of: impl FnMut(&str) -> Option<&'a Bytes>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push(b'$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match value_of(name) {
                Some(value) => out.extend_from_slice(value),
                None => out.extend_from_slice(format!("$({name})").as_bytes()),
            }
            rest = after;
        } else {
            out.push(b'$');
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// The same for texts that must be text.
pub(crate) fn expand_text(text: &str, known: &Variables) -> String {
    String::from_utf8_lossy(&expand(text, &[known])).into_owned()
}

/// The same where each variable must have a value.
///
/// # Errors
/// Those that are missing or empty, as upstream's `ExpandContainerVolumeMounts` tells them.
pub(crate) fn expand_known(text: &str, known: &Variables) -> Result<String, String> {
    let mut missing = BTreeSet::new();
    let expanded = expand_with(text, |name| {
        let value = known.get(name).filter(|value| !value.is_empty());
        if value.is_none() {
            missing.insert(name.to_owned());
        }
        value
    });
    if missing.is_empty() {
        return Ok(String::from_utf8_lossy(&expanded).into_owned());
    }
    let missing: Vec<String> = missing.into_iter().collect();
    Err(format!("missing value for {}", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_must_be_there() {
        let known: Variables =
            [("A".to_owned(), Bytes::from("1")), ("EMPTY".to_owned(), Bytes::new())].into();
        assert_eq!(expand_known("$(A)/x", &known).as_deref(), Ok("1/x"));
        assert_eq!(expand_known("$$(B)/$(A", &known).as_deref(), Ok("$(B)/$(A"));
        let error = "missing value for C, EMPTY";
        assert_eq!(expand_known("$(EMPTY)$(C)$(A)$(C)", &known), Err(error.to_owned()));
    }

    #[test]
    fn expansion() {
        let known: Variables =
            [("A".to_owned(), Bytes::from("1")), ("B".to_owned(), Bytes::from("$(A)"))].into();
        let cases = [
            ("$(A)-$(B)", "1-$(A)"),
            ("$$(A)", "$(A)"),
            ("$(NONE) $", "$(NONE) $"),
            ("$(A", "$(A"),
            ("$A $$$(A)", "$A $1"),
            ("ü$(A)", "ü1"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand_text(text, &known), expected, "{text}");
        }
    }

    #[test]
    fn variables_of_services() {
        let service = |namespace: &str, name: &str, ip: &str| -> Arc<Service> {
            let object = serde_json::json!({"metadata": {"namespace": namespace, "name": name},
                "spec": {"clusterIP": ip, "ports": [{"name": "web-x", "port": 80, "protocol": "TCP"}]}});
            Arc::new(serde_json::from_value(object).unwrap())
        };
        let all = [
            service("default", "kubernetes", "10.96.0.1"),
            service("n", "my-db", "fd00::1"),
            service("n", "none", "None"),
            service("other", "x", "10.96.0.3"),
        ];
        let found = services(&all, "n", true);
        let text = |key: &str| found.get(key).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(text("KUBERNETES_SERVICE_HOST").unwrap(), "10.96.0.1");
        assert_eq!(text("MY_DB_SERVICE_PORT_WEB_X").unwrap(), "80");
        assert_eq!(text("MY_DB_PORT").unwrap(), "tcp://[fd00::1]:80");
        assert_eq!(text("MY_DB_PORT_80_TCP_ADDR").unwrap(), "fd00::1");
        assert!(text("NONE_SERVICE_HOST").is_none() && text("X_SERVICE_HOST").is_none());
        assert!(!services(&all, "n", false).contains_key("MY_DB_SERVICE_HOST"));
    }
}
