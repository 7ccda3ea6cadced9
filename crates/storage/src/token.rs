//! Page tokens: where a list goes on, sealed, and good for one question by one caller for a day.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use kernel::{Error, Result, Time};
use serde::{Deserialize, Serialize};

use crate::engine::Cursor;

const LIFE_SECONDS: i64 = 24 * 3_600;
/// Eight keys of 512 bytes, each byte escaped to six, and base64: no token of ours is longer.
const MAX_TOKEN_BYTES: usize = 48 * 1024;
const NONCE_BYTES: usize = 24;

/// Seals and opens page tokens. The key is the same in every replica.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<XChaCha20Poly1305>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

#[derive(Serialize, Deserialize)]
struct Content {
    at: i64,
    cursor: Cursor,
}

impl Tokens {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(Arc::new(XChaCha20Poly1305::new(&key.into())))
    }

    /// `question` digests collection, index, tenant, actor and filter; the token opens only beside the same one.
    pub(crate) fn seal(&self, question: &[u8; 32], cursor: Cursor, now: Time) -> Result<String> {
        let failed = |cause: &dyn fmt::Display| Error::internal("PAGE_TOKEN_FAILED", format!("a page token was not sealed: {cause}"));
        let content = serde_json::to_vec(&Content { at: now.micros(), cursor }).map_err(|cause| failed(&cause))?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|cause| failed(&cause))?;
        let payload = Payload { msg: &content, aad: question };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|cause| failed(&cause))?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// Errors: `PAGE_TOKEN` when it is not ours, not for this question, or older than a day.
    pub(crate) fn open(&self, question: &[u8; 32], token: &str, now: Time) -> Result<Cursor> {
        let content = self.content(question, token).ok_or_else(refused)?;
        let age = now.since(Time::from_micros(content.at)).as_secs();
        if age > LIFE_SECONDS.unsigned_abs() { Err(refused()) } else { Ok(content.cursor) }
    }

    fn content(&self, question: &[u8; 32], token: &str) -> Option<Content> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let content = self.0.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: question }).ok()?;
        serde_json::from_slice(&content).ok()
    }
}

fn refused() -> Error {
    Error::invalid("PAGE_TOKEN", "the page token does not belong to this question, or is too old")
        .field("page_token", "must come from the answer before, to the same question, within a day")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn opens_its_own_question_for_a_day() {
        let tokens = Tokens::new([7; 32]);
        let cursor = Cursor { keys: vec!["ann".into()], id: "usr_1".to_owned() };
        let noon = Time::from_seconds(1_000_000);
        let token = tokens.seal(&[1; 32], cursor.clone(), noon).unwrap();
        assert_eq!(tokens.open(&[1; 32], &token, noon.plus_seconds(LIFE_SECONDS)).unwrap(), cursor);

        let refusals = [
            tokens.open(&[2; 32], &token, noon),
            tokens.open(&[1; 32], &token, noon.plus_seconds(LIFE_SECONDS + 1)),
            tokens.open(&[1; 32], &token[1..], noon),
            tokens.open(&[1; 32], "", noon),
            tokens.open(&[1; 32], "not base64 !", noon),
            Tokens::new([8; 32]).open(&[1; 32], &token, noon),
        ];
        for refusal in refusals {
            assert_eq!(refusal.unwrap_err().reason(), "PAGE_TOKEN");
        }
        assert!(!token.contains("usr_1") && !format!("{tokens:?}").contains('7'));
    }
}
