//! Follows one resource: a streaming list (KEP-3157), then the watch that it goes over into, begun again
//! where it broke off.

use crate::Error;
use crate::lister::Lister;
use crate::options::ListOptions;
use crate::scope::Scope;
use crate::typed::Client;
use crate::watch::Event;
use api::meta::v1::ObjectMeta;
use api::{Key, Object};
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::time::Duration;
use tracing::Level;

/// How long the server may keep one watch, in seconds; asked for at random below twice this, as client-go.
const WATCH_SECONDS: u64 = 300;
/// The waits after failures: client-go's reflector's.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// What marks the end of what was there when a watch began.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What is followed.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) options: ListOptions,
    pub(crate) accept: &'static str,
}

/// Runs until the lister is stopped, or the scope has ended.
async fn follow<K: Object>(client: Client, source: Source, lister: Lister<K>, scope: Scope) {
    let mut stop = lister.shared().stop.subscribe();
    let run = run(&client, &source, &lister);
    tokio::select! {
        () = run => {}
        _ = stop.wait_for(|stop| *stop) => {}
        () = scope.ended() => {}
    }
}

async fn run<K: Object>(client: &Client, source: &Source, lister: &Lister<K>) {
    let mut state = State { version: None, seen: BTreeSet::new(), lister };
    let mut wait = BACKOFF_FIRST;
    let mut is_told = false;
    loop {
        let before = state.version.clone();
        let result = state.watch(client, source).await;
        // Any progress means that the server is well.
        if state.version != before {
            wait = BACKOFF_FIRST;
        }
        match result {
            Ok(()) if state.version.is_some() => continue,
            Ok(()) => {}
            Err(error) if error.is_gone() => {
                tracing::debug!(path = source.path, %error, "the watch begins anew");
                state.version = None;
            }
            Err(error) => {
                match severity(&error, lister.has_synced(), is_told) {
                    Level::WARN => {
                        tracing::warn!(path = source.path, %error, "the watch failed; trying again")
                    }
                    Level::INFO => {
                        tracing::info!(path = source.path, "the resource is not served; waiting for it")
                    }
                    _ => tracing::debug!(path = source.path, %error, "the resource is not served"),
                }
                is_told |= error.is_not_found();
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACKOFF_MAX);
    }
}

/// How loudly the failure of a watch is told. That a resource is not served is nobody's fault: one that was served before
/// is a removed custom resource, whose watch somebody ends soon; of another it is told once that it is waited for.
fn severity(error: &Error, was_served: bool, is_told: bool) -> Level {
    match error.is_not_found() {
        false => Level::WARN,
        true if was_served || is_told => Level::DEBUG,
        true => Level::INFO,
    }
}

struct State<'a, K> {
    /// From where the watch goes on; none if all has to be listed.
    version: Option<String>,
    /// What the list under way has brought.
    seen: BTreeSet<Key>,
    lister: &'a Lister<K>,
}

impl<K: Object> State<'_, K> {
    async fn watch(&mut self, client: &Client, source: &Source) -> Result<(), Error> {
        let seconds = (WATCH_SECONDS + fraction(&source.path) % WATCH_SECONDS).to_string();
        let mut query =
            vec![("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", &*seconds)];
        let version = self.version.clone();
        match &version {
            Some(version) => query.push(("resourceVersion", version)),
            None => {
                self.seen.clear();
                query.push(("sendInitialEvents", "true"));
                query.push(("resourceVersionMatch", "NotOlderThan"));
            }
        }
        let path = format!("{}?{}", source.path, source.options.query(&query));
        let mut events = client.watch_accept::<K>(&path, source.accept).await?;
        while let Some(event) = events.next().await {
            self.take(event?)?;
            self.lister.reached(self.version.as_deref());
        }
        Ok(())
    }

    fn take(&mut self, event: Event<K>) -> Result<(), Error> {
        let object = match event {
            Event::Error(status) => return Err(Error::Status(status)),
            Event::Bookmark(object) => {
                let metadata = object.meta();
                if ends_initial_events(metadata) {
                    self.finish_list();
                }
                // A bookmark on the way through a list is no place to go on from.
                if self.version.is_some() || ends_initial_events(metadata) {
                    self.version.clone_from(&metadata.resource_version);
                }
                return Ok(());
            }
            Event::Deleted(object) => {
                let key = object.key();
                self.advance(object.meta());
                self.seen.remove(&key);
                self.lister.remove(&key);
                return Ok(());
            }
            Event::Added(object) | Event::Modified(object) => object,
        };
        self.advance(object.meta());
        let key = object.key();
        if self.version.is_none() {
            self.seen.insert(key.clone());
            // A list that was begun again brings much that is known.
            let known = self.lister.get_key(&key);
            if known.is_some_and(|known| known.resource_version() == object.resource_version()) {
                return Ok(());
            }
        }
        let mut object = object;
        object.meta_mut().managed_fields = None;
        self.lister.put(object);
        Ok(())
    }

    fn advance(&mut self, metadata: &ObjectMeta) {
        if self.version.is_some() {
            self.version.clone_from(&metadata.resource_version);
        }
    }

    /// What the cache has and the list did not bring is gone.
    fn finish_list(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        for object in self.lister.list() {
            let key = object.key();
            if !seen.contains(&key) {
                self.lister.remove(&key);
            }
        }
        self.lister.set_synced();
    }
}

