//! Conversion between the versions of a custom kind.

use value::Value;

/// `spec.conversion`
#[derive(Debug)]
pub(crate) enum Converter {
    /// Only `apiVersion` changes.
    None,
    /// A webhook converts.
    Webhook,
}

impl Converter {
    /// Reads a definition's conversion.
    pub(crate) fn new(conversion: &Value) -> Self {
        if conversion.at("strategy").str() == "Webhook" { Self::Webhook } else { Self::None }
    }

    pub(crate) const fn is_webhook(&self) -> bool {
        matches!(self, Self::Webhook)
    }

    /// Converts an object to `api_version`.
    pub(crate) fn convert(&self, object: &mut Value, api_version: &str) -> Result<(), String> {
        match self {
            Self::None => {
                object.set("apiVersion", api_version);
                Ok(())
            }
            Self::Webhook => Err("conversion webhooks are not called yet".into()),
        }
    }
}
