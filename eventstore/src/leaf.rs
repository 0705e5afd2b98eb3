//! The hash that stands for an event in proofs.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What the leaf hash covers: every column of an event but `position` (and the hash).
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'a> {
    /// The ledger.
    pub ledger: &'a str,
    /// Position within it.
    pub ledger_position: i64,
    /// The stream's type.
    pub aggregate_type: &'a str,
    /// The stream's id.
    pub aggregate_id: &'a str,
    /// The event's place in the stream, from 1.
    pub sequence: i64,
    /// The event's name.
    pub event_type: &'a str,
    /// The version of its shape.
    pub event_version: &'a str,
    /// The event's id.
    pub event_id: Uuid,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub recorded_at_us: i64,
    /// The stored bytes.
    pub payload: &'a str,
    /// The stored bytes.
    pub metadata: &'a str,
}

/// SHA-256 of the byte 0x00 (as in RFC 6962, leaves differ from nodes) and the encoding of the event, which is,
/// in this order and with nothing between:
///
/// | bytes | what |
/// |---|---|
/// | 1 | 0x01, the version of this encoding |
/// | 4 + n | `ledger` |
/// | 8 | `ledger_position` |
/// | 4 + n | `aggregate_type` |
/// | 4 + n | `aggregate_id` |
/// | 8 | `sequence` |
/// | 4 + n | `event_type` |
/// | 4 + n | `event_version` |
/// | 16 | `event_id`, as in RFC 9562 |
/// | 8 | `recorded_at` in microseconds since the Unix epoch |
/// | 4 + n | `payload`, the stored bytes |
/// | 4 + n | `metadata`, the stored bytes |
///
/// Texts are UTF-8, their length in bytes before them as an unsigned 32-bit integer; the 8-byte numbers are signed,
/// in two's complement. All integers are big-endian.
pub fn leaf_hash(leaf: &Leaf<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([0x00, 0x01]);
    text(&mut hash, leaf.ledger);
    hash.update(leaf.ledger_position.to_be_bytes());
    text(&mut hash, leaf.aggregate_type);
    text(&mut hash, leaf.aggregate_id);
    hash.update(leaf.sequence.to_be_bytes());
    text(&mut hash, leaf.event_type);
    text(&mut hash, leaf.event_version);
    hash.update(leaf.event_id.as_bytes());
    hash.update(leaf.recorded_at_us.to_be_bytes());
    text(&mut hash, leaf.payload);
    text(&mut hash, leaf.metadata);
    hash.finalize().into()
}

fn text(hash: &mut Sha256, it: &str) {
    let length = u32::try_from(it.len()).expect("PostgreSQL holds no text of 4 GiB");
    hash.update(length.to_be_bytes());
    hash.update(it);
}
