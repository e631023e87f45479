//! The controllers of Kubernetes: one controller is one file.
