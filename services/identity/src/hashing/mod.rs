//! Password hashing: how much it costs, the threads that do it, the forms in which hashes are kept. Which passwords may be
//! chosen is the domain's matter.

mod meter;
mod pool;
mod queue;
mod verify;

use kernel::{Error, Result};

pub(crate) use pool::Pool;

/// What one hash costs: parameters of argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// 46 MiB, one pass, one lane: the first choice of the OWASP password storage cheat sheet. Outside tests there is no
    /// other way to a cost, so no setting can weaken it.
    pub(crate) const DEFAULT: Self = Self { memory_kib: 46 * 1024, passes: 1, lanes: 1 };

    /// Parameters of a hash that exists: at most 256 MiB, 10 passes, 16 lanes, so that no stored text makes the server work
    /// without bound. Errors: `HASH_PARAMETERS`.
    fn bounded(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self> {
        let is_bounded = (1..=16).contains(&lanes) && (1..=10).contains(&passes) && (8 * lanes..=256 * 1024).contains(&memory_kib);
        if !is_bounded {
            return Err(Error::invalid("HASH_PARAMETERS", "the parameters of the password hash are out of bounds"));
        }
        Ok(Self { memory_kib, passes, lanes })
    }

    /// Far too cheap for passwords; tests of everything but the hash want that.
    #[cfg(test)]
    pub(crate) const fn for_tests() -> Self {
        Self { memory_kib: 64, passes: 1, lanes: 1 }
    }
}
