//! A claim grows only when it is bound and its storage class allows it.
//!
//! Upstream: `plugin/pkg/admission/storage/persistentvolume/resize`.

use super::{Attributes, Operation, Plugin, objects};
use crate::call::Call;
use meta::status::Status;
use quota::amounts::quantity;
use value::Value;

pub(super) struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn handles(&self, a: &Attributes) -> bool {
        a.operation == Operation::Update && a.is("", "persistentvolumeclaims")
    }

    fn validate(
        &self,
        call: &Call,
        a: &Attributes,
        claim: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let (Some(claim), Some(old)) = (claim, old) else { return Ok(()) };
        let size = |c: &Value| quantity(c.path(&["spec", "resources", "requests", "storage"]));
        if size(claim) <= size(old) {
            return Ok(());
        }
        if old.at("status").at("phase").str() != "Bound" {
            return Err(a.forbidden("Only bound persistent volume claims can be expanded"));
        }
        let name = class(claim);
        let allowed = !name.is_empty()
            && name == class(old)
            && objects::find(call, "storage.k8s.io", "storageclasses", "", name)
                .is_some_and(|c| c.at("allowVolumeExpansion").bool());
        if allowed {
            return Ok(());
        }
        Err(a.forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        ))
    }
}

/// The class of a claim; the old annotation still counts more than the field.
fn class(claim: &Value) -> &str {
    let annotation = claim.at("metadata").at("annotations").get("volume.beta.kubernetes.io/storage-class");
    annotation.unwrap_or_else(|| claim.at("spec").at("storageClassName")).str()
}
