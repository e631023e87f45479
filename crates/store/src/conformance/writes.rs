//! Transactions.

use bytes::Bytes;

use super::Case;
use crate::{Error, Expect, Outcome, Range, TXN_BYTES_MAX, TXN_OPS_MAX, Txn};

pub(super) async fn revisions_count_changes(case: &Case) {
    let start = case.store.revision().await.unwrap();
    let created = case.commit(Txn::create(case.key("a"), "1")).await;
    assert_eq!(created, start + 1);
    let updated = case.commit(Txn::update(case.key("a"), created, "2")).await;
    assert_eq!(updated, start + 2);
    let kv = case.range(Range::key(case.key("a"))).await.kvs.remove(0);
    assert_eq!((kv.create_revision(), kv.mod_revision(), &**kv.value()), (created, updated, &b"2"[..]));

    let deleted = case.commit(Txn::delete(case.key("a"), Expect::Revision(updated))).await;
    assert_eq!(deleted, start + 3);
    let nothing = case.commit(Txn::delete(case.key("a"), Expect::Any)).await;
    assert_eq!(nothing, deleted, "deleting what is absent takes no revision");
    let again = case.commit(Txn::create(case.key("a"), "3")).await;
    assert_eq!(again, start + 4);
    let kv = case.range(Range::key(case.key("a"))).await.kvs.remove(0);
    assert_eq!(kv.create_revision(), again, "a key made anew is new");
    assert_eq!(case.store.revision().await.unwrap(), again);
    assert!(case.store.observed_revision() >= again);
}

pub(super) async fn conflicts_tell_the_current_key(case: &Case) {
    let revision = case.put("a", "1").await;
    let tries = [
        Txn::create(case.key("a"), "2"),
        Txn::update(case.key("a"), revision - 1, "2"),
        Txn::update(case.key("a"), revision + 1, "2"),
        Txn::delete(case.key("a"), Expect::Absent),
        Txn::delete(case.key("a"), Expect::Revision(revision + 1)),
    ];
    for txn in tries {
        let Outcome::Conflict { revision: at, current } = case.store.txn(txn.clone()).await.unwrap() else {
            panic!("{txn:?} went through");
        };
        assert!(at >= revision);
        let kv = current[0].as_ref().unwrap();
        assert_eq!((kv.mod_revision(), &**kv.value()), (revision, &b"1"[..]));
    }
    let absent = case.store.txn(Txn::update(case.key("b"), revision, "2")).await.unwrap();
    assert!(matches!(absent, Outcome::Conflict { current, .. } if current == [None]));
    assert_eq!(case.store.revision().await.unwrap(), revision, "a conflict takes no revision");
}

pub(super) async fn several_keys_are_one_change(case: &Case) {
    let a = case.put("a", "1").await;
    let check =
        |expect| Txn::new(crate::Op { key: case.key("c").into(), expect, action: crate::Action::Check });
    let all = case
        .commit(
            Txn::update(case.key("a"), a, "2")
                .and(Txn::create(case.key("b"), "2"))
                .and(check(Expect::Absent)),
        )
        .await;
    let kvs = case.range(Range::new(case.all())).await.kvs;
    assert_eq!(kvs.iter().map(|kv| kv.mod_revision()).collect::<Vec<_>>(), [all, all]);

    let txn = Txn::update(case.key("a"), all, "3").and(Txn::create(case.key("b"), "3"));
    let Outcome::Conflict { current, .. } = case.store.txn(txn).await.unwrap() else {
        panic!("went through")
    };
    assert_eq!(current.iter().flatten().count(), 2, "all keys are told, not the failed one only");
    assert_eq!(case.value("a").await.unwrap(), "2", "nothing of it was done");
    let txn = Txn::put(case.key("a"), "3").and(check(Expect::Revision(all)));
    assert_eq!(case.store.txn(txn).await.unwrap().committed(), None);

    let both = Txn::delete(case.key("a"), Expect::Revision(all)).and(Txn::delete(case.key("b"), Expect::Any));
    assert_eq!(case.commit(both).await, all + 1);
    assert!(case.range(Range::new(case.all())).await.kvs.is_empty());
}

pub(super) async fn nonsense_is_refused(case: &Case) {
    let twice = Txn::put(case.key("a"), "1").and(Txn::delete(case.key("a"), Expect::Any));
    let many = (0..TXN_OPS_MAX)
        .fold(Txn::put(case.key("x"), ""), |txn, i| txn.and(Txn::put(case.key(&i.to_string()), "")));
    for txn in [Txn::put("", "1"), twice, many] {
        let error = case.store.txn(txn).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
    let most = (1..TXN_OPS_MAX)
        .fold(Txn::put(case.key("x"), ""), |txn, i| txn.and(Txn::put(case.key(&i.to_string()), "")));
    case.commit(most).await;
    assert_eq!(case.range(Range::new(case.all())).await.kvs.len(), TXN_OPS_MAX);
}

pub(super) async fn limits_hold(case: &Case) {
    let before = case.store.revision().await.unwrap();
    let error = case.store.txn(Txn::put(case.key("a"), vec![7; TXN_BYTES_MAX])).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert_eq!(case.store.revision().await.unwrap(), before);
    // Etcd counts its envelope too: leave it some room.
    let large = Bytes::from(vec![7; TXN_BYTES_MAX - 1024]);
    case.commit(Txn::put(case.key("a"), large.clone())).await;
    assert_eq!(case.value("a").await.unwrap(), large);
}

pub(super) async fn bytes_are_kept(case: &Case) {
    let every: Vec<u8> = (0..=u8::MAX).collect();
    let key = [case.prefix.as_bytes(), &every].concat();
    case.commit(Txn::put(key.clone(), every.clone())).await;
    case.commit(Txn::put(case.key("empty"), "")).await;
    let kv = case.range(Range::key(key.clone())).await.kvs.remove(0);
    assert_eq!((&**kv.key(), &**kv.value()), (&key[..], &every[..]));
    assert_eq!(case.value("empty").await.unwrap(), "");
}
