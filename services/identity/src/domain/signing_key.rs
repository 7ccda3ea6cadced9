//! The keys that sign an app's tokens. Which one signs and which are published follows from times alone, so a rotation is
//! one insert.

use kernel::Time;
use serde::{Deserialize, Serialize};

/// Longest life of any token, in seconds; policy cannot go beyond it.
const LONGEST_TOKEN_SECONDS: i64 = 15 * 60;
/// How long a successor is published before it signs, in seconds: the advertised `max-age` of the key set.
const PUBLISHED_BEFORE_SECONDS: i64 = 5 * 60;
/// After which time a key is succeeded without anybody asking, in seconds: 30 days.
const ROTATED_AFTER_SECONDS: i64 = 30 * 24 * 3600;
/// Clock difference that verifiers allow, in seconds.
const SKEW_SECONDS: i64 = 60;

/// A key of an app. Instants in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) alg: Alg,
    /// Public key in base64url.
    pub(crate) public: String,
    /// Private key, sealed.
    pub(crate) private: String,
    /// From when on it signs, unless a newer one does.
    pub(crate) active_from: i64,
    /// Since when it is believed to be in wrong hands.
    pub(crate) compromised_at: Option<i64>,
    pub(crate) created_at: i64,
}

/// The algorithm of a key. The key decides it, never a token's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Alg {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl SigningKey {
    /// An Ed25519 key that signs at once: the first of an app.
    pub(crate) fn ed25519(kid: &str, public: String, private: String, now: Time) -> Self {
        Self {
            kid: kid.to_owned(),
            alg: Alg::EdDsa,
            public,
            private,
            active_from: now.micros(),
            compromised_at: None,
            created_at: now.micros(),
        }
    }

    /// The same key as a successor: published now, signing when everybody can have seen it.
    #[must_use]
    pub(crate) fn succeeding(self) -> Self {
        let active_from = Time::from_micros(self.created_at).plus_seconds(PUBLISHED_BEFORE_SECONDS).micros();
        Self { active_from, ..self }
    }

    /// Whether it signs at this moment or did before.
    pub(crate) fn is_waiting(&self, now: Time) -> bool {
        self.active_from > now.micros()
    }

    /// Whether it has signed for so long that a successor is due.
    pub(crate) fn is_old(&self, now: Time) -> bool {
        now >= Time::from_micros(self.active_from).plus_seconds(ROTATED_AFTER_SECONDS)
    }
}

/// The key to sign with: the newest trusted one whose time has come. When none has, which is what a clock that was set back
/// sees of a young app, the oldest: it was published before any other.
pub(crate) fn signer(keys: &[SigningKey], now: Time) -> Option<&SigningKey> {
    let trusted = trusted(keys);
    trusted.iter().copied().rfind(|key| key.active_from <= now.micros()).or_else(|| trusted.first().copied())
}

/// The keys that verifiers need, oldest first: each trusted key from its insertion until its successor has signed for as
/// long as the last token of the old one can live.
pub(crate) fn published(keys: &[SigningKey], now: Time) -> Vec<&SigningKey> {
    let trusted = trusted(keys);
    let retired =
        |at: usize| trusted.get(at + 1).map(|next| Time::from_micros(next.active_from).plus_seconds(LONGEST_TOKEN_SECONDS + SKEW_SECONDS));
    (0..trusted.len()).filter(|at| retired(*at).is_none_or(|until| now < until)).map(|at| trusted[at]).collect()
}

/// Keys that are not compromised, oldest first.
fn trusted(keys: &[SigningKey]) -> Vec<&SigningKey> {
    let mut trusted: Vec<&SigningKey> = keys.iter().filter(|key| key.compromised_at.is_none()).collect();
    trusted.sort_by(|one, other| (one.active_from, &one.kid).cmp(&(other.active_from, &other.kid)));
    trusted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn key(kid: &str, active_from: i64) -> SigningKey {
        SigningKey::ed25519(kid, "public".to_owned(), "sealed".to_owned(), Time::from_seconds(active_from))
    }

    fn kids(keys: Vec<&SigningKey>) -> Vec<&str> {
        keys.into_iter().map(|key| key.kid.as_str()).collect()
    }

    #[test]
    fn publishes_before_it_signs_and_after() {
        let keys = [key("old", 0), key("new", 1_300)];
        let at = |seconds| {
            let now = Time::from_seconds(seconds);
            (signer(&keys, now).unwrap().kid.as_str(), kids(published(&keys, now)))
        };
        assert_eq!(at(1_000), ("old", vec!["old", "new"]));
        assert_eq!(at(1_299), ("old", vec!["old", "new"]));
        assert_eq!(at(1_300), ("new", vec!["old", "new"]));
        assert_eq!(at(1_300 + 15 * 60 + 59), ("new", vec!["old", "new"]));
        assert_eq!(at(1_300 + 15 * 60 + 60), ("new", vec!["new"]));
    }

    #[test]
    fn a_compromised_key_neither_signs_nor_is_published() {
        let stolen = SigningKey { compromised_at: Some(5), ..key("stolen", 100) };
        let keys = [stolen, key("old", 0), key("next", 100)];
        let now = Time::from_seconds(200);
        assert_eq!((signer(&keys, now).unwrap().kid.as_str(), kids(published(&keys, now))), ("next", vec!["old", "next"]));
    }

    #[test]
    fn no_key_no_signer() {
        assert!(signer(&[], Time::from_seconds(1)).is_none() && published(&[], Time::from_seconds(1)).is_empty());
    }

    #[test]
    fn a_clock_set_back_signs_with_the_first_key() {
        let keys = [key("next", 310), key("first", 10)];
        assert_eq!(signer(&keys, Time::from_seconds(9)).unwrap().kid, "first");
    }

    #[test]
    fn stored_form_names_the_algorithm_as_jose_does() {
        assert!(serde_json::to_string(&key("k", 1)).unwrap().contains(r#""alg":"EdDSA""#));
    }

    proptest! {
        #[test]
        fn every_living_token_verifies(starts in prop::collection::vec(0_i64..10_000, 1..8), signed in 0_i64..10_000, age in 0_i64..15 * 60 + 60) {
            let keys: Vec<SigningKey> = starts.iter().enumerate().map(|(n, start)| key(&format!("k{n}"), *start)).collect();
            if let Some(signer) = signer(&keys, Time::from_seconds(signed)) {
                let now = Time::from_seconds(signed + age);
                prop_assert!(published(&keys, now).contains(&signer));
            }
        }
    }
}
