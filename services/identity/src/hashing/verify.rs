//! The forms in which password hashes are kept, and the work of making and checking one in a given buffer.

use std::hint::black_box;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use kernel::{Error, Result};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Cost;
use crate::domain::password::Password;

/// Bytes of the salt of a new hash.
pub(super) const SALT_BYTES: usize = 16;
/// Bytes of a new hash.
const HASH_BYTES: usize = 32;

/// A stored hash: argon2id version 19 in PHC form.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Phc {
    cost: Cost,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Phc {
    /// Reads `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, within the bounds of `Cost`, salt and hash of 8 to 64 bytes.
    /// Errors: `HASH_PARAMETERS`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut parts = text.split('$');
        let mut next = || parts.next().ok_or_else(unreadable);
        let head = [next()?, next()?, next()?];
        let (cost, salt, hash) = (read_cost(next()?)?, read_bytes(next()?)?, read_bytes(next()?)?);
        if head != ["", "argon2id", "v=19"] || parts.next().is_some() {
            return Err(unreadable());
        }
        Ok(Self { cost, salt, hash })
    }

    /// A hash that no password has, but whose checking costs as much as any.
    pub(super) fn dummy(cost: Cost) -> Self {
        Self { cost, salt: vec![0; SALT_BYTES], hash: vec![0; HASH_BYTES] }
    }

    /// Whether a new hash of the same password would look otherwise.
    pub(super) fn differs_from(&self, cost: Cost) -> bool {
        self.cost != cost || self.salt.len() != SALT_BYTES || self.hash.len() != HASH_BYTES
    }
}

impl std::fmt::Display for Phc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let (salt, hash) = (BASE64_STANDARD_NO_PAD.encode(&self.salt), BASE64_STANDARD_NO_PAD.encode(&self.hash));
        write!(f, "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }
}

/// Memory of one thread: made on first use, kept between hashes, wiped after each.
pub(super) struct Buffer {
    blocks: Vec<Block>,
    kept_blocks: usize,
}

impl Buffer {
    /// A buffer that keeps what one hash of this cost needs.
    pub(super) fn for_cost(cost: Cost) -> Self {
        Self { blocks: Vec::new(), kept_blocks: cost.memory_kib as usize }
    }

    /// Whether it holds no memory.
    pub(super) fn is_released(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Gives its memory back.
    pub(super) fn release(&mut self) {
        self.blocks = Vec::new();
    }

    /// Forgets what the last hash left. What only a stronger stored hash needed is given back.
    pub(super) fn wipe(&mut self) {
        for block in &mut self.blocks {
            block.as_mut().fill(0);
        }
        // Otherwise the compiler may see that the next hash overwrites all of it, and leave the traces.
        black_box(&mut self.blocks);
        if self.blocks.len() > self.kept_blocks {
            self.release();
        }
    }

    fn sized(&mut self, blocks: usize) -> &mut [Block] {
        if self.blocks.len() < blocks {
            self.blocks = vec![Block::new(); blocks.max(self.kept_blocks)];
        }
        &mut self.blocks[..blocks]
    }
}

/// Hashes a new password.
pub(super) fn hash(buffer: &mut Buffer, cost: Cost, password: &Password, salt: &[u8; SALT_BYTES]) -> Result<Phc> {
    let mut hash = vec![0; HASH_BYTES];
    compute(buffer, cost, (password, salt), &mut hash)?;
    Ok(Phc { cost, salt: salt.to_vec(), hash })
}

/// Whether this is the password of that hash. The comparison takes constant time.
pub(super) fn matches(buffer: &mut Buffer, stored: &Phc, password: &Password) -> Result<bool> {
    let mut hash = Zeroizing::new(vec![0; stored.hash.len()]);
    compute(buffer, stored.cost, (password, &stored.salt), &mut hash)?;
    Ok(hash.as_slice().ct_eq(&stored.hash).into())
}

fn compute(buffer: &mut Buffer, cost: Cost, (password, salt): (&Password, &[u8]), hash: &mut [u8]) -> Result<()> {
    let failed = |cause: argon2::Error| Error::internal("HASHING_FAILED", "a password could not be hashed").because(cause.to_string());
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(hash.len())).map_err(failed)?;
    let blocks = buffer.sized(params.block_count());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.bytes(), salt, hash, blocks)
        .map_err(failed)
}

fn read_cost(text: &str) -> Result<Cost> {
    let mut fields = text.split(',');
    let mut number = |name: &str| fields.next().and_then(|field| read_number(field.strip_prefix(name)?)).ok_or_else(unreadable);
    let (memory_kib, passes, lanes) = (number("m=")?, number("t=")?, number("p=")?);
    if fields.next().is_some() {
        return Err(unreadable());
    }
    Cost::bounded(memory_kib, passes, lanes)
}

/// Decimal digits without sign or leading zero, as the PHC form asks.
fn read_number(digits: &str) -> Option<u32> {
    let is_plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if is_plain { digits.parse().ok() } else { None }
}

