//! What lies in volumes that are made of objects: configMap, secret, downwardAPI, projected.
//!
//! Upstream counterparts: `MakePayload` of `pkg/volume/{configmap,secret}`, `CollectData` of
//! `pkg/volume/downwardapi`, `collectData` of `pkg/volume/projected`.

use std::collections::BTreeMap;

use api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, SecretVolumeSource,
    Volume, VolumeProjection,
};
use bytes::Bytes;

use super::atomic::{File, Files};
use super::token::Tokens;
use crate::context::Context;
use crate::fields::{self, Surroundings};
use crate::spec;

const MODE: i32 = 0o644;
/// What only its owner, or its group, may read.
const PRIVATE: u32 = 0o600;

/// Reads what a volume is made of; `None` if it is of another kind.
pub(crate) async fn collect(
    context: &Context,
    pod: &Pod,
    volume: &Volume,
    around: &Surroundings,
    tokens: &mut Tokens,
) -> Option<Result<Files, String>> {
    let source = Source { context, pod, around };
    Some(if let Some(map) = &volume.config_map {
        source.config_map(map).await
    } else if let Some(secret) = &volume.secret {
        source.secret(secret).await
    } else if let Some(downward) = &volume.downward_api {
        let mode = downward.default_mode.unwrap_or(MODE);
        source.downward(downward.items.as_deref().unwrap_or_default(), mode)
    } else if let Some(projected) = &volume.projected {
        source.projected(projected, &volume.name, tokens).await
    } else {
        return None;
    })
}

struct Source<'a> {
    context: &'a Context,
    pod: &'a Pod,
    around: &'a Surroundings,
}

impl Source<'_> {
    async fn config_map(&self, source: &ConfigMapVolumeSource) -> Result<Files, String> {
        let data = self.config_map_data(&source.name, source.optional == Some(true)).await?;
        let what = "configmap references non-existent config key: ";
        select(&data, source.items.as_deref(), source.default_mode, source.optional == Some(true), what)
    }

    async fn secret(&self, source: &SecretVolumeSource) -> Result<Files, String> {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let data = self.secret_data(name, source.optional == Some(true)).await?;
        let what = "references non-existent secret key: ";
        select(&data, source.items.as_deref(), source.default_mode, source.optional == Some(true), what)
    }

    fn downward(&self, items: &[DownwardAPIVolumeFile], default: i32) -> Result<Files, String> {
        let mut files = Files::new();
        for item in items {
            let text = if let Some(field) = &item.field_ref {
                fields::field(self.pod, &field.field_path, self.around)?
            } else if let Some(resource) = &item.resource_field_ref {
                fields::resource(self.pod, None, resource, self.around)?
            } else {
                continue;
            };
            files.insert(item.path.clone(), file(Bytes::from(text), item.mode.unwrap_or(default)));
        }
        Ok(files)
    }

    async fn projected(
        &self,
        source: &ProjectedVolumeSource,
        volume: &str,
        tokens: &mut Tokens,
    ) -> Result<Files, String> {
        let mut all = Files::new();
        for (index, part) in source.sources.iter().flatten().enumerate() {
            let files = self.projection(part, source.default_mode, (volume, index), tokens).await?;
            all.extend(files);
        }
        Ok(all)
    }

    async fn projection(
        &self,
        part: &VolumeProjection,
        mode: Option<i32>,
        place: (&str, usize),
        tokens: &mut Tokens,
    ) -> Result<Files, String> {
        if let Some(map) = &part.config_map {
            let is_optional = map.optional == Some(true);
            let data = self.config_map_data(&map.name, is_optional).await?;
            let what = "configmap references non-existent config key: ";
            return select(&data, map.items.as_deref(), mode, is_optional, what);
        }
        if let Some(secret) = &part.secret {
            let is_optional = secret.optional == Some(true);
            let data = self.secret_data(&secret.name, is_optional).await?;
            let what = "references non-existent secret key: ";
            return select(&data, secret.items.as_deref(), mode, is_optional, what);
        }
        if let Some(downward) = &part.downward_api {
            return self.downward(downward.items.as_deref().unwrap_or_default(), mode.unwrap_or(MODE));
        }
        if let Some(wanted) = &part.service_account_token {
            let key = format!("{}/{}", place.0, place.1);
            let token = tokens.get(self.context, self.pod, &key, wanted).await?;
            let user = uniform_user(self.pod);
            let has_group = fs_group(self.pod).is_some();
            let is_private = user.is_some() || has_group;
            let mode = if is_private { PRIVATE } else { bits(mode.unwrap_or(MODE)) };
            let made = File { data: Bytes::from(token), mode, user };
            return Ok([(wanted.path.clone(), made)].into());
        }
        if let Some(bundle) = &part.cluster_trust_bundle {
            let text = super::trust::collect(self.context, bundle).await?;
            return Ok([(bundle.path.clone(), file(Bytes::from(text), mode.unwrap_or(MODE)))].into());
        }
        Err(format!(
            "a source of the projected volume \"{}\" is of a kind that this node does not know",
            place.0
        ))
    }

    async fn config_map_data(
        &self,
        name: &str,
        is_optional: bool,
    ) -> Result<BTreeMap<String, Bytes>, String> {
        let (uid, namespace) = (spec::uid(self.pod), spec::namespace(self.pod));
        let Some(map) = self.context.config_maps.get(uid, namespace, name, is_optional).await? else {
            return Ok(BTreeMap::new());
        };
        let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), Bytes::from(value.clone())));
        let binary = map.binary_data.iter().flatten();
        let binary = binary.map(|(key, value)| (key.clone(), Bytes::from(value.0.clone())));
        Ok(text.chain(binary).collect())
    }

    async fn secret_data(&self, name: &str, is_optional: bool) -> Result<BTreeMap<String, Bytes>, String> {
        let (uid, namespace) = (spec::uid(self.pod), spec::namespace(self.pod));
        let Some(secret) = self.context.secrets.get(uid, namespace, name, is_optional).await? else {
            return Ok(BTreeMap::new());
        };
        let data = secret.data.iter().flatten();
        Ok(data.map(|(key, value)| (key.clone(), Bytes::from(value.0.clone()))).collect())
    }
}

