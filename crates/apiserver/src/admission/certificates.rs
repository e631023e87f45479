//! Who approves, signs or is given certificates: CertificateApproval, CertificateSigning and
//! CertificateSubjectRestriction.
//!
//! Upstream: `plugin/pkg/admission/certificates`, `pkg/certauthorization`.

use super::{Attributes, Operation, Plugin};
use crate::call::Call;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::quote::Quoted;
use meta::status::Status;
use value::Value;

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

fn is_update(a: &Attributes, subresource: &str) -> bool {
    a.operation == Operation::Update
        && a.subresource == subresource
        && a.resource.group == GROUP
        && a.resource.resource == "certificatesigningrequests"
}

/// Whether the user may do this for the signer, or for all signers of its domain.
fn may(call: &Call, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    [signer.to_owned(), format!("{domain}/*")].iter().any(|name| {
        let attributes = auth::Attributes::resource(&call.user, verb, GROUP, "signers").named("", name);
        call.api.access.authorize(&attributes).allowed()
    })
}

pub(super) struct CertificateApproval;

impl Plugin for CertificateApproval {
    fn handles(&self, a: &Attributes) -> bool {
        is_update(a, "approval")
    }

    fn validate(
        &self,
        call: &Call,
        a: &Attributes,
        _object: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let Some(old) = old else { return Ok(()) };
        let signer = old.at("spec").at("signerName").str();
        if may(call, "approve", signer) {
            return Ok(());
        }
        Err(a.forbidden(format!("user not permitted to approve requests with signerName {}", Quoted(signer))))
    }
}

pub(super) struct CertificateSigning;

impl Plugin for CertificateSigning {
    fn handles(&self, a: &Attributes) -> bool {
        is_update(a, "status")
    }

    fn validate(
        &self,
        call: &Call,
        a: &Attributes,
        object: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let (Some(new), Some(old)) = (object, old) else { return Ok(()) };
        let same = |field: &str| {
            let (new, old) = (new.at("status").at(field), old.at("status").at(field));
            new == old || (new.is_empty() && old.is_empty())
        };
        if same("certificate") && same("conditions") {
            return Ok(());
        }
        let signer = old.at("spec").at("signerName").str();
        if may(call, "sign", signer) {
            return Ok(());
        }
        Err(a.forbidden(format!("user not permitted to sign requests with signerName {}", Quoted(signer))))
    }
}

pub(super) struct CertificateSubjectRestriction;

impl Plugin for CertificateSubjectRestriction {
    fn handles(&self, a: &Attributes) -> bool {
        a.creates(GROUP, "certificatesigningrequests")
    }

    fn validate(
        &self,
        _call: &Call,
        a: &Attributes,
        object: Option<&Value>,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        let Some(spec) = object.map(|o| o.at("spec")) else { return Ok(()) };
        if spec.at("signerName").str() != CLIENT_SIGNER {
            return Ok(());
        }
        let pem = STANDARD.decode(spec.at("request").str()).unwrap_or_default();
        let request = pki::CertificateRequest::from_pem(&pem)
            .map_err(|e| a.forbidden(format!("failed to parse CSR: {e}")))?;
        if request.subject.organizations.iter().any(|o| o == "system:masters") {
            return Err(a.forbidden(format!(
                "use of {CLIENT_SIGNER} signer with system:masters group is not allowed"
            )));
        }
        Ok(())
    }
}