fn read_bytes(text: &str) -> Result<Vec<u8>> {
    let bytes = if text.len() <= 96 { BASE64_STANDARD_NO_PAD.decode(text).ok() } else { None };
    bytes.filter(|bytes| (8..=64).contains(&bytes.len())).ok_or_else(unreadable)
}

fn unreadable() -> Error {
    Error::invalid("HASH_PARAMETERS", "the password hash is not one of argon2id version 19 in PHC form")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// Made with the reference implementation: 2 passes over 64 KiB in one lane, salt `somesalt`, password `password`.
    const REFERENCE: &str = "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$FqGkmHNGCd0BRW2kBt6fPZ2pPmyGwwChL8FGUhTOSSI";

    fn buffer() -> Buffer {
        Buffer::for_cost(Cost::for_tests())
    }

    fn password(text: &str) -> Password {
        Password::presented(text).unwrap()
    }

    #[test]
    fn agrees_with_the_reference_implementation() {
        let stored = Phc::parse(REFERENCE).unwrap();
        assert_eq!(stored.to_string(), REFERENCE);
        assert!(matches(&mut buffer(), &stored, &password("password")).unwrap());
        assert!(!matches(&mut buffer(), &stored, &password("passwore")).unwrap());
        assert!(stored.differs_from(Cost::for_tests()));
    }

    #[test]
    fn checks_what_it_hashed_in_a_used_buffer() {
        let mut buffer = buffer();
        let phc = hash(&mut buffer, Cost::for_tests(), &password("correct horse"), &[5; SALT_BYTES]).unwrap();
        assert!(!phc.differs_from(Cost::for_tests()) && phc.to_string().starts_with("$argon2id$v=19$m=64,t=1,p=1$BQUF"));
        buffer.wipe();
        assert!(buffer.blocks.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
        let stored = Phc::parse(&phc.to_string()).unwrap();
        assert!(matches(&mut buffer, &stored, &password("correct horse")).unwrap());
        assert!(!matches(&mut buffer, &stored, &password("correct horsf")).unwrap());
        assert!(!matches(&mut buffer, &Phc::dummy(Cost::for_tests()), &password("correct horse")).unwrap());
    }

    /// Rule 36: nothing is cut in silence.
    #[test]
    fn rule_36_every_byte_of_a_long_password_counts() {
        let (long, other) = ("x".repeat(1024), format!("{}y", "x".repeat(1023)));
        let phc = hash(&mut buffer(), Cost::for_tests(), &password(&long), &[5; SALT_BYTES]).unwrap();
        assert!(matches(&mut buffer(), &phc, &password(&long)).unwrap());
        assert!(!matches(&mut buffer(), &phc, &password(&other)).unwrap());
    }

    #[test]
    fn a_stronger_hash_is_checked_and_its_memory_given_back() {
        let strong = Cost { memory_kib: 128, passes: 2, lanes: 2 };
        let mut buffer = buffer();
        let phc = hash(&mut buffer, strong, &password("correct horse"), &[5; SALT_BYTES]).unwrap();
        assert!(matches(&mut buffer, &phc, &password("correct horse")).unwrap() && buffer.blocks.len() == 128);
        buffer.wipe();
        assert!(buffer.is_released());
    }

    /// Rule 37: no stored text makes the server work without bound.
    #[test]
    fn rule_37_refuses_parameters_out_of_bounds_and_other_forms() {
        let good = Phc::dummy(Cost::DEFAULT).to_string();
        assert!(Phc::parse(&good).is_ok());
        let with = |params: &str| good.replace("m=47104,t=1,p=1", params);
        let bad = [
            with("m=262145,t=1,p=1"),
            with("m=4294967295,t=1,p=1"),
            with("m=99999999999,t=1,p=1"),
            with("m=47104,t=11,p=1"),
            with("m=47104,t=1,p=17"),
            with("m=47104,t=0,p=1"),
            with("m=47104,t=1,p=0"),
            with("m=7,t=1,p=1"),
            with("m=047104,t=1,p=1"),
            with("m=+47104,t=1,p=1"),
            with("t=1,m=47104,p=1"),
            with("m=47104,t=1"),
            with("m=47104,t=1,p=1,data=AAAA"),
            good.replace("v=19", "v=16"),
            good.replace("argon2id", "argon2i"),
            format!("{good}$"),
            format!("x{good}"),
            good[..good.len() - 40].to_owned(),
            format!("{good}{}", "A".repeat(100)),
            String::new(),
            "plain".to_owned(),
        ];
        for text in bad {
            assert_eq!(Phc::parse(&text).map(|phc| phc.to_string()).unwrap_err().reason(), "HASH_PARAMETERS", "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_is_total_and_exact(text in "\\$argon2id\\$v=19\\$m=[0-9]{1,6},t=[0-9]{1,2},p=[0-9]{1,2}\\$[A-Za-z0-9+/=]{10,30}\\$[A-Za-z0-9+/=]{10,90}|\\PC{0,80}") {
            if let Ok(phc) = Phc::parse(&text) {
                prop_assert_eq!(phc.to_string(), text);
            }
        }
    }
}
