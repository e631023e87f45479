//! The cache against a model: lists at any remembered revision, and followers without gaps.

use super::*;
use bytes::Bytes;
use std::task::{Context, Waker};

fn entry(key: &str, revision: u64) -> Arc<Entry> {
    let fields = vec![(Str::from("spec.nodeName"), Str::from(format!("n{}", revision % 3)))];
    let labels = vec![(Str::from("odd"), Str::from(if revision % 2 == 1 { "yes" } else { "no" }))];
    let head = Head { labels: labels.into(), fields: fields.into(), unconverted: false };
    Arc::new(Entry::new(key.into(), revision, Bytes::from_static(b"{}"), head))
}

fn cache() -> Cache {
    Cache::new(Arc::default(), Some("spec.nodeName".into()), 0, [])
}

fn keys(page: &Page) -> Vec<String> {
    page.entries.iter().map(|e| format!("{}@{}", e.key, e.revision)).collect()
}

/// A small generator, so that a failure is a seed.
fn dice(seed: &mut u64, n: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % n
}

#[test]
fn lists_at_old_revisions_equal_what_was() {
    for seed in 0..20 {
        let mut seed = seed;
        let cache = cache();
        let mut states = vec![Vec::new()];
        for revision in 1..200 {
            let key = format!("ns{}/o{}", dice(&mut seed, 3), dice(&mut seed, 5));
            if dice(&mut seed, 3) == 0 && cache.get(&key).is_some() {
                cache.apply(Change::Delete { key: key.into(), revision });
            } else {
                cache.apply(Change::Put(entry(&key, revision)));
            }
            states.push(keys(&cache.list(Query::default())));
        }
        for (revision, state) in states.iter().enumerate() {
            let all = cache.list_at(revision as u64, Query::default()).expect("remembered");
            assert_eq!(&keys(&all), state, "at {revision}");
            let mut paged = Vec::new();
            let mut after: Option<String> = None;
            loop {
                let query = Query { limit: 2, after: after.as_deref(), ..Query::default() };
                let page = cache.list_at(revision as u64, query).expect("remembered");
                paged.extend(keys(&page));
                assert_eq!(page.remaining, Some((state.len() - paged.len()) as u64));
                if !page.more {
                    break;
                }
                after = page.entries.last().map(|e| e.key.to_string());
            }
            assert_eq!(&paged, state, "in pages at {revision}");
            let one = cache
                .list_at(revision as u64, Query { namespace: "ns1", ..Query::default() })
                .expect("remembered");
            let want: Vec<String> = state.iter().filter(|k| k.starts_with("ns1/")).cloned().collect();
            assert_eq!(keys(&one), want);
            let named = Selection { name: "o1".into(), ..Selection::default() };
            for (namespace, prefix) in [("ns1", "ns1/o1@"), ("", "/o1@")] {
                let query = Query { namespace, selection: Some(&named), ..Query::default() };
                let page = cache.list_at(revision as u64, query).expect("remembered");
                let want: Vec<String> = state.iter().filter(|k| k.contains(prefix)).cloned().collect();
                assert_eq!(keys(&page), want);
            }
        }
    }
}

#[test]
fn there_is_more_though_none_of_it_may_be_selected() {
    let cache = cache();
    // odd: a, c; on n0: c; on n1: a, d; on n2: b.
    ["a", "b", "c", "d"].iter().zip(1..).for_each(|(key, at)| cache.apply(Change::Put(entry(key, at))));
    let labels = |text: &str| Selection {
        labels: Some(meta::labels::Selector::parse(text).expect("a selector")),
        ..Selection::default()
    };
    let node = |name: &str| Selection {
        fields: Some(meta::fields::Selector::parse(&format!("spec.nodeName={name}")).expect("a selector")),
        ..Selection::default()
    };
    // The keys, whether there is more in the list of now, and in one of a revision, which knows no index.
    for (selection, limit, want, more, more_at) in [
        (labels("odd=yes"), 2, "a c", true, true),
        (labels("odd=yes"), 3, "a c", false, false),
        (labels("odd=no"), 2, "b d", false, false),
        (labels("odd=maybe"), 1, "", false, false),
        (Selection::default(), 4, "a b c d", false, false),
        (Selection::default(), 3, "a b c", true, true),
        (node("n1"), 1, "a", true, true),
        (node("n2"), 1, "b", false, true),
    ] {
        let query = Query { selection: Some(&selection), limit, ..Query::default() };
        let now = cache.list(query);
        let then = cache.list_at(4, query).expect("remembered");
        for (page, more) in [(now, more), (then, more_at)] {
            let keys: Vec<&str> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
            assert_eq!((&*keys.join(" "), page.more), (want, more), "{selection:?} {limit}");
        }
    }
}

