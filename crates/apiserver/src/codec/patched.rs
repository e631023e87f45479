//! What a patch has made of an object, read as an object of its kind again.

use super::{Codec, Decoded, find_kind, internal_type, scheme};
use crate::crd::{Strays, Unwritable};
use kinds::Row;
use meta::field::{Error, Path};
use meta::gvk::GroupKind;
use meta::quote::Quoted;
use meta::status::Status;
use schema::{TypeId, Types, Unknown};
use value::{Value, json};

/// How upstream makes an object of what a patch has made.
#[derive(Clone, Copy, Debug)]
pub enum Via<'a> {
    /// By its document, which a JSON patch made. If that names another kind, it is an object of that kind, and
    /// refused.
    Document,
    /// The same after this merge patch: what it is about has its keys sorted where errors show it.
    Merged(&'a Value),
    /// The same after an apply.
    Applied,
    /// From tree to type; its kind is not looked at, and errors show this patch. Only built-in types.
    Tree(&'a Value),
}

impl Codec {
    /// Reads what a patch has made of an object; `faults` are those of the patch itself.
    ///
    /// # Errors
    /// 422 with upstream's text.
    pub fn decode_patched(
        &self,
        row: &Row,
        live: &Value,
        patched: Value,
        via: Via<'_>,
        faults: &[String],
        strict: bool,
    ) -> Result<Decoded, Status> {
        if let (Via::Document | Via::Merged(_) | Via::Applied, Some(ty), []) = (via, self.ty, faults)
            && self.is_kind_of(&patched)
            && schema::is_normal(Types::builtin(), ty, &patched)
        {
            // Its document would be read as what it is.
            return Ok(Decoded::plain(patched));
        }
        let patched = &patched;
        let mut object = patched.clone();
        let refuse = |why: String| {
            let shown = match via {
                Via::Tree(patch) => merge::order::plain(&merge::strategic::laid_on(live, patch.clone())),
                Via::Document | Via::Merged(_) | Via::Applied => {
                    let mut out = Vec::new();
                    let patch = if let Via::Merged(patch) = via { patch } else { &Value::Null };
                    shown(self.ty, live, patched, patch, matches!(via, Via::Document), &mut out);
                    String::from_utf8_lossy(&out).into_owned()
                }
            };
            let errors = vec![Error::invalid(&Path::new("patch"), shown, why)];
            Status::invalid(&GroupKind::default(), "", &errors)
        };
        let mut unknown = None;
        if let (Via::Tree(_), Some(ty)) = (via, self.ty) {
            unknown = Some(schema::conform(Types::builtin(), ty, &mut object).map_err(&refuse)?);
            self.stamp(&mut object);
        }
        let is_text = |name: &str| matches!(object.at(name), Value::String(_) | Value::Null);
        if !(matches!(object, Value::Object(_)) && is_text("apiVersion") && is_text("kind")) {
            find_kind(&json::to_vec(&object)).map_err(&refuse)?;
        }
        let (api_version, kind) = (object.at("apiVersion").str(), object.at("kind").str());
        if let Some(custom) = self.custom() {
            if api_version.is_empty() {
                let why = "Object 'apiVersion' is missing in 'object has no apiVersion field'";
                return Err(Status::internal_error(why));
            }
            let strays = if matches!(via, Via::Applied) { Strays::Kept } else { Strays::Pruned };
            let mut decoded =
                custom.accept(object, crd::prune::Track::Paths, strays).map_err(|e| match e {
                    Unwritable::NoKind => {
                        refuse(format!("Object 'Kind' is missing in '{}'", json::to_string(patched)))
                    }
                    Unwritable::Malformed(why) => refuse(why),
                })?;
            decoded.strict.splice(0..0, faults.iter().cloned());
            if strict && !decoded.strict.is_empty() {
                return Err(refuse(format!("strict decoding error: {}", decoded.strict.join(", "))));
            }
            return Ok(decoded);
        }
        if self.ty.is_some() && !matches!(via, Via::Tree(_)) && api_version.is_empty() {
            return self.unversioned(&object, faults, strict).map_err(&refuse);
        }
        let kind = if kind.is_empty() { self.kind.as_str() } else { kind };
        if (api_version, kind) != (self.api_version.as_str(), self.kind.as_str()) {
            return Err(refuse(self.foreign_kind(&object, api_version, kind)));
        }
        let mut decoded = match self.ty {
            Some(ty) => {
                let decoded = schema::decode_value(Types::builtin(), ty, &object, Unknown::Report);
                Decoded::from(decoded.map_err(|e| refuse(e.to_string()))?)
            }
            None => self.decode_json(row, &json::to_vec(&object), b"", true)?,
        };
        if let Some(unknown) = unknown {
            decoded.strict = unknown;
        }
        decoded.strict.splice(0..0, faults.iter().cloned());
        if strict && !decoded.strict.is_empty() {
            return Err(refuse(format!("strict decoding error: {}", decoded.strict.join(", "))));
        }
        self.stamp(&mut decoded.object);
        Ok(decoded)
    }

    /// Whether upstream can convert what an apply made back to the type; `config` is shown.
    ///
    /// # Errors
    /// 500 with upstream's text.
    pub fn check_applied(&self, config: &Value, applied: &mut Value) -> Result<(), Status> {
        let Some(ty) = self.ty else { return Ok(()) };
        schema::conform(Types::builtin(), ty, applied).map(drop).map_err(|why| {
            let (metadata, version) = (config.at("metadata"), self.api_version.as_str());
            let slash = if version.contains('/') { "" } else { "/" };
            let kind = format!("{slash}{version}, Kind={}", self.kind);
            Status::plain_error(format!(
                "failed to convert new object ({}/{}; {kind}) to proper version: unable to convert unstructured object to {kind}: {why}",
                metadata.at("namespace").str(),
                metadata.at("name").str()
            ))
        })
    }

    /// A document without a version is read as the internal type, whose fields have no names in JSON: nothing of it
    /// is left, and there is no name to tell it by.
    ///
    /// # Errors
    /// Upstream's text.
    fn unversioned(&self, object: &Value, faults: &[String], strict: bool) -> Result<Decoded, String> {
        let unknown =
            object.entries().map(|(name, _)| name).filter(|n| !matches!(n.as_str(), "apiVersion" | "kind"));
        let mut decoded = Decoded::plain(self.empty());
        decoded.strict = faults.to_vec();
        decoded.strict.extend(unknown.map(|name| format!("unknown field {}", Quoted(name))));
        if strict && !decoded.strict.is_empty() {
            return Err(format!("strict decoding error: {}", decoded.strict.join(", ")));
        }
        Ok(decoded)
    }

    /// Why an object that a patch gave another kind cannot be read.
    fn foreign_kind(&self, object: &Value, api_version: &str, kind: &str) -> String {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let types = Types::builtin();
        match types.by_kind(group, version, kind) {
            Some(ty) => match schema::decode_value(types, ty, object, Unknown::Ignore) {
                Err(error) => error.to_string(),
                Ok(_) => format!(
                    "converting ({}) to ({}): unknown conversion",
                    types.name(ty),
                    internal_type(
                        self.api_version.split_once('/').map_or("", |(group, _)| group),
                        &self.kind
                    )
                ),
            },
            None => format!(
                "no kind {} is registered for version {} in scheme \"{}\"",
                Quoted(kind),
                Quoted(api_version),
                scheme(self.api_version.split_once('/').map_or("", |(group, _)| group))
            ),
        }
    }

    /// Lays a strategic merge patch on an object.
    ///
    /// # Errors
    /// 400 or 422 with upstream's text.
    pub fn strategic_merge(&self, live: &Value, patch: &Value) -> Result<Value, Status> {
        let Some(ty) = self.ty else { return Err(merge::strategic::Error::unsupported().to_status()) };
        merge::strategic::apply(live.clone(), patch.clone(), ty).map_err(|e| e.to_status())
    }
}

/// Writes a patched document as upstream shows it: what the patch left alone in Go's field order, and the keys of
/// what it touched in theirs. A merge patch touches what it is about even where it changes nothing.
/// `within_lists` is whether it can leave items of a list alone.
fn shown(
    ty: Option<TypeId>,
    live: &Value,
    patched: &Value,
    patch: &Value,
    within_lists: bool,
    out: &mut Vec<u8>,
) {
    let types = Types::builtin();
    match (ty, patched) {
        (Some(ty), _) if live == patched && patch.is_null() => schema::encode_json(types, ty, patched, out),
        (_, Value::Object(map)) => {
            out.push(b'{');
            for (i, (key, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                json::write_str(key, out);
                out.push(b':');
                let inner = ty.and_then(|ty| match types.shape(ty) {
                    schema::Shape::Struct(s) => s.field(key).map(|f| f.ty),
                    schema::Shape::Map { value, .. } => Some(*value),
                    _ => None,
                });
                shown(inner, live.at(key), value, patch.at(key), within_lists, out);
            }
            out.push(b'}');
        }
        (_, Value::Array(items)) if within_lists => {
            let inner = ty.and_then(|ty| match types.shape(ty) {
                schema::Shape::List(element) => Some(*element),
                _ => None,
            });
            let before = live.items();
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                // What was there before stands as it was, wherever it stands now.
                let same = before.iter().find(|old| *old == item);
                let before = same.or(before.get(i)).unwrap_or(&Value::Null);
                shown(inner, before, item, &Value::Null, true, out);
            }
            out.push(b']');
        }
        _ => json::write(patched, out),
    }
}
