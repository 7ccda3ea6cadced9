//! The one keyed hash of identity: HMAC-SHA256 over parts whose lengths are part of what is hashed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// HMAC-SHA256 under a 256-bit key. No two lists of parts give the same input.
pub(crate) fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC fills short keys up with zeros; a whole block cannot have a wrong length.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut hmac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        hmac.update(&(part.len() as u64).to_be_bytes());
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}

/// A key for one purpose, from which the key it was made of cannot be found.
pub(crate) fn derive(key: &[u8; 32], purpose: &str) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(mac(key, &[b"derive", purpose.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_hmac_sha256_with_length_prefixes() {
        // Computed with another implementation: HMAC(0x0b × 32, be64(2) ‖ "Hi" ‖ be64(0)).
        let tag = mac(&[0x0b; 32], &[b"Hi", b""]);
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "1e4f9ced1243fa17d6a4933e74a7325b1d0ec00a6507fed60f6e1f4186fe9b02");
    }

    #[test]
    fn bounds_of_parts_and_keys_count() {
        assert_ne!(mac(&[1; 32], &[b"ab", b"c"]), mac(&[1; 32], &[b"a", b"bc"]));
        assert_ne!(mac(&[1; 32], &[b"ab"]), mac(&[2; 32], &[b"ab"]));
        assert_ne!(*derive(&[1; 32], "seal"), *derive(&[1; 32], "mac"));
    }
}
