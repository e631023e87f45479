//! Trust anchors from ClusterTrustBundles.
//!
//! Upstream counterpart: `pkg/kubelet/clustertrustbundle`.

use std::collections::BTreeSet;

use api::Selector;
use api::certificates::v1beta1::ClusterTrustBundle;
use api::core::v1::ClusterTrustBundleProjection;
use client::ListOptions;

use crate::context::Context;

/// The anchors of the bundle of that name, or of all bundles of a signer that match.
pub(crate) async fn collect(
    context: &Context,
    wanted: &ClusterTrustBundleProjection,
) -> Result<String, String> {
    let is_optional = wanted.optional == Some(true);
    if let Some(name) = &wanted.name {
        return match context.client.get::<ClusterTrustBundle>("", name).await {
            Ok(bundle) => Ok(merge([bundle.spec.trust_bundle.as_str()])),
            Err(error) if is_optional && error.is_not_found() => Ok(String::new()),
            Err(error) => Err(error.to_string()),
        };
    }
    let signer = wanted.signer_name.as_deref().unwrap_or_default();
    let options = ListOptions::fields(format!("spec.signerName={signer}"));
    let bundles =
        context.client.list::<ClusterTrustBundle>("", &options).await.map_err(|error| error.to_string())?;
    // No selector selects nothing, an empty one everything.
    let selector = match &wanted.label_selector {
        Some(selector) => Some(Selector::try_from(selector).map_err(|error| error.to_string())?),
        None => None,
    };
    let chosen: Vec<_> = bundles
        .items
        .iter()
        .filter(|bundle| {
            selector.as_ref().is_some_and(|selector| selector.matches(bundle.metadata.labels.as_ref()))
        })
        .map(|bundle| bundle.spec.trust_bundle.as_str())
        .collect();
    if chosen.is_empty() && !is_optional {
        return Err("combination of signerName and labelSelector matched zero ClusterTrustBundles".into());
    }
    Ok(merge(chosen))
}

/// All certificates, each once.
fn merge<'a>(bundles: impl IntoIterator<Item = &'a str>) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks: BTreeSet<String> = bundles
        .into_iter()
        .flat_map(|text| text.split_inclusive(END))
        .filter(|block| block.ends_with(END))
        .map(|block| block.trim().to_owned())
        .collect();
    blocks.into_iter().map(|block| block + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_listed_once() {
        let block = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----");
        let (a, b) = (block("a"), block("b"));
        assert_eq!(merge([format!("{b}\n{a}\n").as_str(), a.as_str()]), format!("{a}\n{b}\n"));
    }
}
