//! The Scale of a custom object.

use super::kind::{Custom, ScalePaths};
use crate::resource::Served;
use crd::metadata::go_type;
use meta::status::Status;
use value::{Str, Value};

/// Where the parts of a Scale stand in the objects of a custom kind; `None` for built-in kinds.
pub(crate) fn paths(served: &Served) -> Option<&ScalePaths> {
    served.codec.custom()?.here()?.scale.as_ref()
}

fn steps(path: &str) -> Vec<&str> {
    path.strip_prefix('.').unwrap_or(path).split('.').collect()
}

/// A value at a simple path.
fn at<'v>(object: &'v Value, path: &str) -> Result<Option<&'v Value>, String> {
    let mut value = object;
    let steps = steps(path);
    for (i, step) in steps.iter().enumerate() {
        if value.is_null() {
            return Ok(None);
        }
        let Some(map) = value.as_object() else {
            let upto = steps.iter().take(i + 1).copied().collect::<Vec<_>>().join(".");
            let shown = merge::order::plain(value);
            return Err(format!(
                ".{upto} accessor error: {shown} is of the type {}, expected map[string]interface{{}}",
                go_type(value)
            ));
        };
        match map.get(step) {
            Some(v) => value = v,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

fn wrong(path: &str, value: &Value, wanted: &str) -> String {
    let path = steps(path).join(".");
    format!(
        ".{path} accessor error: {} is of the type {}, expected {wanted}",
        merge::order::plain(value),
        go_type(value)
    )
}

/// The integer at a path.
pub(crate) fn int_at(object: &Value, path: &str) -> Result<Option<i64>, String> {
    match at(object, path)? {
        None => Ok(None),
        Some(v) => v.as_i64().map(Some).ok_or_else(|| wrong(path, v, "int64")),
    }
}

/// The string at a path.
pub(crate) fn text_at(object: &Value, path: &str) -> Result<Option<String>, String> {
    match at(object, path)? {
        None => Ok(None),
        Some(v) => v.as_str().map(|s| Some(s.to_owned())).ok_or_else(|| wrong(path, v, "string")),
    }
}

impl Custom {
    /// Where the replicas stand in each version, as owners of fields name it.
    pub(crate) fn replicas_paths(&self) -> Vec<(Str, Option<merge::Path>)> {
        let versions = self.all.versions.iter();
        let path = |scale: &ScalePaths| merge::Path::fields(&steps(&scale.spec));
        versions
            .map(|(name, version)| {
                let api_version = Str::from(format!("{}/{name}", self.all.group));
                (api_version, version.scale.as_ref().map(path))
            })
            .collect()
    }
}

impl ScalePaths {
    /// The Scale of an object, and whether the replicas are set.
    pub(crate) fn scale_of(&self, object: &Value) -> Result<(Value, bool), Status> {
        let wrong = |why: String| Status::plain_error(why);
        let replicas = int_at(object, &self.spec).map_err(wrong)?;
        let ready = int_at(object, &self.status).map_err(wrong)?.unwrap_or(0);
        let selector = match &self.selector {
            Some(path) => text_at(object, path).map_err(wrong)?,
            None => None,
        };
        let mut metadata = Value::object();
        for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(v) = object.at("metadata").get(field) {
                metadata.set(field, v.clone());
            }
        }
        let mut spec = Value::object();
        if let Some(n) = replicas.filter(|n| *n != 0) {
            spec.set("replicas", n);
        }
        let mut status = Value::object();
        status.set("replicas", ready);
        if let Some(text) = selector.filter(|s| !s.is_empty()) {
            status.set("selector", text);
        }
        let mut scale = Value::object();
        scale.set("kind", "Scale");
        scale.set("apiVersion", "autoscaling/v1");
        scale.set("metadata", metadata);
        scale.set("spec", spec);
        scale.set("status", status);
        Ok((scale, replicas.is_some()))
    }

    /// 500 where a Scale is read of an object without replicas.
    pub(crate) fn missing(&self) -> Status {
        let path = meta::quote::quote(&self.spec);
        Status::internal_error(format!("the spec replicas field {path} does not exist"))
    }

    /// 400 where a Scale is written of an object without replicas, and names none.
    pub(crate) fn unset(&self) -> Status {
        let path = meta::quote::quote(&self.spec);
        Status::bad_request(format!("the spec replicas field {path} cannot be empty"))
    }

    /// Sets the replicas of an object.
    pub(crate) fn set_replicas(&self, object: &mut Value, replicas: i64) -> Result<(), Status> {
        let steps = steps(&self.spec);
        let Some((last, parents)) = steps.split_last() else { return Ok(()) };
        let mut value = object;
        for step in parents {
            value = value.object_at(step).ok_or_else(|| {
                Status::plain_error(format!(
                    "value cannot be set because {} is not a map[string]interface{{}}",
                    self.spec
                ))
            })?;
        }
        value.set(last, replicas);
        Ok(())
    }
}
