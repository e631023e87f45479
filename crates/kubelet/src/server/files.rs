//! `/logs`: the files of the machine's own logs.
//!
//! Upstream: `http.FileServer` over `/var/log`.

use super::Server;
use super::respond::{self, Answer};
use std::path::{Component, Path};

/// The largest file that is sent; logs of machines are rotated long before.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Answers a request for a file or a folder.
pub(super) async fn answer(server: &Server, path: &str) -> Answer {
    let Some(root) = server.kubelet.server.system_logs.clone() else {
        return respond::text(405, "logs endpoint is disabled.");
    };
    let below = path.trim_start_matches("/logs").trim_start_matches('/').to_owned();
    let is_plain = Path::new(&below).components().all(|c| matches!(c, Component::Normal(_)));
    if !is_plain {
        return respond::text(400, "invalid URL path");
    }
    let read = tokio::task::spawn_blocking(move || read(&root, &below)).await;
    read.unwrap_or_else(|_| respond::text(500, "reading the file failed"))
}

fn read(root: &Path, below: &str) -> Answer {
    // Links may lead within the folder only.
    let (Ok(root), Ok(path)) = (root.canonicalize(), root.join(below).canonicalize()) else {
        return respond::not_found();
    };
    let Some(metadata) = path.metadata().ok().filter(|_| path.starts_with(&root)) else {
        return respond::not_found();
    };
    if metadata.is_dir() {
        let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|e| {
                let slash = if e.path().is_dir() { "/" } else { "" };
                format!("{}{slash}", e.file_name().to_string_lossy())
            })
            .collect();
        names.sort();
        let line = |name: &String| {
            let name =
                name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
            format!("<a href=\"{name}\">{name}</a>\n")
        };
        let page: String = names.iter().map(line).collect();
        return respond::bytes(
            200,
            "text/html; charset=utf-8",
            format!("<!doctype html>\n<pre>\n{page}</pre>\n"),
        );
    }
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return respond::text(403, "403 Forbidden\n");
    }
    match std::fs::read(&path) {
        Ok(bytes) => respond::bytes(200, "text/plain; charset=utf-8", bytes),
        Err(error) => respond::text(500, error.to_string()),
    }
}
