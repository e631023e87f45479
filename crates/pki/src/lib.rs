//! The cluster's certificate authority, certificates and service-account keys.