/// All keys, or those that are asked for, at their paths.
fn select(
    data: &BTreeMap<String, Bytes>,
    items: Option<&[KeyToPath]>,
    mode: Option<i32>,
    is_optional: bool,
    missing: &str,
) -> Result<Files, String> {
    let default = mode.unwrap_or(MODE);
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(data.iter().map(|(key, value)| (key.clone(), file(value.clone(), default))).collect());
    };
    let mut files = Files::new();
    for item in items {
        match data.get(&item.key) {
            Some(value) => {
                files.insert(item.path.clone(), file(value.clone(), item.mode.unwrap_or(default)));
            }
            None if is_optional => {}
            None => return Err(format!("{missing}{}", item.key)),
        }
    }
    Ok(files)
}

fn file(data: Bytes, mode: i32) -> File {
    File { data, mode: bits(mode), user: None }
}

fn bits(mode: i32) -> u32 {
    u32::try_from(mode).unwrap_or(0) & 0o777
}

/// The pod's group, if it has one.
pub(crate) fn fs_group(pod: &Pod) -> Option<u32> {
    let group = spec::spec(pod).security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// The user of all containers, if it is one and the same.
///
/// Upstream counterpart: `FsUserFrom`.
fn uniform_user(pod: &Pod) -> Option<u32> {
    let whole = spec::spec(pod).security_context.as_ref().and_then(|context| context.run_as_user);
    let all = spec::all(pod);
    let mut users = all.iter().map(|(_, container)| {
        container.security_context.as_ref().and_then(|context| context.run_as_user).or(whole)
    });
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn keys_and_paths() {
        let data: BTreeMap<_, _> =
            [("a".to_owned(), Bytes::from("1")), ("b".to_owned(), Bytes::from("2"))].into();
        let all = select(&data, None, Some(0o400), false, "").unwrap();
        assert_eq!((all.len(), all["a"].mode), (2, 0o400));
        let item = |key: &str| KeyToPath { key: key.into(), path: "x/y".into(), mode: Some(0o444) };
        let one = select(&data, Some(&[item("b")]), None, false, "").unwrap();
        assert_eq!((one.len(), one["x/y"].mode, &one["x/y"].data[..]), (1, 0o444, &b"2"[..]));
        assert_eq!(select(&data, Some(&[item("c")]), None, false, "no: ").unwrap_err(), "no: c");
        assert!(select(&data, Some(&[item("c")]), None, true, "").unwrap().is_empty());
    }

    #[test]
    fn users() {
        let of = |spec| uniform_user(&pod(spec));
        assert_eq!(of(json!({"containers": [{"name": "a"}]})), None);
        assert_eq!(of(json!({"securityContext": {"runAsUser": 5}, "containers": [{"name": "a"}]})), Some(5));
        assert_eq!(
            of(json!({"containers": [{"name": "a", "securityContext": {"runAsUser": 5}}, {"name": "b"}]})),
            None
        );
    }
}
