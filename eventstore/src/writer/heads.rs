//! What the writer remembers of streams, so that hot ones are checked without asking.

use std::collections::HashMap;

type Generation = HashMap<&'static str, HashMap<String, u64>>;

/// Versions of streams lately met. A version may be behind the database (another process appended), never ahead.
///
/// Two generations instead of a list of uses: what is met again moves to the young one; when that is full, it becomes
/// the old one and the former old one is forgotten. At most twice `capacity` streams are held.
#[derive(Debug, Default)]
pub(super) struct StreamHeads {
    young: Generation,
    old: Generation,
    young_count: usize,
    capacity: usize,
}

impl StreamHeads {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    /// The version a stream has at least; none when it is not remembered.
    pub(super) fn get(&self, aggregate_type: &str, aggregate_id: &str) -> Option<u64> {
        let find = |it: &Generation| it.get(aggregate_type)?.get(aggregate_id).copied();
        find(&self.young).or_else(|| find(&self.old))
    }

    /// Remembers a version; an earlier one never replaces a later.
    pub(super) fn put(&mut self, aggregate_type: &'static str, aggregate_id: &str, version: u64) {
        let known = self.get(aggregate_type, aggregate_id).unwrap_or(0);
        let version = version.max(known);
        let streams = self.young.entry(aggregate_type).or_default();
        if let Some(head) = streams.get_mut(aggregate_id) {
            *head = version;
            return;
        }
        streams.insert(aggregate_id.to_owned(), version);
        self.young_count += 1;
        if self.young_count >= self.capacity {
            self.old = std::mem::take(&mut self.young);
            self.young_count = 0;
        }
    }

    /// Takes note of a version that somebody else wrote, where the stream is remembered.
    pub(super) fn raise(&mut self, aggregate_type: &str, aggregate_id: &str, version: u64) {
        for generation in [&mut self.young, &mut self.old] {
            let streams = generation.get_mut(aggregate_type);
            if let Some(head) = streams.and_then(|streams| streams.get_mut(aggregate_id)) {
                *head = version.max(*head);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::StreamHeads;

    #[test]
    fn what_is_met_again_outlives_what_is_not() {
        let mut heads = StreamHeads::new(2);
        heads.put("order", "a/1", 1);
        heads.put("order", "a/2", 1);
        heads.put("order", "a/1", 2);
        heads.put("order", "a/3", 1);
        heads.put("order", "a/4", 1);
        assert_eq!(heads.get("order", "a/1"), Some(2));
        assert_eq!(heads.get("order", "a/2"), None);
    }

    #[test]
    fn an_earlier_version_never_replaces_a_later() {
        let mut heads = StreamHeads::new(2);
        heads.put("order", "a/1", 5);
        heads.put("order", "a/1", 3);
        heads.raise("order", "a/1", 4);
        heads.raise("order", "a/unknown", 4);
        assert_eq!(heads.get("order", "a/1"), Some(5));
        assert_eq!(heads.get("order", "a/unknown"), None);
    }
}
