//! Identifiers that the server makes: a prefix and a UUID, fresh or derived from a request.

use sha2::{Digest, Sha256};
use uuid::fmt::Hyphenated;
use uuid::{NoContext, Timestamp, Uuid};

use crate::Time;

/// A new id, `{prefix}_{UUIDv7}`; ids made later sort later.
pub fn fresh(prefix: &str, now: Time) -> String {
    let seconds = u64::try_from(now.seconds()).unwrap_or(0);
    let nanos = u32::try_from(now.micros().rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    written(prefix, Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, nanos)))
}

fn written(prefix: &str, uuid: Uuid) -> String {
    let mut text = String::with_capacity(prefix.len() + 1 + Hyphenated::LENGTH);
    text.push_str(prefix);
    text.push('_');
    text.push_str(uuid.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]));
    text
}

/// The id that a repeated request meets again: `{prefix}_{UUIDv8}` of SHA-256 over the length-prefixed parts
/// (tenant, caller, method, request id).
pub fn derived(prefix: &str, parts: &[&str]) -> String {
    let digest = digest(parts);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    written(prefix, uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// SHA-256 over length-prefixed parts, so that no two lists of parts meet.
pub fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_depend_on_every_part_and_its_bounds() {
        let one = derived("usr", &["acme", "", "Register", "r1"]);
        assert_eq!(one, derived("usr", &["acme", "", "Register", "r1"]));
        assert_ne!(one, derived("usr", &["acme", "", "Register", "r2"]));
        assert_ne!(derived("usr", &["ab", "c"]), derived("usr", &["a", "bc"]));
        assert!(one.starts_with("usr_") && one.len() == 40 && one.as_bytes()[18] == b'8');
    }

    #[test]
    fn fresh_ids_follow_the_clock() {
        let early = fresh("ses", Time::from_seconds(1_000));
        assert!(early < fresh("ses", Time::from_seconds(1_001)));
        assert_ne!(early, fresh("ses", Time::from_seconds(1_000)));
    }
}
