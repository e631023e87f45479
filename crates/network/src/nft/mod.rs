//! nf_tables by netlink: an encoder of what Corten's tables are made of, atomic transactions, and enough
//! decoding to see what a table holds. Numbers as in the kernel's `linux/netfilter/nf_tables.h`.
//!
//! It knows nothing of Services: `proxy` says what the tables mean.

mod batch;
mod dump;
mod expression;

pub(crate) use batch::{BaseChain, Batch, ChainKind, Data, Element, Hook, Refused, SetDefinition};
pub(crate) use dump::{Tables, fuzz_element};
pub(crate) use expression::{Expression, Register};

use crate::cidr::Family;

/// `NFNL_SUBSYS_NFTABLES` in the upper byte of each message's type.
const SUBSYSTEM: u16 = 10 << 8;

const MESSAGE_NEW_TABLE: u16 = SUBSYSTEM;
const MESSAGE_DELETE_TABLE: u16 = SUBSYSTEM | 2;
const MESSAGE_NEW_CHAIN: u16 = SUBSYSTEM | 3;
const MESSAGE_GET_CHAIN: u16 = SUBSYSTEM | 4;
const MESSAGE_NEW_RULE: u16 = SUBSYSTEM | 6;
const MESSAGE_NEW_SET: u16 = SUBSYSTEM | 9;
const MESSAGE_NEW_ELEMENT: u16 = SUBSYSTEM | 12;
const MESSAGE_GET_ELEMENT: u16 = SUBSYSTEM | 13;
const MESSAGE_DELETE_ELEMENT: u16 = SUBSYSTEM | 14;

const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS_LIST: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_KEY_END: u16 = 10;
const LIST_ELEMENT: u16 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const VERDICT_DROP: i32 = 0;
const VERDICT_JUMP: i32 = -3;
const VERDICT_GOTO: i32 = -4;

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
fn protocol_family(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

/// `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}
