//! Access tokens whose signature was found good a moment ago, by their hash. Spares the arithmetic and nothing else: whatever
//! a signature cannot tell is read anew on every call.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;
use kernel::Time;
use sha2::{Digest as _, Sha256};

use crate::domain::token::Claims;

/// Tokens that are remembered: some 5 MiB.
const CAPACITY: usize = 8_192;
/// After so long a signature is checked again, with the keys of then.
const GOOD_FOR_SECONDS: i64 = 60;

/// A token without its claims: enough to know it again, not to show it.
pub(crate) type Digest = [u8; 32];

/// What a good signature vouched for.
#[derive(Clone)]
pub(crate) struct Proof {
    pub(crate) kid: String,
    pub(crate) claims: Claims,
    /// When it was checked.
    pub(crate) at: Time,
}

/// A bounded number of proofs.
pub(crate) struct Proofs(Mutex<LruCache<Digest, Proof>>);

impl Proofs {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }

    /// The proof of this token, if it is fresh. A clock that was set back makes it stale, too.
    pub(crate) fn find(&self, token: &Digest, now: Time) -> Option<Proof> {
        let fresh = |proof: &&mut Proof| now >= proof.at && now < proof.at.plus_seconds(GOOD_FOR_SECONDS);
        self.all().get_mut(token).filter(fresh).map(|proof| proof.clone())
    }

    pub(crate) fn keep(&self, token: Digest, proof: Proof) {
        self.all().insert(token, proof);
    }

    fn all(&self) -> MutexGuard<'_, LruCache<Digest, Proof>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proofs")
    }
}

/// What stands for a token here.
pub(crate) fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_proof_is_good_for_a_minute_of_its_own_time() {
        let claims = serde_json::from_value(json!({
            "iss": "i", "sub": "u", "aud": "mozaiks", "exp": 300, "iat": 0, "jti": "t", "sid": "s", "app": "acme", "perm": [],
            "aal": 1, "amr": ["pwd"], "auth_time": 0, "ep": [1, 1, 0, 1]
        }));
        let (proofs, token) = (Proofs::new(), digest("a.b.c"));
        proofs.keep(token, Proof { kid: "key_1".into(), claims: claims.unwrap(), at: Time::from_seconds(100) });
        let found = |token, seconds| proofs.find(token, Time::from_seconds(seconds)).is_some();
        assert!(found(&token, 100) && found(&token, 159));
        assert!(!found(&token, 160) && !found(&token, 99));
        assert!(!found(&digest("a.b.d"), 100));
    }
}
