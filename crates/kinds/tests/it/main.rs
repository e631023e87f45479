//! Replays recorded requests to a real server against the hooks, without a server.

mod core;
mod golden;
mod hostile;
mod selectors;
mod stand_ins;
mod updates;
mod upstream;
