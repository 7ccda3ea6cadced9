//! Checksums of what is stored: of a document beside its body, of each event and each request id within itself. CRC-32C over
//! parts that are prefixed by their lengths, so that no byte moves from one part into the next unseen. No I/O.

use kernel::{Error, Result};

use crate::engine::{OnceEntry, PendingEvent};
use crate::record::Collection;

/// What the checksum of a document covers: all that changes with its body alone, so that no change needs a second read. Of
/// the rest, the index keys follow from the body, events and request ids have sums of their own, and the times at which
/// something is to be tried again (`due`, `obn`, `tries`) are moved in place and have none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covered<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) id: &'a str,
    pub(crate) version: i64,
    pub(crate) writer: i64,
    pub(crate) expires: Option<i64>,
    /// The numbers of a counter as text, where the engine writes them itself; else empty.
    pub(crate) numbers: &'a str,
    /// Canonical JSON; empty when removed.
    pub(crate) body: &'a str,
}

impl Covered<'_> {
    pub(crate) fn sum(&self) -> i64 {
        let expires = self.expires.map(i64::to_le_bytes);
        of(&[
            self.tenant.as_bytes(),
            self.id.as_bytes(),
            &self.version.to_le_bytes(),
            &self.writer.to_le_bytes(),
            expires.as_ref().map_or(&[], |expires| expires.as_slice()),
            self.numbers.as_bytes(),
            self.body.as_bytes(),
        ])
    }

    /// Errors: `RECORD_CORRUPT`.
    pub(crate) fn check(&self, collection: &Collection, sum: Option<i64>) -> Result<()> {
        if sum == Some(self.sum()) {
            return Ok(());
        }
        Err(Error::internal("RECORD_CORRUPT", format!("{} {} does not agree with its checksum", collection.name, self.id)))
    }
}

/// An item of a list within a document, with a sum of its own: lists grow and shrink in place, unread.
pub(crate) trait Summed {
    /// The sum of everything else in it.
    fn expected(&self) -> i64;

    /// The sum that it carries.
    fn carried(&self) -> i64;

    fn is_whole(&self) -> bool {
        self.carried() == self.expected()
    }
}

impl Summed for PendingEvent {
    fn expected(&self) -> i64 {
        let numbers = [self.version.to_le_bytes(), self.at.to_le_bytes(), i64::from(self.index).to_le_bytes()];
        let texts = [&self.id, &self.kind, &self.payload, &self.trace];
        let texts = texts.map(|text| text.as_bytes());
        of(&[texts[0], texts[1], texts[2], texts[3], &numbers[0], &numbers[1], &numbers[2]])
    }

    fn carried(&self) -> i64 {
        self.sum
    }
}

impl Summed for OnceEntry {
    fn expected(&self) -> i64 {
        of(&[self.id.as_bytes(), self.digest.as_bytes(), &self.version.to_le_bytes(), &self.at.to_le_bytes()])
    }

    fn carried(&self) -> i64 {
        self.sum
    }
}

fn of(parts: &[&[u8]]) -> i64 {
    let add = |sum, part: &&[u8]| crc32c::crc32c_append(crc32c::crc32c_append(sum, &(part.len() as u64).to_le_bytes()), part);
    i64::from(parts.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Covered<'_> = Covered { tenant: "ab", id: "c", version: 1, writer: 2, expires: None, numbers: "", body: "{}" };

    #[test]
    fn every_part_counts_and_none_moves_into_the_next() {
        let others = [
            Covered { tenant: "a", id: "bc", ..ONE },
            Covered { tenant: "ac", ..ONE },
            Covered { id: "d", ..ONE },
            Covered { version: 2, writer: 1, ..ONE },
            Covered { version: 2, ..ONE },
            Covered { writer: 3, ..ONE },
            Covered { expires: Some(0), ..ONE },
            Covered { numbers: "{}", body: "", ..ONE },
            Covered { body: "{} ", ..ONE },
        ];
        for other in others {
            assert_ne!(other.sum(), ONE.sum(), "{other:?}");
        }
    }

    #[test]
    fn an_item_that_changed_is_not_whole() {
        let event = PendingEvent { id: "evt_1".into(), kind: "a.b.c".into(), ..PendingEvent::default() }.at_version(3);
        let entry = OnceEntry { id: "r".into(), digest: "d".into(), ..OnceEntry::default() };
        let entry = OnceEntry { sum: entry.expected(), ..entry };
        assert!(event.is_whole() && entry.is_whole());
        assert!(!PendingEvent { version: 4, ..event.clone() }.is_whole() && !PendingEvent { trace: "0".into(), ..event }.is_whole());
        assert!(!OnceEntry { digest: "e".into(), ..entry.clone() }.is_whole() && !OnceEntry { at: 1, ..entry }.is_whole());
    }
}