fn ends_initial_events(metadata: &ObjectMeta) -> bool {
    metadata.annotations.as_ref().is_some_and(|all| all.get(INITIAL_EVENTS_END).is_some_and(|v| v == "true"))
}

/// Spreads the ends of watches over time: a number of the path, so that a run can be repeated.
fn fraction(path: &str) -> u64 {
    path.bytes().fold(17, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(byte.into()))
}

/// A cache, and the task that fills it.
pub(crate) fn start<K: Object>(client: Client, source: Source, scope: Scope) -> Lister<K> {
    let lister = Lister::new().within(scope.clone());
    tokio::spawn(follow(client, source, lister.clone(), scope));
    lister
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::failure;
    use api::core::v1::ConfigMap;
    use http::{HeaderMap, Method, StatusCode};
    use std::collections::BTreeMap;

    fn map(name: &str, version: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.name = Some(name.into());
        map.metadata.resource_version = Some(version.into());
        map
    }

    fn end(version: &str) -> Event<ConfigMap> {
        let mut bookmark = map("", version);
        bookmark.metadata.annotations = Some(BTreeMap::from([(INITIAL_EVENTS_END.into(), "true".into())]));
        Event::Bookmark(bookmark)
    }

    #[test]
    fn a_removed_resource_is_no_fault() {
        let failed = |code, text: &str| failure(&Method::GET, code, &HeaderMap::new(), text.as_bytes());
        let missing = failed(StatusCode::NOT_FOUND, "404 page not found");
        let down = Error::Transport("connection refused".into());
        let refused = failed(StatusCode::FORBIDDEN, "no");
        let cases = [
            (&missing, true, false, Level::DEBUG),
            (&missing, true, true, Level::DEBUG),
            (&missing, false, false, Level::INFO),
            (&missing, false, true, Level::DEBUG),
            (&down, true, true, Level::WARN),
            (&refused, false, true, Level::WARN),
        ];
        for (error, was_served, is_told, wanted) in cases {
            assert_eq!(severity(error, was_served, is_told), wanted, "{error} {was_served} {is_told}");
        }
    }

    #[test]
    fn a_second_list_takes_out_what_is_gone() {
        let lister = Lister::new();
        let mut state = State { version: None, seen: BTreeSet::new(), lister: &lister };
        let names = |lister: &Lister<ConfigMap>| -> Vec<_> {
            lister.list().iter().map(|m| format!("{}@{}", m.name(), m.resource_version())).collect()
        };
        for event in [Event::Added(map("a", "1")), Event::Added(map("b", "2")), end("5")] {
            state.take(event).expect("an event");
        }
        assert!(lister.has_synced());
        assert_eq!(state.version.as_deref(), Some("5"));
        state.take(Event::Modified(map("b", "6"))).expect("an event");
        assert_eq!(state.version.as_deref(), Some("6"));
        // The watch expired; another list.
        state.version = None;
        for event in [Event::Added(map("b", "6")), Event::Added(map("c", "9"))] {
            state.take(event).expect("an event");
        }
        assert_eq!(names(&lister), ["a@1", "b@6", "c@9"]);
        state.take(end("10")).expect("an event");
        assert_eq!(names(&lister), ["b@6", "c@9"]);
        let gone = api::meta::v1::Status { code: Some(410), ..Default::default() };
        assert!(state.take(Event::Error(Box::new(gone))).expect_err("an end").is_gone());
    }
}