#[test]
fn a_name_without_namespace_is_found() {
    let cache = cache();
    ["a", "ab", "b"].iter().zip(1..).for_each(|(key, at)| cache.apply(Change::Put(entry(key, at))));
    let named = Selection { name: "a".into(), ..Selection::default() };
    let query = Query { selection: Some(&named), ..Query::default() };
    assert_eq!(keys(&cache.list(query)), ["a@1"]);
    assert_eq!(keys(&cache.list(Query { after: Some("a"), ..query })), [""; 0]);
    assert_eq!(keys(&cache.list(Query { after: Some("b"), ..query })), [""; 0]);
}

#[test]
fn a_compacted_revision_is_refused_to_lists_only() {
    let cache = cache();
    for revision in 1..=5 {
        cache.apply(Change::Put(entry("a/b", revision)));
    }
    cache.published.compact(4);
    cache.published.compact(2);
    assert_eq!(cache.list_at(3, Query::default()).expect_err("compacted"), TooOld { oldest: 4 });
    assert!(cache.list_at(4, Query::default()).is_ok());
}

#[test]
fn a_forgotten_revision_is_refused() {
    let cache = cache();
    for revision in 1..=HISTORY_EVENTS_MAX as u64 + 10 {
        cache.apply(Change::Put(entry("a/b", revision)));
    }
    assert_eq!(cache.list_at(9, Query::default()).expect_err("forgotten"), TooOld { oldest: 10 });
    assert!(cache.list_at(10, Query::default()).is_ok());
    assert!(cache.watch(Selection::default(), Scope::All, Some(9)).is_err());
}

fn drain(watcher: &Watcher) -> (Vec<String>, Option<End>) {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut items, mut out) = (Vec::new(), Vec::new());
    loop {
        items.clear();
        match watcher.poll(&mut cx, usize::MAX, false, &mut items) {
            Poll::Ready(None) => out.extend(
                items
                    .iter()
                    .map(|i| (i.kind.as_str(), i.event().shown(i.kind)))
                    .map(|(kind, e)| format!("{kind} {}@{}", e.key, e.revision)),
            ),
            Poll::Ready(end) => return (out, end),
            Poll::Pending => return (out, None),
        }
    }
}

use std::task::Poll;

#[test]
fn a_selection_turns_changes_into_comings_and_goings() {
    let cache = cache();
    let odd = Selection {
        labels: Some(meta::labels::Selector::parse("odd=yes").expect("a selector")),
        ..Selection::default()
    };
    let watcher = cache.watch(odd, Scope::All, None).expect("from now");
    for revision in [1, 3, 4, 6] {
        cache.apply(Change::Put(entry("a/b", revision)));
    }
    cache.apply(Change::Put(entry("a/b", 7)));
    cache.apply(Change::Delete { key: "a/b".into(), revision: 8 });
    let want = ["ADDED a/b@1", "MODIFIED a/b@3", "DELETED a/b@4", "ADDED a/b@7", "DELETED a/b@8"];
    assert_eq!(drain(&watcher).0, want);
}

#[test]
fn a_trigger_field_reaches_old_and_new_followers() {
    let cache = cache();
    let on = |node: &str| {
        let fields = meta::fields::Selector::parse(&format!("spec.nodeName={node}")).expect("a selector");
        let selection = Selection { fields: Some(fields), ..Selection::default() };
        let scope = cache.scope(true, &selection);
        assert_eq!(scope, Scope::Field(node.into()));
        cache.watch(selection, scope, None).expect("from now")
    };
    let (zero, one, two) = (on("n0"), on("n1"), on("n2"));
    cache.apply(Change::Put(entry("a/b", 3)));
    cache.apply(Change::Put(entry("a/b", 4)));
    assert_eq!(drain(&zero).0, ["ADDED a/b@3", "DELETED a/b@4"]);
    assert_eq!(drain(&one).0, ["ADDED a/b@4"]);
    assert_eq!(drain(&two).0, [""; 0]);
}

#[test]
fn a_follower_that_does_not_read_is_ended_once_the_history_has_forgotten() {
    let cache = cache();
    let watcher = cache.watch(Selection::default(), Scope::All, None).expect("from now");
    cache.apply(Change::Put(entry("a/b", 1)));
    cache.apply(Change::Put(entry("a/b", 2)));
    assert_eq!(drain(&watcher), (vec!["ADDED a/b@1".into(), "MODIFIED a/b@2".into()], None));
    let last = 2 + HISTORY_EVENTS_MAX as u64;
    for revision in 3..=last {
        cache.apply(Change::Put(entry("a/b", revision)));
    }
    let (seen, end) = drain(&watcher);
    assert_eq!((seen.len(), end, cache.cut()), (HISTORY_EVENTS_MAX, None, 0));
    for revision in last + 1..=last + 1 + HISTORY_EVENTS_MAX as u64 {
        cache.apply(Change::Put(entry("a/b", revision)));
    }
    assert_eq!(cache.cut(), 1);
    // No gap: it ends after what it was given before.
    assert_eq!(drain(&watcher), (vec![], Some(End::TooSlow)));
}

