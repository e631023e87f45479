//! Object identifiers of X.509 (RFC 5280), signatures (RFC 5758, 4055) and Kubernetes.

pub(crate) const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
pub(crate) const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];
pub(crate) const COUNTRY: &[u64] = &[2, 5, 4, 6];
pub(crate) const LOCALITY: &[u64] = &[2, 5, 4, 7];
pub(crate) const PROVINCE: &[u64] = &[2, 5, 4, 8];
pub(crate) const STREET: &[u64] = &[2, 5, 4, 9];
pub(crate) const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
pub(crate) const ORGANIZATIONAL_UNIT: &[u64] = &[2, 5, 4, 11];
pub(crate) const POSTAL_CODE: &[u64] = &[2, 5, 4, 17];

/// The subject attribute that carries a user's UID (feature `AllowParsingUserUIDFromCertAuth`).
pub(crate) const KUBERNETES_UID: &str = "1.3.6.1.4.1.57683.2";

pub(crate) const SUBJECT_KEY_ID: &[u64] = &[2, 5, 29, 14];
pub(crate) const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
pub(crate) const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
pub(crate) const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
pub(crate) const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
pub(crate) const EXT_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

pub(crate) const ECDSA_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];
pub(crate) const ECDSA_SHA384: &[u64] = &[1, 2, 840, 10045, 4, 3, 3];
pub(crate) const ECDSA_SHA512: &[u64] = &[1, 2, 840, 10045, 4, 3, 4];
pub(crate) const RSA_SHA256: &[u64] = &[1, 2, 840, 113_549, 1, 1, 11];
pub(crate) const RSA_SHA384: &[u64] = &[1, 2, 840, 113_549, 1, 1, 12];
pub(crate) const RSA_SHA512: &[u64] = &[1, 2, 840, 113_549, 1, 1, 13];

/// Kinds of keys, and curves.
pub(crate) const RSA: &[u64] = &[1, 2, 840, 113_549, 1, 1, 1];
pub(crate) const EC: &[u64] = &[1, 2, 840, 10045, 2, 1];
pub(crate) const ED25519: &[u64] = &[1, 3, 101, 112];
pub(crate) const P224: &[u64] = &[1, 3, 132, 0, 33];
pub(crate) const P256: &[u64] = &[1, 2, 840, 10045, 3, 1, 7];
pub(crate) const P384: &[u64] = &[1, 3, 132, 0, 34];
pub(crate) const P521: &[u64] = &[1, 3, 132, 0, 35];

/// The attribute of a request that holds the extensions it asks for (PKCS #9, RFC 2985 5.4.2).
pub(crate) const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113_549, 1, 9, 14];

/// Extended key usages, in the order in which upstream's signer writes them.
pub(crate) const ANY_USAGE: &[u64] = &[2, 5, 29, 37, 0];
pub(crate) const SERVER_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
pub(crate) const CLIENT_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
pub(crate) const CODE_SIGNING: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 3];
pub(crate) const EMAIL_PROTECTION: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 4];
pub(crate) const IPSEC_END_SYSTEM: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 5];
pub(crate) const IPSEC_TUNNEL: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 6];
pub(crate) const IPSEC_USER: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 7];
pub(crate) const TIME_STAMPING: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 8];
pub(crate) const OCSP_SIGNING: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 9];
pub(crate) const MICROSOFT_SGC: &[u64] = &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3];
pub(crate) const NETSCAPE_SGC: &[u64] = &[2, 16, 840, 1, 113_730, 4, 1];
