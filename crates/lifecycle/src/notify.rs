//! systemd's notification protocol (sd_notify(3)), both ends: children tell the supervisor, the supervisor
//! tells systemd. containerd speaks it too. So nobody polls to learn that something is ready.

use anyhow::{Context, Result};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Arc;

/// The environment variable that names the socket; only the binary reads the environment.
pub const VARIABLE: &str = "NOTIFY_SOCKET";
/// Longer messages are cut; the protocol's are short lines.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Tells the service manager above this process how it fares. Without a socket nothing is told.
#[derive(Clone, Debug, Default)]
pub struct Notifier(Option<Arc<(UnixDatagram, SocketAddr)>>);

impl Notifier {
    /// For the value of [`VARIABLE`]: a path, or an abstract name after `@`.
    pub fn new(socket: Option<&str>) -> Result<Self> {
        let Some(name) = socket.filter(|name| !name.is_empty()) else { return Ok(Self(None)) };
        let open = || -> std::io::Result<_> {
            let address = match name.strip_prefix('@') {
                Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name)?,
                None => SocketAddr::from_pathname(name)?,
            };
            Ok((UnixDatagram::unbound()?, address))
        };
        let socket = open().with_context(|| format!("cannot use the notification socket {name}"))?;
        Ok(Self(Some(Arc::new(socket))))
    }

    /// Whether there is a service manager.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// The process does what it is for.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The process ends as asked.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// One line for people: what it is doing or waiting for.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", text.replace('\n', " ")));
    }

    fn send(&self, message: &str) {
        // Nobody listening is no reason to fail: the manager may be restarting.
        let Some((socket, address)) = self.0.as_deref() else { return };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::debug!(%error, message, "nobody heard the notification");
        }
    }
}

/// What a child said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// It is ready.
    Ready,
    /// A line for people.
    Status(String),
}

/// The supervisor's end: one socket per child, so that nobody speaks for another.
#[derive(Debug)]
pub(crate) struct Listener(pub(crate) UnixDatagram);

impl Listener {
    /// Listens on `path`, replacing the socket of an earlier run.
    pub(crate) fn bind(path: &Path) -> Result<Self> {
        let bind = || {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let socket = UnixDatagram::bind(path)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        bind().map(Self).with_context(|| format!("cannot listen on {}", path.display()))
    }

    /// All that was said since the last call.
    pub(crate) fn receive(&self) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        while let Ok(length) = self.0.recv(&mut buffer) {
            messages.extend(parse(&String::from_utf8_lossy(&buffer[..length])));
        }
        messages
    }
}

fn parse(text: &str) -> impl Iterator<Item = Message> {
    text.lines().filter_map(|line| match line.split_once('=')? {
        ("READY", "1") => Some(Message::Ready),
        ("STATUS", status) => Some(Message::Status(status.to_owned())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let listener = Listener::bind(&path).unwrap();
        let notifier = Notifier::new(path.to_str()).unwrap();
        notifier.status("waiting\nfor Godot");
        notifier.ready();
        notifier.stopping();
        assert_eq!(listener.receive(), [Message::Status("waiting for Godot".into()), Message::Ready]);
        let again = Listener::bind(&path).unwrap();
        notifier.ready();
        assert_eq!((listener.receive(), again.receive()), (vec![], vec![Message::Ready]));
    }

    #[test]
    fn without_a_listener_nothing_is_said() {
        Notifier::new(None).unwrap().ready();
        Notifier::new(Some("/nonexistent/socket")).unwrap().ready();
        assert!(Notifier::new(Some(&"x".repeat(200))).is_err());
    }
}
