//! The server as a whole, over a store in memory.
#![allow(clippy::unwrap_used)]

mod aggregation;
mod answers;
mod audit;
mod binding;
mod bootstrap;
mod certificates;
mod connect;
mod custom;
mod custom_answers;
mod encryption;
mod endpoints;
mod flowcontrol;
mod health;
mod http2;
mod resize;
mod selectable;
mod server;
mod services;
mod settings;
mod watch;
mod webhook;
mod webhooks;
