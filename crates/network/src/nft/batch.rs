//! A transaction: all of it becomes true at once for the next packet, or nothing.

use super::expression::Expression;
use super::{
    CHAIN_NAME, CHAIN_TABLE, DATA_VALUE, DATA_VERDICT, ELEMENT_DATA, ELEMENT_KEY, ELEMENT_KEY_END,
    ELEMENTS_LIST, ELEMENTS_SET, ELEMENTS_TABLE, LIST_ELEMENT, MESSAGE_DELETE_ELEMENT, MESSAGE_DELETE_TABLE,
    MESSAGE_NEW_CHAIN, MESSAGE_NEW_ELEMENT, MESSAGE_NEW_RULE, MESSAGE_NEW_SET, MESSAGE_NEW_TABLE, SUBSYSTEM,
    TABLE_NAME, VERDICT_CHAIN, VERDICT_CODE, VERDICT_DROP, VERDICT_GOTO, VERDICT_JUMP, header,
    protocol_family,
};
use crate::cidr::Family;
use crate::netlink::{Buffer, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, Socket};
use std::io;

const NLM_F_APPEND: u16 = 0x800;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const POLICY_ACCEPT: u32 = 1;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LENGTH: u16 = 7;
const SET_DESCRIPTION: u16 = 9;
const SET_ID: u16 = 10;
const SET_DESCRIPTION_SIZE: u16 = 1;
const SET_DESCRIPTION_CONCAT: u16 = 2;
const SET_FIELD_LENGTH: u16 = 1;
const SET_INTERVAL: u32 = 0x4;
const SET_MAP: u32 = 0x8;
const SET_TIMEOUT: u32 = 0x10;
const SET_EVAL: u32 = 0x20;
const SET_CONCAT: u32 = 0x80;
const DATA_TYPE_VERDICT: u32 = 0xffff_ff00;

/// Elements are sent in messages of at most this: an attribute's length has 16 bits.
const ELEMENTS_BYTES_MAX: usize = 32 << 10;

/// A hook of netfilter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// What a base chain may do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChainKind {
    Filter,
    Nat,
}

/// A chain that the kernel calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BaseChain {
    pub(crate) name: &'static str,
    pub(crate) kind: ChainKind,
    pub(crate) hook: Hook,
    pub(crate) priority: i32,
}

/// A set or map.
#[derive(Clone, Debug)]
pub(crate) struct SetDefinition {
    pub(crate) name: &'static str,
    /// The key's parts: the number of the type by which `nft` shows it, and its bytes.
    pub(crate) key: Vec<(u32, u8)>,
    /// A map's data: parts as in the key, or verdicts if there are none.
    pub(crate) data: Option<Vec<(u32, u8)>>,
    /// Elements are ranges.
    pub(crate) interval: bool,
    /// Rules add elements, which expire; at most as many as this.
    pub(crate) dynamic: Option<u32>,
}

/// What an element or a rule holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Value(Vec<u8>),
    Goto(String),
    Jump(String),
    Drop,
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) key: Vec<u8>,
    /// The last key of a range.
    pub(crate) end: Option<Vec<u8>>,
    pub(crate) data: Option<Data>,
}

/// A transaction that the kernel did not take.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}: {source}")]
pub(crate) struct Refused {
    /// The step that failed.
    pub(crate) step: String,
    pub(crate) source: io::Error,
}

/// A transaction in the making. A failing step is named by its description.
pub(crate) struct Batch {
    buffer: Buffer,
    first: u32,
    steps: Vec<String>,
    sets: u32,
}