/// Followers that begin anywhere, select anything and read whenever they like are given what happened: all of
/// it, in its order, once.
#[test]
fn followers_miss_nothing_and_see_nothing_twice() {
    for seed in 0..40 {
        let mut seed = seed;
        let (cache, mut happened) = (cache(), Vec::new());
        let mut followers = Vec::new();
        for revision in 1..3_000_u64 {
            let key = format!("ns{}/o{}", dice(&mut seed, 3), dice(&mut seed, 5));
            cache.apply(Change::Put(entry(&key, revision)));
            happened.push((key, revision));
            if dice(&mut seed, 200) == 0 {
                let namespace = ["", "ns0", "ns1"][dice(&mut seed, 3) as usize];
                let selection = Selection { namespace: namespace.into(), ..Selection::default() };
                let scope = cache.scope(true, &selection);
                let after = dice(&mut seed, revision + 3);
                let watcher = match dice(&mut seed, 3) {
                    0 => cache.watch(selection, scope, None).map(|w| (w, revision)),
                    _ => cache.watch(selection, scope, Some(after)).map(|w| (w, after)),
                };
                let (watcher, after) = watcher.expect("nothing is forgotten");
                followers.push((watcher, namespace, after, Vec::new()));
            }
            for (watcher, _, _, seen) in &mut followers {
                if dice(&mut seed, 150) == 0 {
                    let (mut cx, mut items) = (Context::from_waker(Waker::noop()), Vec::new());
                    let _ = watcher.poll(&mut cx, 40, false, &mut items);
                    seen.extend(items.iter().map(|item| item.event().revision));
                }
            }
        }
        for (watcher, namespace, after, mut seen) in followers {
            let rest = drain(&watcher).0;
            seen.extend(rest.iter().map(|e| e.rsplit('@').next().unwrap().parse::<u64>().unwrap()));
            let concerns = |(key, revision): &&(String, u64)| key.starts_with(namespace) && *revision > after;
            let want: Vec<u64> = happened.iter().filter(concerns).map(|(_, revision)| *revision).collect();
            assert_eq!(seen, want, "{namespace} after {after}");
        }
    }
}

#[test]
fn a_follower_that_reads_beside_the_writer_misses_nothing() {
    const LAST: u64 = HISTORY_EVENTS_MAX as u64;
    let cache = cache();
    let watchers: Vec<_> =
        (0..3).map(|_| cache.watch(Selection::default(), Scope::All, None).expect("from now")).collect();
    std::thread::scope(|threads| {
        for watcher in &watchers {
            threads.spawn(|| {
                let (mut cx, mut items, mut seen) = (Context::from_waker(Waker::noop()), Vec::new(), 0);
                while seen < LAST {
                    let _ = watcher.poll(&mut cx, usize::MAX, false, &mut items);
                    for item in items.drain(..) {
                        seen += 1;
                        assert_eq!(item.event().revision, seen);
                    }
                }
            });
        }
        (1..=LAST).for_each(|revision| cache.apply(Change::Put(entry("a/b", revision))));
    });
    assert_eq!(cache.cut(), 0);
}

#[test]
fn a_follower_does_not_lag_behind_the_history() {
    let cache = cache();
    let namespace = |name: &str| Selection { namespace: name.into(), ..Selection::default() };
    let lagging = cache.watch(namespace("a"), Scope::Namespace("a".into()), None).expect("from now");
    let idle = cache.watch(namespace("b"), Scope::Namespace("b".into()), None).expect("from now");
    cache.apply(Change::Put(entry("a/b", 1)));
    // Nothing of this concerns them, and twice the history's length is enough for all to be looked at.
    for revision in 2..20_003 {
        cache.apply(Change::Put(entry("c/d", revision)));
    }
    assert_eq!(cache.cut(), 1);
    assert_eq!(drain(&lagging), (vec![], Some(End::TooSlow)));
    assert_eq!(drain(&idle), (vec![], None));
}

#[test]
fn large_events_come_alone() {
    let cache = cache();
    let watcher = cache.watch(Selection::default(), Scope::All, None).expect("from now");
    for (revision, bytes) in [(1, 10), (2, 10), (3, 500), (4, 10)] {
        let stored = bytes::Bytes::from(vec![b'x'; bytes]);
        cache.apply(Change::Put(Arc::new(Entry::new("a/b".into(), revision, stored, Head::default()))));
    }
    large_events_are_taken_alone(&watcher);
    // The same of the history.
    large_events_are_taken_alone(
        &cache.watch(Selection::default(), Scope::All, Some(0)).expect("remembered"),
    );
}

fn large_events_are_taken_alone(watcher: &Watcher) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut taken = |room, before| {
        let mut items = Vec::new();
        assert_eq!(watcher.poll(&mut cx, room, before, &mut items), Poll::Ready(None));
        items.iter().map(|item| item.event().revision).collect::<Vec<_>>()
    };
    assert_eq!(taken(100, false), [1, 2]);
    assert_eq!(taken(80, true), [0; 0]);
    assert_eq!(taken(100, false), [3]);
    assert_eq!(taken(100, false), [4]);
}
