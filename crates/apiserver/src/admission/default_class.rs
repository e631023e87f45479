//! Claims and ingresses that name no class get the default one: DefaultStorageClass, DefaultIngressClass.
//!
//! Upstream: `plugin/pkg/admission/storage/storageclass/setdefault`, `.../network/defaultingressclass`.

use super::objects::Derived;
use super::{Attributes, Plugin};
use crate::call::Call;
use meta::status::Status;
use std::cmp::Reverse;
use value::{Str, Value};

pub(super) struct DefaultClass {
    /// What gets a class.
    of: (&'static str, &'static str),
    /// The annotations that mark a class as the default.
    marks: &'static [&'static str],
    /// The annotation by which an object can name its class instead of the field.
    annotation: &'static str,
    field: &'static str,
    default: Derived<Option<Str>>,
}

/// DefaultStorageClass.
pub(super) const fn storage() -> DefaultClass {
    DefaultClass {
        of: ("", "persistentvolumeclaims"),
        marks: &[
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ],
        annotation: "volume.beta.kubernetes.io/storage-class",
        field: "storageClassName",
        default: Derived::new("storage.k8s.io", "storageclasses"),
    }
}

/// DefaultIngressClass.
pub(super) const fn ingress() -> DefaultClass {
    DefaultClass {
        of: ("networking.k8s.io", "ingresses"),
        marks: &["ingressclass.kubernetes.io/is-default-class"],
        annotation: "kubernetes.io/ingress.class",
        field: "ingressClassName",
        default: Derived::new("networking.k8s.io", "ingressclasses"),
    }
}

impl Plugin for DefaultClass {
    fn handles(&self, a: &Attributes) -> bool {
        a.creates(self.of.0, self.of.1)
    }

    fn admit(
        &self,
        call: &Call,
        _a: &mut Attributes,
        object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        let named = object.at("metadata").at("annotations").get(self.annotation).is_some()
            || !object.at("spec").at(self.field).is_null();
        if named {
            return Ok(());
        }
        let default = self.default.get(call, |hub, entries| {
            let classes = entries.iter().map(|entry| hub.tree(entry));
            let default = classes.filter(|class| {
                let annotations = class.at("metadata").at("annotations");
                self.marks.iter().any(|mark| annotations.at(mark).str() == "true")
            });
            // The newest; of those of one second the first by name. Times compare as text.
            let key = |c: &Value| {
                let metadata = c.at("metadata");
                let text = |field: &str| Str::from(metadata.at(field).str());
                (Reverse(text("creationTimestamp")), text("name"))
            };
            default.map(|c| key(&c)).min().map(|(_, name)| name)
        });
        if let Some(name) = default.as_deref().and_then(Option::as_ref)
            && let Some(spec) = object.object_at("spec")
        {
            spec.set(self.field, name.clone());
        }
        Ok(())
    }
}
