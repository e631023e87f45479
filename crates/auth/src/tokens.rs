//! Tokens of service accounts on request (TokenRequest), and their evaluation (TokenReview).
//!
//! Upstream: `pkg/registry/core/serviceaccount/storage/token.go`, `pkg/serviceaccount/claims.go`,
//! `pkg/registry/authentication/tokenreview`.

use crate::authenticate::{Authenticator, Reference, ServiceAccountToken};
use crate::user::service_account_name;
use crate::{Lookup, UserInfo};
use meta::field::{Error, ErrorList, Path};
use meta::gvk::{GroupKind, GroupResource};
use meta::quote::Quoted;
use meta::status::Status;
use meta::time::Time;
use pki::ServiceAccountKeys;
use value::{Str, Value};

const GROUP: &str = "authentication.k8s.io";
/// The shortest life that can be asked for.
const EXPIRATION_SECONDS_MIN: i64 = 10 * 60;
/// The longest.
const EXPIRATION_SECONDS_MAX: i64 = 1 << 32;
/// What the kubelet asks for on behalf of volumes that ServiceAccount admission adds: such tokens live a year,
/// and their use after this time is only noted.
const NOTED_EXPIRATION_SECONDS: i64 = 60 * 60 + 7;
const EXTENDED_EXPIRATION_SECONDS: i64 = 365 * 24 * 60 * 60;

/// How tokens are issued.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// Signs.
    pub keys: &'a ServiceAccountKeys,
    /// `iss`.
    pub name: &'a str,
    /// The audiences of this server: the default of a request, and those whose tokens may live longer.
    pub audiences: &'a [String],
    /// The longest life that is granted (`--service-account-max-token-expiration`).
    pub max_expiration_seconds: Option<i64>,
    /// Whether tokens of added volumes live a year (`--service-account-extend-token-expiration`, on).
    pub extend_expiration: bool,
}

/// A token that was issued.
#[derive(Clone, Debug, PartialEq)]
pub struct Issued {
    /// The answered TokenRequest.
    pub object: Value,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
    /// `JTI=…`, for the audit annotation `authentication.kubernetes.io/issued-credential-id`.
    pub credential_id: String,
}

