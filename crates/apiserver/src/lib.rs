//! The one door: the Kubernetes API over HTTP.
//!
//! Read in this order: [`listen`] (connections), [`door`] (what happens to every request), `route` (which
//! verb), `verbs` (a file per verb, for all kinds), [`cache`] (all reads), `write` and [`storage`] (all
//! writes).
//!
//! Invariants:
//! - No kind is named here outside `special` (and the admission plugins, which are about certain kinds).
//! - Nothing is answered from an object that the store has not made durable.
//! - Every request passes the door: there is no second way in.

pub mod access;
pub mod admission;
pub mod aggregation;
pub mod api;
pub mod audit;
pub mod body;
pub mod bootstrap;
pub mod cache;
pub mod call;
pub mod codec;
mod compaction;
mod content;
pub mod crd;
mod discovery;
pub mod door;
pub mod encryption;
mod endpoints;
pub mod flowcontrol;
pub mod fuzz;
mod gzip;
pub mod health;
pub mod listen;
pub mod managed;
mod media_type;
mod metrics;
pub mod negotiate;
pub mod nodes;
mod openapi;
mod path;
pub mod query;
pub mod render;
pub mod reply;
pub mod request;
pub mod resource;
mod route;
mod seldom;
pub mod settings;
pub mod special;
pub mod storage;
pub mod table;
mod trust;
mod verbs;
pub mod webhook;
pub mod write;
