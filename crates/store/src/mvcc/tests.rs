//! Random histories against a model that keeps every revision whole.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::{Expect, Key, KeyRange, KeyValue, Txn};

type Model = BTreeMap<String, (Bytes, u64, u64)>;

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

fn model_of(kvs: &[Arc<KeyValue>]) -> Model {
    let entry = |kv: &Arc<KeyValue>| {
        let key = kv.key().as_str().unwrap().to_owned();
        (key, (kv.value().clone(), kv.create_revision(), kv.mod_revision()))
    };
    kvs.iter().map(entry).collect()
}

fn random_txn(dice: &mut Dice, model: &Model) -> Txn {
    let one = |dice: &mut Dice, group: u64| {
        let key = format!("/{group}/{}", dice.below(6));
        let expect = match dice.below(4) {
            0 => Expect::mod_revision(model.get(&key).map_or(0, |(_, _, revision)| *revision)),
            1 => Expect::Absent,
            _ => Expect::Any,
        };
        if dice.below(3) == 0 {
            Txn::delete(key, expect)
        } else {
            Txn::put(key, dice.below(1000).to_string()).expect(expect)
        }
    };
    let first = one(dice, 0);
    if dice.below(3) == 0 { first.and(one(dice, 1)) } else { first }
}

/// What a transaction does to the model; `None` for a conflict.
fn apply_to_model(model: &mut Model, txn: &Txn, revision: u64) -> Option<bool> {
    let current = |model: &Model, key: &Key| model.get(key.as_str().unwrap()).cloned();
    let holds = txn.ops().all(|op| match op.expect {
        Expect::Any => true,
        Expect::Absent => current(model, &op.key).is_none(),
        Expect::Revision(revision) => {
            current(model, &op.key).is_some_and(|(.., modified)| modified == revision)
        }
    });
    if !holds {
        return None;
    }
    let mut changed = false;
    for op in txn.ops() {
        let key = op.key.as_str().unwrap().to_owned();
        match &op.action {
            crate::Action::Put { value, .. } => {
                let created = model.get(&key).map_or(revision, |(_, created, _)| *created);
                model.insert(key, (value.clone(), created, revision));
                changed = true;
            }
            crate::Action::Delete => changed |= model.remove(&key).is_some(),
            crate::Action::Check => {}
        }
    }
    Some(changed)
}

fn check_reads(mvcc: &Mvcc, models: &BTreeMap<u64, Model>, dice: &mut Dice) {
    for (revision, model) in models {
        let all = mvcc.range(&Range::prefix("/").at(*revision).counted());
        if *revision < mvcc.compacted() {
            assert_eq!(all, Err(Error::Compacted { compacted: mvcc.compacted() }));
            continue;
        }
        let all = all.unwrap();
        assert_eq!(model_of(&all.kvs), *model, "at {revision}");
        assert_eq!(all.count, Some(model.len() as u64));
        let limit = 1 + dice.below(5) as usize;
        let mut pages = Vec::new();
        let mut keys = KeyRange::prefix("/");
        loop {
            let page = mvcc.range_at(&Range::new(keys).limit(limit), *revision, 2).unwrap();
            pages.extend(page.kvs);
            let Some(last) = pages.last().filter(|_| page.more) else { break };
            keys = KeyRange::prefix("/").after(last.key());
        }
        assert_eq!(pages, all.kvs, "pages of {limit} at {revision}");
    }
}

