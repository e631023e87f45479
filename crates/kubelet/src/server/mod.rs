//! The HTTPS server on port 10250: logs, exec, attach, port-forward, metrics.

/// Settings of the server.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The port; 0 for none.
    pub port: u16,
}
