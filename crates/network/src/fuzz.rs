//! Entry points for fuzzing: any bytes, no panic, and the promises that are asserted.

use crate::cidr::{Cidr, Family};
use crate::cni::fuzz as cni;
use crate::netlink::{Buffer, Message, attributes, each_message, error_of, text};
use crate::{link, nft, proxy};

/// What the kernel sends over netlink: all that is read of it lies within it.
pub fn netlink(data: &[u8]) {
    let mut length = 0;
    each_message(data, |kind, _, _, body| {
        length += body.len();
        let _ = error_of(body);
        let message = Message { kind, body: body.to_vec() };
        link::fuzz_message(&message);
        for at in [4, 8, 12, 16] {
            let rest = body.get(at..).unwrap_or_default();
            assert!(attributes(rest).map(|(_, value)| value.len()).sum::<usize>() <= rest.len());
            proxy::fuzz_flow(rest);
            for (_, value) in attributes(rest) {
                nft::fuzz_element(value);
                assert!(text(value).len() <= 3 * value.len());
            }
        }
    });
    assert!(length <= data.len());
    written(data);
}

/// What is written is read back.
fn written(data: &[u8]) {
    let pieces: Vec<&[u8]> = data.chunks(7).take(50).collect();
    let mut buffer = Buffer::default();
    buffer.message(3, 5, 7, &[0; 4], |buffer| {
        for piece in &pieces {
            buffer.put(1, piece);
        }
    });
    let mut count = 0;
    each_message(buffer.bytes(), |kind, flags, sequence, body| {
        assert_eq!((kind, flags, sequence), (3, 5, 7));
        let rest = body.get(4..).unwrap_or_default();
        assert!(attributes(rest).map(|(_, value)| value).eq(pieces.iter().copied()));
        count += 1;
    });
    assert_eq!(count, 1);
}

/// What a runtime asks of the CNI plugin: a line of words (`CNI_COMMAND` and its kin), then the network
/// configuration; and the same bytes as what the plugin tells the agent, and as a file of the agent's.
pub fn plugin(data: &[u8]) {
    cni::request(data);
    cni::record(data);
}

/// A range of addresses: it has what lies in it, and reads back.
pub fn range(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(range) = text.parse::<Cidr>() else { return };
    assert_eq!(range.to_string().parse(), Ok(range));
    assert!(range.contains(range.address()) && range.contains(range.last()) && range.covers(range));
    assert_eq!((range.nth(0), range.nth(range.span())), (Some(range.address()), Some(range.last())));
    assert_eq!(range.offset(range.last()), Some(range.span()));
    assert_eq!(Family::of(range.last()), range.family());
    if let Some(beyond) = range.span().checked_add(1) {
        assert_eq!(range.nth(beyond), None);
    }
}
