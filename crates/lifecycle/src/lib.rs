//! Brings a machine's Corten up and down: supervisor, container runtime, installation.
