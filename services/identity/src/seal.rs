//! Envelope encryption of fields: secrets sealed under an app's data key, data keys wrapped by the master key. What is
//! sealed is bound to its place, so that nothing moves between rows. Random bytes are arguments; nothing here stores.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use kernel::{Error, Result};
use zeroize::Zeroizing;

use crate::domain::mac::{derive, mac};

/// First byte of everything sealed.
const VERSION: u8 = 1;
/// Bytes that tell which key sealed.
const KEY_ID_BYTES: usize = 4;
/// Bytes of an XChaCha20 nonce; long enough to be random.
const NONCE_BYTES: usize = 24;
/// Bytes before the ciphertext.
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// The key of the installation. Wraps data keys, seals nothing else.
pub(crate) struct Master(Sealer);

impl Master {
    /// From the 256 bits that node derives for this purpose.
    pub(crate) fn from_bytes(key: [u8; 32]) -> Self {
        Self(Sealer::new(&Zeroizing::new(key), "mozaiks/identity/wrap"))
    }

    /// The data key of one tenant as it is stored. `context` is the tenant's resource name; the nonce is random.
    /// Errors: `SEAL_FAILED`, a defect.
    pub(crate) fn wrap(&self, context: &str, data_key: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> Result<String> {
        self.0.seal((context, "data_key"), data_key, nonce)
    }

    /// The data key that was wrapped for this tenant. Errors: `SEAL_BROKEN` when the master key, the tenant or a bit is
    /// another.
    pub(crate) fn unwrap(&self, context: &str, wrapped: &str) -> Result<DataKey> {
        let opened = self.0.open((context, "data_key"), wrapped)?;
        let key = <&[u8; 32]>::try_from(opened.as_slice()).map_err(|_| broken((context, "data_key"), "it has the wrong length"))?;
        Ok(DataKey::from_bytes(key))
    }
}

/// The key of one app. Seals its secrets and makes the secrets that are mailed instead of stored.
pub(crate) struct DataKey {
    sealer: Sealer,
    mac: Zeroizing<[u8; 32]>,
}

impl DataKey {
    fn from_bytes(key: &[u8; 32]) -> Self {
        Self { sealer: Sealer::new(key, "mozaiks/identity/seal"), mac: derive(key, "mozaiks/identity/mac") }
    }

    /// A secret as it is stored. `document` is the full resource name; the nonce is random.
    /// Errors: `SEAL_FAILED`, a defect.
    pub(crate) fn seal(&self, document: &str, field: &str, plain: &[u8], nonce: &[u8; NONCE_BYTES]) -> Result<String> {
        self.sealer.seal((document, field), plain, nonce)
    }

    /// The secret that was sealed for this field of this document. Errors: `SEAL_BROKEN` when the key, the place or a bit
    /// is another.
    pub(crate) fn open(&self, document: &str, field: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>> {
        self.sealer.open((document, field), sealed)
    }

    /// A secret that is mailed and never stored: 160 bits over what it is for, the document that decides about it, and the
    /// document's number, which is raised to make older secrets dead. Compare in constant time.
    pub(crate) fn mac(&self, kind: &str, document: &str, number: i64) -> [u8; 20] {
        let tag = mac(&self.mac, &[kind.as_bytes(), document.as_bytes(), &number.to_be_bytes()]);
        let mut secret = [0; 20];
        secret.copy_from_slice(&tag[..20]);
        secret
    }
}

/// Keys do not belong in logs.
impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Master(…)")
    }
}

/// Keys do not belong in logs.
impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// Where a sealed text belongs: document and field.
type Place<'a> = (&'a str, &'a str);

/// XChaCha20-Poly1305 under a derived key. Text: base64url of version ‖ key id ‖ nonce ‖ ciphertext and tag.
struct Sealer {
    cipher: XChaCha20Poly1305,
    key_id: [u8; KEY_ID_BYTES],
}

impl Sealer {
    fn new(key: &[u8; 32], purpose: &str) -> Self {
        let mut key_id = [0; KEY_ID_BYTES];
        key_id.copy_from_slice(&derive(key, "mozaiks/identity/key-id")[..KEY_ID_BYTES]);
        Self { cipher: XChaCha20Poly1305::new((&*derive(key, purpose)).into()), key_id }
    }

