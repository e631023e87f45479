//! Ranges.

use super::Case;
use crate::{Error, Expect, KeyRange, Range, Txn};

pub(super) async fn prefixes_are_exact(case: &Case) {
    let names: [&[u8]; 8] = [b"a", b"a\x00", b"a/", b"a/b", b"a/b/c", b"a0", b"a\xff", b"b"];
    for name in names {
        case.commit(Txn::put([case.prefix.as_bytes(), name].concat(), "")).await;
    }
    let expected: [(&str, usize); 6] = [("", 8), ("a", 7), ("a/", 3), ("a/b", 2), ("a/b/", 1), ("c", 0)];
    for (prefix, count) in expected {
        let result = case.range(Range::prefix(case.key(prefix)).counted()).await;
        assert_eq!(result.kvs.len(), count, "{prefix}");
        assert_eq!(result.count, Some(count as u64), "{prefix}");
        assert!(result.kvs.is_sorted_by_key(|kv| kv.key().clone()), "{prefix}");
        assert!(!result.more);
    }
    let one = case.range(Range::key(case.key("a"))).await;
    assert_eq!(one.kvs.len(), 1);
    let span = KeyRange::between(case.key("a/"), Some(case.key("a0").into()));
    assert_eq!(case.range(Range::new(span)).await.kvs.len(), 3);
    let backwards = KeyRange::between(case.key("b"), Some(case.key("a").into()));
    assert_eq!(case.range(Range::new(backwards).counted()).await.count, Some(0));
    let rest = KeyRange::between(case.key("b"), None);
    assert!(case.range(Range::new(rest)).await.kvs[0].key().ends_with(b"b"));
}

pub(super) async fn pages_show_one_revision(case: &Case) {
    for i in 0..25 {
        case.put(&format!("{i:02}"), "old").await;
    }
    let mut page = case.range(Range::new(case.all()).limit(10).counted()).await;
    let revision = page.revision;
    let mut seen = Vec::new();
    loop {
        assert_eq!((page.count, page.revision), (Some(25 - seen.len() as u64), revision));
        seen.extend(page.kvs.iter().cloned());
        if !page.more {
            break;
        }
        // Writers go on between the pages; it must not show.
        case.put(&format!("{:02}", seen.len() + 2), "new").await;
        case.put(&format!("{:02}x", seen.len() + 2), "new").await;
        case.commit(Txn::delete(case.key(&format!("{:02}", seen.len() + 3)), Expect::Any)).await;
        let next = case.all().after(seen.last().unwrap().key());
        page = case.range(Range::new(next).limit(10).at(revision).counted()).await;
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.iter().all(|kv| kv.value() == "old"));
    let exact = case.range(Range::new(case.all()).limit(25).at(revision)).await;
    assert!(!exact.more, "a limit that is just enough leaves nothing out");
}

pub(super) async fn old_revisions_stay_readable(case: &Case) {
    let before = case.store.revision().await.unwrap();
    let first = case.put("a", "1").await;
    let second = case.put("a", "2").await;
    let gone = case.commit(Txn::delete(case.key("a"), Expect::Any)).await;
    let again = case.put("a", "3").await;
    let expected =
        [(before, None), (first, Some("1")), (second, Some("2")), (gone, None), (again, Some("3"))];
    for (revision, value) in expected {
        let result = case.range(Range::key(case.key("a")).at(revision)).await;
        assert_eq!(result.kvs.first().map(|kv| &**kv.value()), value.map(str::as_bytes), "{revision}");
        assert_eq!(result.revision, revision);
    }
}

pub(super) async fn wrong_revisions_are_told(case: &Case) {
    let current = case.put("a", "1").await;
    let error = case.store.range(Range::new(case.all()).at(current + 1000)).await.unwrap_err();
    assert!(matches!(error, Error::FutureRevision { .. }), "{error:?}");
    let error = case.store.compact(current + 1000).await.unwrap_err();
    assert!(matches!(error, Error::FutureRevision { .. }), "{error:?}");
}
