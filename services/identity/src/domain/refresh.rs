//! Refresh tokens: computed, not stored; and what is to be done when one is presented.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use kernel::{Error, Result, Tenant, Time};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::mac::mac;
use super::session::Session;

/// First byte of every token.
const VERSION: u8 = 1;
/// Bytes of the truncated HMAC: 128 bits.
const TAG_BYTES: usize = 16;
/// Bytes of the checksum that refuses mistyped and cut tokens without a read.
const CHECKSUM_BYTES: usize = 4;
/// Longest session id, in bytes: a prefix and a UUID.
const MAX_SESSION_BYTES: usize = 64;
/// Longest token as text; longer ones are not looked at.
const MAX_TEXT_BYTES: usize = 256;

/// Two tabs that refresh at the same time are this far apart at most.
const PARALLEL: Duration = Duration::from_secs(10);
/// A client that lost an answer asks again within this time.
const LOST_REPLY: Duration = Duration::from_secs(120);
/// Lost answers in a row that are believed; one more is theft.
const BELIEVED_LOSSES: i64 = 2;

/// A well-formed token. Whether it is genuine is for `verify` to say.
///
/// Bytes: version ‖ length ‖ app ‖ length ‖ session id ‖ generation ‖ HMAC ‖ checksum. Lengths and generation are
/// varints in their shortest form; the HMAC covers all before it, the checksum all before itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// The app the session lives in.
    pub(crate) app: Tenant,
    pub(crate) session_id: String,
    /// From 1.
    pub(crate) generation: i64,
    tag: [u8; TAG_BYTES],
}

impl Token {
    /// The text of the token of this generation.
    pub(crate) fn issue(app: &Tenant, session_id: &str, generation: i64, key: &[u8; 32]) -> String {
        let mut bytes = body(app, session_id, generation);
        bytes.extend_from_slice(&tag(key, &bytes));
        bytes.extend_from_slice(&checksum(&bytes));
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token without looking anything up. Errors: `CREDENTIAL_MALFORMED`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| Error::unauthenticated("CREDENTIAL_MALFORMED", "the refresh token is malformed"))
    }

    /// Whether the token was issued under this key, in constant time. Covers every byte of it.
    pub(crate) fn verify(&self, key: &[u8; 32]) -> bool {
        let expected = tag(key, &body(&self.app, &self.session_id, self.generation));
        bool::from(expected.ct_eq(&self.tag))
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT_BYTES {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (checked, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_BYTES)?)?;
        if checksum(checked) != *sum {
            return None;
        }
        let (signed, tag) = checked.split_at_checked(checked.len().checked_sub(TAG_BYTES)?)?;
        let mut rest = signed.strip_prefix(&[VERSION])?;
        let app = Tenant::parse(read_text(&mut rest)?).ok()?;
        let session_id = read_text(&mut rest).filter(|id| is_session_id(id))?.to_owned();
        let generation = i64::try_from(read_varint(&mut rest)?).ok().filter(|generation| *generation > 0)?;
        rest.is_empty().then_some(Self { app, session_id, generation, tag: tag.try_into().ok()? })
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({}, {}, {}, …)", self.app, self.session_id, self.generation)
    }
}

/// What to do with a genuine token of a session that is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Replace the session by `rotated`, at the version read, and give the next token.
    Rotate,
    /// Give the present token again; with `write`, replace the session by `redelivered` first.
    Redeliver { write: bool },
    /// Theft: replace the session by `ended` and refuse, `REFRESH_REUSED`.
    Reused,
}

/// The table of refresh: what a token of this generation means to a living session. One generation is moved by one token
/// alone, however many present it.
pub(crate) fn present(session: &Session, generation: i64, now: Time) -> Decision {
    if generation == session.generation {
        return Decision::Rotate;
    }
    let age = now.since(Time::from_micros(session.rotated_at));
    if session.generation.checked_sub(generation) != Some(1) || age > LOST_REPLY {
        return Decision::Reused;
    }
    if age <= PARALLEL || session.redelivered_generation == session.generation {
        return Decision::Redeliver { write: false };
    }
    if session.redelivered >= BELIEVED_LOSSES { Decision::Reused } else { Decision::Redeliver { write: true } }
}

fn body(app: &Tenant, session_id: &str, generation: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(VERSION);
    for text in [app.as_str(), session_id] {
        push_varint(&mut bytes, text.len() as u64);
        bytes.extend_from_slice(text.as_bytes());
    }
    push_varint(&mut bytes, generation.unsigned_abs());
    bytes
}

fn tag(key: &[u8; 32], body: &[u8]) -> [u8; TAG_BYTES] {
    let mut short = [0; TAG_BYTES];
    short.copy_from_slice(&mac(key, &[b"refresh", body])[..TAG_BYTES]);
    short
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut short = [0; CHECKSUM_BYTES];
    short.copy_from_slice(&Sha256::digest(bytes)[..CHECKSUM_BYTES]);
    short
}

fn is_session_id(id: &str) -> bool {
    (1..=MAX_SESSION_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Seven bits a byte, least significant first, as in Protocol Buffers.
fn push_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

/// None for a number that is cut, too large, or written longer than needed.
fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for at in 0..10_u32 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if at == 9 && bits > 1 {
            return None;
        }
        number |= bits << (7 * at);
        if byte & 0x80 == 0 {
            let is_shortest = *byte != 0 || at == 0;
            return is_shortest.then_some(number);
        }
    }
    None
}

fn read_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(read_varint(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