impl Issuer<'_> {
    /// Answers a TokenRequest `request` (decoded and defaulted: `expirationSeconds` is 3600 unless given) for
    /// the service account `name` in `namespace`. `admit` is called with the request between validation and
    /// issuing (validating admission).
    ///
    /// # Errors
    /// The answer: 404, 409, 422 or what `admit` says.
    pub fn issue(
        &self,
        namespace: &str,
        name: &str,
        mut request: Value,
        lookup: &dyn Lookup,
        now: i64,
        admit: &mut dyn FnMut(&Value) -> Result<(), Status>,
    ) -> Result<Issued, Status> {
        check_metadata(&request, namespace, name)?;
        let account = lookup
            .get("serviceaccounts", namespace, name)
            .ok_or_else(|| Status::not_found(&GroupResource::new("", "serviceaccounts"), name))?;
        let uid = account.path(&["metadata", "uid"]).str();
        self.complete(&mut request, namespace, name, uid, now)?;
        let errors = validate(&request);
        if !errors.is_empty() {
            return Err(Status::invalid(&GroupKind::new(GROUP, "TokenRequest"), "", &errors));
        }
        admit(&request)?;
        let mut claims = ServiceAccountToken {
            issuer: self.name.into(),
            subject: service_account_name(namespace, name),
            namespace: namespace.into(),
            account: Reference { name: name.into(), uid: uid.into() },
            issued_at: Some(now),
            not_before: Some(now),
            id: uuid::Uuid::new_v4().to_string().into(),
            ..ServiceAccountToken::default()
        };
        bind(&mut claims, request.path(&["spec", "boundObjectRef"]), lookup)?;
        let mut warnings = Vec::new();
        let mut seconds = request.path(&["spec", "expirationSeconds"]).int();
        if let Some(max) = self.max_expiration_seconds.filter(|max| *max > 0 && seconds > *max) {
            warnings.push(format!("requested expiration of {seconds} seconds shortened to {max} seconds"));
            seconds = max;
            if let Some(spec) = request.object_at("spec") {
                spec.set("expirationSeconds", max);
            }
        }
        claims.audiences =
            request.path(&["spec", "audiences"]).items().iter().map(|a| a.str().into()).collect();
        let own = claims.audiences.iter().all(|a| self.audiences.iter().any(|o| o == a.as_str()));
        let extend =
            self.extend_expiration && claims.pod.is_some() && seconds == NOTED_EXPIRATION_SECONDS && own;
        let life = if extend { EXTENDED_EXPIRATION_SECONDS } else { seconds };
        claims.warn_after = extend.then(|| now.saturating_add(seconds));
        claims.expires_at = Some(now.saturating_add(life));
        let token = self.keys.sign(&claims.to_payload());
        let token = token.map_err(|e| Status::internal_error(format!("failed to generate token: {e}")))?;
        let mut status = Value::object();
        status.set("token", token);
        status.set("expirationTimestamp", Time::from_unix(now.saturating_add(seconds), 0).to_string());
        request.set("status", status);
        Ok(Issued { object: request, warnings, credential_id: format!("JTI={}", claims.id) })
    }

    /// Fills in what a request leaves out.
    fn complete(
        &self,
        request: &mut Value,
        namespace: &str,
        name: &str,
        uid: &str,
        now: i64,
    ) -> Result<(), Status> {
        let asked_uid = request.path(&["metadata", "uid"]).str();
        if !asked_uid.is_empty() && asked_uid != uid {
            let text = format!(
                "the UID in the token request ({asked_uid}) does not match the UID of the service account ({uid})"
            );
            return Err(Status::conflict(&GroupResource::new(GROUP, "TokenRequest"), name, text));
        }
        if let Some(spec) = request.object_at("spec")
            && spec.at("audiences").is_empty()
        {
            spec.set("audiences", self.audiences.to_vec());
        }
        if let Some(metadata) = request.object_at("metadata") {
            metadata.set("name", name);
            metadata.set("namespace", namespace);
            metadata.set("uid", uid);
            metadata.set("creationTimestamp", Time::from_unix(now, 0).to_string());
        }
        request.remove("status");
        Ok(())
    }
}

fn check_metadata(request: &Value, namespace: &str, name: &str) -> Result<(), Status> {
    let metadata = request.at("metadata");
    for (key, wanted, what) in [
        ("name", name, "must match the service account name if specified"),
        ("namespace", namespace, "must match the service account namespace if specified"),
    ] {
        let given = metadata.at(key).str();
        if !given.is_empty() && given != wanted {
            let path = Path::new("metadata");
            let errors = vec![Error::invalid(&path.child(key), given, what)];
            return Err(Status::invalid(&GroupKind::new(GROUP, "TokenRequest"), name, &errors));
        }
    }
    Ok(())
}

