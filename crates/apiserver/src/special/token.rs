//! `serviceaccounts/token`: tokens for pods and people.
//!
//! Upstream: `pkg/registry/core/serviceaccount/storage/token.go`.

use crate::admission::{Attributes, Operation};
use crate::body::RequestBody;
use crate::call::Call;
use crate::codec::Codec;
use crate::door::read_body;
use crate::negotiate::Allows;
use crate::render::{once_reply, typed_reply};
use crate::reply::Reply;
use crate::resource::Target;
use crate::verbs::get;
use crate::write::{OptionsKind, WriteOptions};
use meta::status::Status;

const TOKEN_REQUEST: &str = "k8s.io/api/authentication/v1.TokenRequest";

/// Answers `POST` of a TokenRequest.
pub(super) async fn create(call: &Call, target: &Target, body: RequestBody) -> Result<Reply, Status> {
    let accepted = call.negotiate_as(Allows::Metadata)?;
    let options = WriteOptions::read(call, OptionsKind::Create)?;
    let body = read_body(call, body).await?;
    let version = "authentication.k8s.io/v1";
    let mut request =
        super::decode_action(call, &[version], "TokenRequest", TOKEN_REQUEST, &body, options.validation)?;
    kinds::reviews::default_token_request(&mut request);
    let (namespace, name) = (call.info.namespace.as_str(), call.info.name.as_str());
    let given = request.at("metadata").at("namespace").str();
    if !given.is_empty() && given != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let (codec, row) = Codec::of_action(version, "TokenRequest", TOKEN_REQUEST);
    crate::managed::of_action(call, &codec, &row, "token", &mut request, &options);
    let mut attributes = Attributes::new(call, target, Operation::Create, name, options.dry_run);
    call.api.admission.admit(call, &mut attributes, &mut request, None).await?;
    call.api.admission.validate(call, &attributes, Some(&request), None).await?;
    get::check_key(&target.served.row, namespace, name)?;
    let api = &call.api;
    let audiences = api.access.authenticator.audiences();
    let issuer = auth::tokens::Issuer {
        keys: &api.access.keys,
        name: &api.config.issuer,
        audiences: &audiences,
        max_expiration_seconds: api.settings.token_expiration_max_seconds,
        extend_expiration: api.settings.extends_token_expiration,
    };
    let now = api.now().unix_seconds();
    // The account and what the token is bound to may have been made just now, and the cache not know yet.
    call.fresh(None).await?;
    let issued = issuer.issue(namespace, name, request, &**api, now, &mut |_| Ok(()))?;
    for warning in issued.warnings {
        call.warn(warning);
    }
    let whole = || typed_reply(201, accepted, TOKEN_REQUEST, &issued.object);
    once_reply(201, accepted, &issued.object, "authentication.TokenRequest", whole)
}
