//! Chance, so that what began together does not happen again together. Good for pauses, never for secrets.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A random length of time, at most this long, in whole milliseconds.
pub(crate) fn up_to(longest: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let span = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    Duration::from_millis(random % span)
}

/// A random number below this one; 0 for 0.
pub(crate) fn below(count: usize) -> usize {
    let random = RandomState::new().build_hasher().finish();
    usize::try_from(random % u64::try_from(count.max(1)).unwrap_or(u64::MAX)).unwrap_or_default()
}

/// Give or take a tenth.
pub(crate) fn around(length: Duration) -> Duration {
    let tenth = length / 10;
    length - tenth + up_to(tenth * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_either_way() {
        let lengths: Vec<_> = (0..100).map(|_| around(Duration::from_secs(100))).collect();
        assert!(lengths.iter().all(|length| (Duration::from_secs(90)..=Duration::from_secs(110)).contains(length)));
        assert!(lengths.iter().any(|length| length != &lengths[0]));
        assert_eq!(up_to(Duration::ZERO), Duration::ZERO);
    }
}