/// The errors of a TokenRequest's spec.
pub fn validate(request: &Value) -> ErrorList {
    let seconds = request.path(&["spec", "expirationSeconds"]).int();
    let spec = Path::new("spec");
    let path = spec.child("expirationSeconds");
    let mut errors = ErrorList::new();
    if seconds < EXPIRATION_SECONDS_MIN {
        errors.push(Error::invalid(&path, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > EXPIRATION_SECONDS_MAX {
        errors.push(Error::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    errors
}

/// Binds the claims to the object of `spec.boundObjectRef`.
fn bind(claims: &mut ServiceAccountToken, reference: &Value, lookup: &dyn Lookup) -> Result<(), Status> {
    if reference.is_null() {
        return Ok(());
    }
    let text = |key: &str| reference.at(key).str();
    let (api_version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let (resource, namespace) = match (group, kind) {
        ("", "Pod") => ("pods", claims.namespace.clone()),
        ("", "Secret") => ("secrets", claims.namespace.clone()),
        ("", "Node") => ("nodes", Str::default()),
        _ => {
            let version = api_version.rsplit('/').next().unwrap_or_default();
            let text = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Status::bad_request(text));
        }
    };
    if name.is_empty() {
        return Err(Status::bad_request("Name parameter required."));
    }
    let object = lookup
        .get(resource, &namespace, name)
        .ok_or_else(|| Status::not_found(&GroupResource::new("", resource), name))?;
    let uid: Str = object.path(&["metadata", "uid"]).str().into();
    let bound = Some(Reference { name: name.into(), uid: uid.clone() });
    match kind {
        "Pod" => {
            if object.path(&["spec", "serviceAccountName"]).str() != claims.account.name {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
                    Quoted(&claims.account.name)
                )));
            }
            let node: Str = object.path(&["spec", "nodeName"]).str().into();
            claims.node = (!node.is_empty()).then(|| {
                let live = lookup.get("nodes", "", &node);
                let uid = live.map(|n| n.path(&["metadata", "uid"]).str().into()).unwrap_or_default();
                Reference { name: node, uid }
            });
            claims.pod = bound;
        }
        "Secret" => claims.secret = bound,
        _ => claims.node = bound,
    }
    let asked = text("uid");
    if !asked.is_empty() && uid != asked {
        let text = format!(
            "the UID in the bound object reference ({asked}) does not match the UID in record. \
             The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(&GroupResource::new(group, kind), name, text));
    }
    Ok(())
}

impl ServiceAccountToken {
    /// The payload, as upstream's library writes it: keys sorted, empty ones left out.
    pub fn to_payload(&self) -> Vec<u8> {
        let reference = |r: &Reference| {
            let mut out = Value::object();
            for (key, text) in [("name", &r.name), ("uid", &r.uid)] {
                if !text.is_empty() {
                    out.set(key, text.clone());
                }
            }
            out
        };
        let mut own = Value::object();
        own.set("namespace", self.namespace.clone());
        own.set("serviceaccount", reference(&self.account));
        for (key, bound) in [("pod", &self.pod), ("secret", &self.secret), ("node", &self.node)] {
            if let Some(bound) = bound {
                own.set(key, reference(bound));
            }
        }
        if let Some(at) = self.warn_after {
            own.set("warnafter", at);
        }
        let mut claims = Value::object();
        claims.set("aud", self.audiences.clone());
        for (key, at) in [("exp", self.expires_at), ("iat", self.issued_at), ("nbf", self.not_before)] {
            if let Some(at) = at {
                claims.set(key, at);
            }
        }
        claims.set("iss", self.issuer.clone());
        claims.set("jti", self.id.clone());
        claims.set("kubernetes.io", own);
        claims.set("sub", self.subject.clone());
        value::json::to_vec(&claims)
    }
}

/// `status` of a TokenReview with this `spec`.
///
/// # Errors
/// 400 without a token.
pub fn review(
    authenticator: &Authenticator,
    spec: &Value,
    lookup: &dyn Lookup,
    now: i64,
) -> Result<Value, Status> {
    let token = spec.at("token").str();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let asked: Vec<&str> = spec.at("audiences").items().iter().map(Value::str).collect();
    let mut status = Value::object();
    match authenticator.authenticate_token(token, &asked, lookup, now) {
        Ok(Some(response)) => {
            status.set("authenticated", true);
            status.set("user", response.user.to_value());
            if !response.audiences.is_empty() {
                status.set("audiences", response.audiences);
            }
        }
        Ok(None) => refuse(&mut status, "invalid bearer token"),
        // What the server's own token is compared by comes first, and says so.
        Err(error) => refuse(&mut status, &format!("[invalid bearer token, {error}]")),
    }
    Ok(status)
}

fn refuse(status: &mut Value, text: &str) {
    status.set("user", UserInfo::default().to_value());
    status.set("error", text);
}

#[cfg(test)]
mod tests;
