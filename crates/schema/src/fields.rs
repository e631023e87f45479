//! Fields of structs while they are decoded: all open structs share one stack.

use crate::types::{Struct, Types};
use crate::zero::zero_field;
use value::{Map, Str, Value};

/// A stack of fields, each by its rank among the field names of its struct.
#[derive(Debug)]
pub(crate) struct Fields {
    stack: Vec<(u16, Value)>,
}

/// The fields of one struct that is being decoded: where they begin on the stack, and which are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    start: usize,
    have: u128,
}

const fn bit(rank: u16) -> u128 {
    1_u128.wrapping_shl(rank as u32)
}

impl Fields {
    pub(crate) fn new() -> Self {
        Self { stack: Vec::with_capacity(64) }
    }

    /// Begins a struct with the fields of an object, if there is one.
    pub(crate) fn open(&mut self, s: &Struct, object: Option<Value>) -> Open {
        let mut open = Open { start: self.stack.len(), have: 0 };
        if let Some(Value::Object(map)) = object {
            for (key, value) in map {
                if let Some(i) = s.index_of(key.as_bytes()) {
                    self.push(&mut open, s.rank[i], value);
                }
            }
        }
        open
    }

    /// Adds a field that is not there.
    pub(crate) fn push(&mut self, open: &mut Open, rank: u16, value: Value) {
        open.have |= bit(rank);
        self.stack.push((rank, value));
    }

    /// Takes a field out, if it is there.
    pub(crate) fn take(&mut self, open: &mut Open, rank: u16) -> Option<Value> {
        if open.have & bit(rank) == 0 {
            return None;
        }
        open.have &= !bit(rank);
        let own = self.stack.get(open.start..)?;
        let at = own.iter().rposition(|(r, _)| *r == rank)?;
        Some(self.stack.swap_remove(open.start + at).1)
    }

    /// Ends a struct: the object of its fields, completed by those that are always there.
    pub(crate) fn close(&mut self, types: &Types, s: &Struct, open: Open) -> Value {
        if s.always_mask & !open.have != 0 {
            for rank in s.always.iter().filter(|rank| open.have & bit(**rank) == 0) {
                let field = &s.fields[usize::from(s.sorted[usize::from(*rank)])];
                self.stack.push((*rank, zero_field(types, field)));
            }
        }
        if let Some(own) = self.stack.get_mut(open.start..)
            && !own.is_sorted_by_key(|(rank, _)| *rank)
        {
            own.sort_unstable_by_key(|(rank, _)| *rank);
        }
        let entries = self.stack.drain(open.start..).map(|(rank, value)| {
            let field = &s.fields[usize::from(s.sorted[usize::from(rank)])];
            (Str::new_static(field.json), value)
        });
        Value::Object(Map::from_sorted(entries.collect()))
    }
}
