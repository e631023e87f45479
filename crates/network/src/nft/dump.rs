//! What the kernel holds: the chains of a table and the elements of a set.

use super::{
    CHAIN_NAME, CHAIN_TABLE, DATA_VALUE, DATA_VERDICT, Data, ELEMENT_DATA, ELEMENT_KEY, ELEMENT_KEY_END,
    ELEMENTS_LIST, ELEMENTS_SET, ELEMENTS_TABLE, Element, MESSAGE_GET_CHAIN, MESSAGE_GET_ELEMENT,
    VERDICT_CHAIN, VERDICT_CODE, VERDICT_DROP, VERDICT_GOTO, VERDICT_JUMP, header, protocol_family,
};
use crate::cidr::Family;
use crate::netlink::{Socket, attribute, attributes, is, text};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::io;

/// Reads the tables of the namespace in which its socket was opened.
pub(crate) struct Tables<'a>(pub(crate) &'a mut Socket);

impl Tables<'_> {
    /// The names of a table's chains; none if there is no such table.
    pub(crate) fn chains(&mut self, family: Family, table: &str) -> io::Result<BTreeSet<String>> {
        let messages = self.0.dump(MESSAGE_GET_CHAIN, &header(protocol_family(family), 0), |_| {})?;
        let of_table = messages.iter().filter_map(|message| {
            let attributes = message.body.get(4..)?;
            (text(attribute(attributes, CHAIN_TABLE)?) == table)
                .then(|| attribute(attributes, CHAIN_NAME).map(text))
                .flatten()
        });
        Ok(of_table.collect())
    }

    /// The elements of a set; none if there is no such set.
    pub(crate) fn elements(&mut self, family: Family, table: &str, set: &str) -> io::Result<Vec<Element>> {
        let fixed = header(protocol_family(family), 0);
        let answer = self.0.dump(MESSAGE_GET_ELEMENT, &fixed, |buffer| {
            buffer.put_text(ELEMENTS_TABLE, table);
            buffer.put_text(ELEMENTS_SET, set);
        });
        let messages = match answer {
            Err(error) if is(&error, Errno::NOENT) => return Ok(Vec::new()),
            answer => answer?,
        };
        let mut elements = Vec::new();
        for message in &messages {
            let list = message.body.get(4..).and_then(|body| attribute(body, ELEMENTS_LIST));
            elements
                .extend(attributes(list.unwrap_or_default()).filter_map(|(_, element)| element_of(element)));
        }
        Ok(elements)
    }
}

fn element_of(bytes: &[u8]) -> Option<Element> {
    let key = |kind| attribute(bytes, kind).and_then(|key| attribute(key, DATA_VALUE)).map(<[u8]>::to_vec);
    Some(Element {
        key: key(ELEMENT_KEY)?,
        end: key(ELEMENT_KEY_END),
        data: attribute(bytes, ELEMENT_DATA).and_then(data_of),
    })
}

/// For fuzzing: all that is read of an element.
pub(crate) fn fuzz_element(bytes: &[u8]) {
    let length = element_of(bytes).map_or(0, |element| element.key.len());
    assert!(length <= bytes.len());
}

fn data_of(bytes: &[u8]) -> Option<Data> {
    if let Some(value) = attribute(bytes, DATA_VALUE) {
        return Some(Data::Value(value.to_vec()));
    }
    let verdict = attribute(bytes, DATA_VERDICT)?;
    let code = attribute(verdict, VERDICT_CODE)?.get(..4)?.try_into().ok().map(i32::from_be_bytes)?;
    let chain = || attribute(verdict, VERDICT_CHAIN).map(text);
    match code {
        VERDICT_DROP => Some(Data::Drop),
        VERDICT_GOTO => chain().map(Data::Goto),
        VERDICT_JUMP => chain().map(Data::Jump),
        _ => None,
    }
}
