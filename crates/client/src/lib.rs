//! Talks to an API server: over HTTPS, or through the door in the same process.
