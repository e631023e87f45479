//! The one door: the Kubernetes API over HTTP.