    fn seal(&self, place: Place<'_>, plain: &[u8], nonce: &[u8; NONCE_BYTES]) -> Result<String> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.key_id);
        bytes.extend_from_slice(nonce);
        let aad = bound_to(&bytes, place);
        let sealed = self.cipher.encrypt(&XNonce::from(*nonce), Payload { msg: plain, aad: &aad });
        bytes.extend(sealed.map_err(|_| Error::internal("SEAL_FAILED", format!("{} of {} is too long to be sealed", place.1, place.0)))?);
        Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    fn open(&self, place: Place<'_>, sealed: &str) -> Result<Zeroizing<Vec<u8>>> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).map_err(|cause| broken(place, "it is no base64url").because(cause))?;
        let (head, secret) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(|| broken(place, "it is too short"))?;
        if head[0] != VERSION {
            return Err(broken(place, "its version is not known"));
        }
        if head[1..=KEY_ID_BYTES] != self.key_id {
            return Err(broken(place, "another key sealed it"));
        }
        let nonce: [u8; NONCE_BYTES] = head[1 + KEY_ID_BYTES..].try_into().map_err(|_| broken(place, "it is too short"))?;
        let plain = self.cipher.decrypt(&XNonce::from(nonce), Payload { msg: secret, aad: &bound_to(head, place) });
        plain.map(Zeroizing::new).map_err(|_| broken(place, "it was changed or belongs elsewhere"))
    }
}

/// What is authenticated beside the secret: the head, and the place with its lengths.
fn bound_to(head: &[u8], (document, field): Place<'_>) -> Vec<u8> {
    let mut aad = head.to_vec();
    for part in [document, field] {
        aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
        aad.extend_from_slice(part.as_bytes());
    }
    aad
}

fn broken((document, field): Place<'_>, why: &str) -> Error {
    Error::internal("SEAL_BROKEN", format!("{field} of {document} cannot be opened: {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const NONCE: [u8; 24] = [9; 24];
    const SESSION: &str = "apps/acme/sessions/ses_1";

    fn data_key(byte: u8) -> DataKey {
        DataKey::from_bytes(&[byte; 32])
    }

    fn reason<T>(result: Result<T>) -> &'static str {
        result.map_or_else(|error| error.reason(), |_| "opened")
    }

    #[test]
    fn opens_what_it_sealed_in_its_place_only() {
        let sealed = data_key(1).seal(SESSION, "key", b"secret", &NONCE).unwrap();
        assert_eq!(data_key(1).open(SESSION, "key", &sealed).unwrap().as_slice(), b"secret");
        for (document, field) in [
            ("apps/acme/sessions/ses_2", "key"),
            (SESSION, "private"),
            ("apps/other/sessions/ses_1", "key"),
            ("apps/acme/sessions/ses_1k", "ey"),
        ] {
            assert_eq!(reason(data_key(1).open(document, field, &sealed)), "SEAL_BROKEN", "{document} {field}");
        }
        assert_eq!(reason(data_key(2).open(SESSION, "key", &sealed)), "SEAL_BROKEN");
    }

    #[test]
    fn every_bit_counts() {
        let sealed = data_key(1).seal(SESSION, "key", b"secret", &NONCE).unwrap();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let text = BASE64_URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(reason(data_key(1).open(SESSION, "key", &text)), "SEAL_BROKEN", "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert_eq!(reason(data_key(1).open(SESSION, "key", &sealed[..end])), "SEAL_BROKEN", "cut at {end}");
        }
    }

    #[test]
    fn data_keys_are_wrapped_for_one_tenant_by_one_master() {
        let master = Master::from_bytes([3; 32]);
        let wrapped = master.wrap("apps/acme", &[1; 32], &NONCE).unwrap();
        let sealed = data_key(1).seal(SESSION, "key", b"secret", &NONCE).unwrap();
        assert!(master.unwrap("apps/acme", &wrapped).unwrap().open(SESSION, "key", &sealed).is_ok());
        assert_eq!(reason(master.unwrap("apps/other", &wrapped)), "SEAL_BROKEN");
        assert_eq!(reason(Master::from_bytes([4; 32]).unwrap("apps/acme", &wrapped)), "SEAL_BROKEN");
        let not_a_key = data_key(3).seal("apps/acme", "data_key", &[1; 32], &NONCE).unwrap();
        assert_eq!(reason(Master::from_bytes([3; 32]).unwrap("apps/acme", &not_a_key)), "SEAL_BROKEN", "purposes do not mix");
    }

    #[test]
    fn sealed_texts_hold_no_secret_and_errors_neither() {
        let sealed = data_key(1).seal(SESSION, "key", b"secret", &NONCE).unwrap();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
        let error = data_key(2).open(SESSION, "key", &sealed).unwrap_err();
        assert!(!format!("{error:?}").contains(&sealed) && error.message() == "internal error");
        assert_eq!(format!("{:?} {:?}", data_key(1), Master::from_bytes([3; 32])), "DataKey(…) Master(…)");
    }

    #[test]
    fn mailed_secrets_depend_on_all_they_are_for() {
        let one = data_key(1).mac("invitation", "apps/acme/teams/staff/invitations/mbr_1", 1);
        assert_eq!(one, data_key(1).mac("invitation", "apps/acme/teams/staff/invitations/mbr_1", 1));
        assert_ne!(one, data_key(2).mac("invitation", "apps/acme/teams/staff/invitations/mbr_1", 1));
        assert_ne!(one, data_key(1).mac("recovery", "apps/acme/teams/staff/invitations/mbr_1", 1));
        assert_ne!(one, data_key(1).mac("invitation", "apps/acme/teams/staff/invitations/mbr_2", 1));
        assert_ne!(one, data_key(1).mac("invitation", "apps/acme/teams/staff/invitations/mbr_1", 2));
    }

    proptest! {
        #[test]
        fn anything_comes_back(plain in prop::collection::vec(any::<u8>(), 0..200), nonce: [u8; 24]) {
            let sealed = data_key(1).seal(SESSION, "key", &plain, &nonce).unwrap();
            let opened = data_key(1).open(SESSION, "key", &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), plain.as_slice());
        }

        #[test]
        fn opening_is_total(text in "\\PC{0,120}") {
            prop_assert_eq!(reason(data_key(1).open(SESSION, "key", &text)), "SEAL_BROKEN");
        }
    }
}