impl Batch {
    pub(crate) fn new() -> Self {
        let mut batch = Self { buffer: Buffer::default(), first: 1, steps: Vec::new(), sets: 0 };
        batch.buffer.message(BATCH_BEGIN, NLM_F_REQUEST, 0, &header(0, SUBSYSTEM >> 8), |_| {});
        batch
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What it does, in words.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> &[String] {
        &self.steps
    }

    /// Adds a table; it may be there already.
    pub(crate) fn add_table(&mut self, family: Family, table: &str) {
        self.step(MESSAGE_NEW_TABLE, NLM_F_CREATE, family, format!("add table {table}"), |buffer| {
            buffer.put_text(TABLE_NAME, table);
        });
    }

    /// Deletes a table with all that is in it.
    pub(crate) fn delete_table(&mut self, family: Family, table: &str) {
        self.step(MESSAGE_DELETE_TABLE, 0, family, format!("delete table {table}"), |buffer| {
            buffer.put_text(TABLE_NAME, table);
        });
    }

    /// Adds a chain; it may be there already.
    pub(crate) fn add_chain(&mut self, family: Family, table: &str, name: &str) {
        self.step(MESSAGE_NEW_CHAIN, NLM_F_CREATE, family, format!("add chain {name}"), |buffer| {
            buffer.put_text(CHAIN_TABLE, table);
            buffer.put_text(CHAIN_NAME, name);
        });
    }

    /// Adds a chain that the kernel calls.
    pub(crate) fn add_base_chain(&mut self, family: Family, table: &str, chain: BaseChain) {
        let step = format!("add chain {}", chain.name);
        self.step(MESSAGE_NEW_CHAIN, NLM_F_CREATE, family, step, |buffer| {
            buffer.put_text(CHAIN_TABLE, table);
            buffer.put_text(CHAIN_NAME, chain.name);
            buffer.nest(CHAIN_HOOK, |buffer| {
                buffer.put_be32(HOOK_NUMBER, chain.hook as u32);
                buffer.put(HOOK_PRIORITY, &chain.priority.to_be_bytes());
            });
            buffer.put_be32(CHAIN_POLICY, POLICY_ACCEPT);
            let kind = match chain.kind {
                ChainKind::Filter => "filter",
                ChainKind::Nat => "nat",
            };
            buffer.put_text(CHAIN_TYPE, kind);
        });
    }

    /// Appends a rule to a chain.
    pub(crate) fn add_rule(&mut self, family: Family, table: &str, chain: &str, rule: &[Expression]) {
        let step = format!("add a rule to {chain}");
        self.step(MESSAGE_NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, family, step, |buffer| {
            buffer.put_text(RULE_TABLE, table);
            buffer.put_text(RULE_CHAIN, chain);
            buffer.nest(RULE_EXPRESSIONS, |buffer| {
                for expression in rule {
                    expression.encode(buffer);
                }
            });
        });
    }

    /// Adds a set or map.
    pub(crate) fn add_set(&mut self, family: Family, table: &str, set: &SetDefinition) {
        self.sets += 1;
        let id = self.sets;
        let step = format!("add set {}", set.name);
        self.step(MESSAGE_NEW_SET, NLM_F_CREATE, family, step, |buffer| {
            buffer.put_text(SET_TABLE, table);
            buffer.put_text(SET_NAME, set.name);
            let concatenated = set.interval && set.key.len() > 1;
            let flags = [
                (set.data.is_some(), SET_MAP),
                (set.interval, SET_INTERVAL),
                (concatenated, SET_CONCAT),
                (set.dynamic.is_some(), SET_TIMEOUT | SET_EVAL),
            ];
            let flags = flags.iter().filter(|(on, _)| *on).fold(0, |all, (_, flag)| all | flag);
            buffer.put_be32(SET_FLAGS, flags);
            buffer.put_be32(SET_KEY_TYPE, type_of(&set.key));
            buffer.put_be32(SET_KEY_LENGTH, length_of(&set.key));
            match set.data.as_deref() {
                None => {}
                Some([]) => buffer.put_be32(SET_DATA_TYPE, DATA_TYPE_VERDICT),
                Some(parts) => {
                    buffer.put_be32(SET_DATA_TYPE, type_of(parts));
                    buffer.put_be32(SET_DATA_LENGTH, length_of(parts));
                }
            }
            if set.dynamic.is_some() || concatenated {
                buffer.nest(SET_DESCRIPTION, |buffer| {
                    if let Some(size) = set.dynamic {
                        buffer.put_be32(SET_DESCRIPTION_SIZE, size);
                    }
                    if concatenated {
                        buffer.nest(SET_DESCRIPTION_CONCAT, |buffer| {
                            for (_, bytes) in &set.key {
                                buffer.nest(LIST_ELEMENT, |buffer| {
                                    buffer.put_be32(SET_FIELD_LENGTH, u32::from(*bytes));
                                });
                            }
                        });
                    }
                });
            }
            buffer.put_be32(SET_ID, id);
        });
    }

    /// Adds elements that are not there.
    pub(crate) fn add_elements(&mut self, family: Family, table: &str, set: &str, elements: &[Element]) {
        self.elements(MESSAGE_NEW_ELEMENT, NLM_F_CREATE | NLM_F_EXCL, family, table, set, elements);
    }

    /// Deletes elements that are there.
    pub(crate) fn delete_elements(&mut self, family: Family, table: &str, set: &str, elements: &[Element]) {
        self.elements(MESSAGE_DELETE_ELEMENT, 0, family, table, set, elements);
    }

    fn elements(
        &mut self,
        kind: u16,
        flags: u16,
        family: Family,
        table: &str,
        set: &str,
        elements: &[Element],
    ) {
        let verb = if kind == MESSAGE_NEW_ELEMENT { "add" } else { "delete" };
        let mut rest = elements;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|element| {
                bytes += bytes_of(element);
                bytes <= ELEMENTS_BYTES_MAX
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            rest = later;
            let step = format!("{verb} {} elements of {set}", now.len());
            self.step(kind, flags, family, step, |buffer| {
                buffer.put_text(ELEMENTS_TABLE, table);
                buffer.put_text(ELEMENTS_SET, set);
                buffer.nest(ELEMENTS_LIST, |buffer| {
                    for element in now {
                        put_element(buffer, element, kind == MESSAGE_NEW_ELEMENT);
                    }
                });
            });
        }
    }

    fn step(
        &mut self,
        kind: u16,
        flags: u16,
        family: Family,
        description: String,
        body: impl FnOnce(&mut Buffer),
    ) {
        let sequence = self.first + self.steps.len() as u32;
        self.steps.push(description);
        // Each is acknowledged: the last answer says that the kernel went through all of them.
        let flags = flags | NLM_F_REQUEST | NLM_F_ACK;
        self.buffer.message(kind, flags, sequence, &header(protocol_family(family), 0), body);
    }

    /// The messages, complete.
    fn finish(mut self) -> (Buffer, u32, Vec<String>) {
        let last = self.first + (self.steps.len() as u32).saturating_sub(1);
        self.buffer.message(BATCH_END, NLM_F_REQUEST, 0, &header(0, SUBSYSTEM >> 8), |_| {});
        (self.buffer, last, self.steps)
    }

    /// Makes it true.
    pub(crate) fn commit(self, socket: &mut Socket) -> Result<(), Refused> {
        if self.is_empty() {
            return Ok(());
        }
        let first = self.first;
        let (buffer, last, steps) = self.finish();
        socket.batch(buffer.bytes(), last).map_err(|(sequence, source)| {
            let step = sequence
                .and_then(|sequence| steps.get(sequence.checked_sub(first)? as usize))
                .map_or_else(|| format!("send {} bytes of rules", buffer.len()), Clone::clone);
            Refused { step, source }
        })
    }
}

/// The types of the parts, six bits each, as `nft` understands them; only for its eyes. More than five do not
/// fit, and `nft` crashes when it shows such a set.
fn type_of(parts: &[(u32, u8)]) -> u32 {
    debug_assert!(parts.len() <= 5, "nft cannot show a key of {} parts", parts.len());
    parts.iter().fold(0, |all, (kind, _)| (all << 6) | kind)
}

/// In registers each part begins a word.
fn length_of(parts: &[(u32, u8)]) -> u32 {
    match parts {
        [(_, bytes)] => u32::from(*bytes),
        parts => parts.iter().map(|(_, bytes)| u32::from(*bytes).next_multiple_of(4)).sum(),
    }
}

fn bytes_of(element: &Element) -> usize {
    let data = match &element.data {
        Some(Data::Value(value)) => value.len(),
        Some(Data::Goto(chain) | Data::Jump(chain)) => chain.len() + 16,
        Some(Data::Drop) | None => 16,
    };
    32 + element.key.len() + element.end.as_ref().map_or(0, |end| end.len() + 8) + data
}

fn put_element(buffer: &mut Buffer, element: &Element, with_data: bool) {
    buffer.nest(LIST_ELEMENT, |buffer| {
        buffer.nest(ELEMENT_KEY, |buffer| buffer.put(DATA_VALUE, &element.key));
        if let Some(end) = &element.end {
            buffer.nest(ELEMENT_KEY_END, |buffer| buffer.put(DATA_VALUE, end));
        }
        if let Some(data) = element.data.as_ref().filter(|_| with_data) {
            put_data(buffer, ELEMENT_DATA, data);
        }
    });
}

pub(super) fn put_data(buffer: &mut Buffer, attribute: u16, data: &Data) {
    let mut verdict = |code: i32, chain: Option<&str>| {
        buffer.nest(attribute, |buffer| {
            buffer.nest(DATA_VERDICT, |buffer| {
                buffer.put(VERDICT_CODE, &code.to_be_bytes());
                if let Some(chain) = chain {
                    buffer.put_text(VERDICT_CHAIN, chain);
                }
            });
        });
    };
    match data {
        Data::Goto(chain) => verdict(VERDICT_GOTO, Some(chain)),
        Data::Jump(chain) => verdict(VERDICT_JUMP, Some(chain)),
        Data::Drop => verdict(VERDICT_DROP, None),
        Data::Value(value) => buffer.nest(attribute, |buffer| buffer.put(DATA_VALUE, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::Register;
    use expect_test::{Expect, expect};

    /// The bytes as `nft --debug=mnl` would print them: a line for each four.
    fn check(batch: Batch, expected: Expect) {
        let (buffer, _, _) = batch.finish();
        let lines = buffer.bytes().chunks(4).map(|word| {
            let hex: Vec<String> = word.iter().map(|byte| format!("{byte:02x}")).collect();
            let text: String = word
                .iter()
                .map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' })
                .collect();
            format!("{} {text}\n", hex.join(" "))
        });
        expected.assert_eq(&lines.collect::<String>());
    }

    #[test]
    fn an_element() {
        let mut batch = Batch::new();
        let element = Element {
            key: vec![10, 96, 0, 1, 6, 0, 0, 0, 1, 187, 0, 0],
            end: None,
            data: Some(Data::Goto("n1".into())),
        };
        batch.add_elements(Family::V4, "c", "services", std::slice::from_ref(&element));
        batch.delete_elements(Family::V4, "c", "services", &[element]);
        check(
            batch,
            expect![[r#"
            14 00 00 00 ....
            10 00 01 00 ....
            00 00 00 00 ....
            00 00 00 00 ....
            00 00 00 0a ....
            60 00 00 00 `...
            0c 0a 05 06 ....
            01 00 00 00 ....
            00 00 00 00 ....
            02 00 00 00 ....
            06 00 01 00 ....
            63 00 00 00 c...
            0d 00 02 00 ....
            73 65 72 76 serv
            69 63 65 73 ices
            00 00 00 00 ....
            34 00 03 80 4...
            30 00 01 80 0...
            14 00 01 80 ....
            10 00 01 00 ....
            0a 60 00 01 .`..
            06 00 00 00 ....
            01 bb 00 00 ....
            18 00 02 80 ....
            14 00 02 80 ....
            08 00 01 00 ....
            ff ff ff fc ....
            07 00 02 00 ....
            6e 31 00 00 n1..
            48 00 00 00 H...
            0e 0a 05 00 ....
            02 00 00 00 ....
            00 00 00 00 ....
            02 00 00 00 ....
            06 00 01 00 ....
            63 00 00 00 c...
            0d 00 02 00 ....
            73 65 72 76 serv
            69 63 65 73 ices
            00 00 00 00 ....
            1c 00 03 80 ....
            18 00 01 80 ....
            14 00 01 80 ....
            10 00 01 00 ....
            0a 60 00 01 .`..
            06 00 00 00 ....
            01 bb 00 00 ....
            14 00 00 00 ....
            11 00 01 00 ....
            00 00 00 00 ....
            00 00 00 00 ....
            00 00 00 0a ....
        "#]],
        );
    }

    #[test]
    fn a_rule() {
        let mut batch = Batch::new();
        let rule = [
            Expression::Destination(Family::V6, Register(0)),
            Expression::Random { to: Register(4), modulus: 3, offset: 0 },
            Expression::Reject(Family::V6),
        ];
        batch.add_rule(Family::V6, "c", "x", &rule);
        check(
            batch,
            expect![[r#"
            14 00 00 00 ....
            10 00 01 00 ....
            00 00 00 00 ....
            00 00 00 00 ....
            00 00 00 0a ....
            b4 00 00 00 ....
            06 0a 05 0c ....
            01 00 00 00 ....
            00 00 00 00 ....
            0a 00 00 00 ....
            06 00 01 00 ....
            63 00 00 00 c...
            06 00 02 00 ....
            78 00 00 00 x...
            90 00 04 80 ....
            34 00 01 80 4...
            0c 00 01 00 ....
            70 61 79 6c payl
            6f 61 64 00 oad.
            24 00 02 80 $...
            08 00 01 00 ....
            00 00 00 08 ....
            08 00 02 00 ....
            00 00 00 01 ....
            08 00 03 00 ....
            00 00 00 18 ....
            08 00 04 00 ....
            00 00 00 10 ....
            34 00 01 80 4...
            0b 00 01 00 ....
            6e 75 6d 67 numg
            65 6e 00 00 en..
            24 00 02 80 $...
            08 00 01 00 ....
            00 00 00 0c ....
            08 00 02 00 ....
            00 00 00 03 ....
            08 00 03 00 ....
            00 00 00 01 ....
            08 00 04 00 ....
            00 00 00 00 ....
            24 00 01 80 $...
            0b 00 01 00 ....
            72 65 6a 65 reje
            63 74 00 00 ct..
            14 00 02 80 ....
            08 00 01 00 ....
            00 00 00 00 ....
            05 00 02 00 ....
            04 00 00 00 ....
            14 00 00 00 ....
            11 00 01 00 ....
            00 00 00 00 ....
            00 00 00 00 ....
            00 00 00 0a ....
        "#]],
        );
    }

    #[test]
    fn many_elements_are_several_messages() {
        let mut batch = Batch::new();
        let elements: Vec<Element> = (0..5000_u32)
            .map(|number| Element { key: number.to_be_bytes().to_vec(), end: None, data: None })
            .collect();
        batch.add_elements(Family::V4, "c", "s", &elements);
        let counts: Vec<usize> =
            batch.steps().iter().map(|step| step.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        assert!(counts.len() > 1 && counts.iter().sum::<usize>() == 5000, "{counts:?}");
    }
}