#[test]
fn every_readable_revision_shows_what_it_was() {
    for seed in 1..60 {
        let mut dice = Dice(seed * 0x9E37_79B9);
        let mvcc = Mvcc::new(Index::default(), 1, Vec::new(), HistoryLimits::default(), 0);
        let mut models = BTreeMap::from([(1, Model::new())]);
        let mut rows_on_disk = std::collections::BTreeSet::new();
        for _ in 0..150 {
            let (newest, model) = models.last_key_value().map(|(r, m)| (*r, m.clone())).unwrap();
            let txn = random_txn(&mut dice, &model);
            let mut after = model.clone();
            let expected = apply_to_model(&mut after, &txn, newest + 1);
            let mut events = Vec::new();
            let applied = mvcc.index.write().apply(&txn, newest + 1, 0, &mut events);
            match applied {
                Applied::Conflict(_) => assert_eq!(expected, None),
                Applied::Unchanged => assert_eq!(expected, Some(false)),
                Applied::Changed => {
                    assert_eq!(expected, Some(true));
                    // Before it is published nobody sees it.
                    assert_eq!(model_of(&mvcc.range(&Range::prefix("/")).unwrap().kvs), model);
                    if dice.below(5) == 0 {
                        let mut index = mvcc.index.write();
                        events.iter().rev().for_each(|event| index.undo(event));
                        drop(index);
                    } else {
                        let rows = (0..events.len()).map(|i| (newest + 1, u8::try_from(i).unwrap()));
                        rows_on_disk.extend(rows);
                        mvcc.publish(newest + 1, &mut events, 0);
                        models.insert(newest + 1, after);
                    }
                }
            }
            if dice.below(15) == 0 {
                let newest = mvcc.revision();
                let cut = mvcc.compacted() + dice.below(newest - mvcc.compacted() + 1);
                let mut rows = Vec::new();
                while !mvcc.compact_step(cut, 1 + dice.below(4) as usize, &mut rows) {}
                for row in rows {
                    assert!(rows_on_disk.remove(&(row.revision, row.position)), "{row:?} is removed twice");
                }
            }
            let (keys, bytes) = mvcc.index.read().live();
            let model = &models[&mvcc.revision()];
            let size = model.iter().map(|(key, (value, ..))| (key.len() + value.len()) as u64).sum::<u64>();
            assert_eq!((keys, bytes), (model.len() as u64, size), "seed {seed}");
        }
        check_reads(&mvcc, &models, &mut dice);
        // Once all history is gone, the disk holds the live keys and nothing else.
        let mut rows = Vec::new();
        while !mvcc.compact_step(mvcc.revision(), 7, &mut rows) {}
        for row in rows {
            assert!(rows_on_disk.remove(&(row.revision, row.position)), "{row:?} is removed twice");
        }
        let live = mvcc.range(&Range::prefix("")).unwrap().kvs;
        let live: std::collections::BTreeSet<_> =
            live.iter().map(|kv| (kv.mod_revision(), kv.position())).collect();
        assert_eq!(rows_on_disk, live, "seed {seed}");
    }
}

#[test]
fn watches_of_any_range_see_what_the_model_sees() {
    for seed in 1..40 {
        let mut dice = Dice(seed * 0x9E37_79B9);
        let mvcc = Mvcc::new(Index::default(), 1, Vec::new(), HistoryLimits::default(), 0);
        let ranges = [
            KeyRange::prefix(""),
            KeyRange::prefix("/0/"),
            KeyRange::prefix("/1/"),
            KeyRange::prefix("/0/3"),
            KeyRange::key("/0/3"),
            KeyRange::between("/0/2", Some("/1/4".into())),
        ];
        let mut watches = Vec::new();
        let mut model = Model::new();
        let mut all = Vec::new();
        for _ in 0..200 {
            if dice.below(10) == 0 {
                let keys = ranges[dice.below(ranges.len() as u64) as usize].clone();
                let from = 2 + dice.below(mvcc.revision());
                let watch = mvcc.watch(&WatchRequest { keys: keys.clone(), from, progress: false }).unwrap();
                watches.push((keys, from, watch, Vec::new()));
            }
            let next = mvcc.revision() + 1;
            let txn = random_txn(&mut dice, &model);
            let mut events = Vec::new();
            if let Applied::Changed = mvcc.index.write().apply(&txn, next, 0, &mut events) {
                apply_to_model(&mut model, &txn, next);
                all.extend(events.iter().cloned());
                mvcc.publish(next, &mut events, 0);
            }
            if let Some(at) = watches.len().checked_sub(1) {
                let at = dice.below(at as u64 + 1) as usize;
                let (_, _, watch, seen) = &mut watches[at];
                drain(watch, seen);
            }
        }
        for (keys, from, watch, seen) in &mut watches {
            drain(watch, seen);
            let wanted = all.iter().filter(|event| event.revision() >= *from && keys.contains(event.key()));
            assert_eq!(*seen, wanted.cloned().collect::<Vec<_>>(), "seed {seed}, {keys:?} from {from}");
        }
    }
}

/// Takes what is there.
fn drain(watch: &mut Watch, seen: &mut Vec<Event>) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(batch) = watch.poll_next(&mut context) {
        seen.extend(batch.unwrap().events);
    }
}
