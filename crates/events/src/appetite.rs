//! When to look for something to do: when the bell rang, when there was more before, and now and then in any case.

use std::time::Duration;

use tokio::time::Instant;

use crate::pace::jittered;

/// Shortest and longest pause after a look that found nothing though the bell had rung: it rings for all collections.
const PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

#[derive(Debug)]
pub(crate) struct Appetite {
    hungry: bool,
    pause: Duration,
    not_before: Instant,
}

impl Appetite {
    pub(crate) fn new() -> Self {
        Self { hungry: true, pause: PAUSES[0], not_before: Instant::now() }
    }

    /// Something may be there.
    pub(crate) fn wake(&mut self) {
        self.hungry = true;
    }

    /// Not for a while, whatever may be there.
    pub(crate) fn rest(&mut self, wait: Duration) {
        self.not_before = Instant::now() + jittered(wait);
    }

    /// What a look was worth, and whether there may be more.
    pub(crate) fn ate(&mut self, worth: bool, more: bool) {
        self.hungry = more;
        self.pause = if worth { PAUSES[0] } else { (self.pause * 2).min(PAUSES[1]) };
        if !worth {
            self.not_before = Instant::now() + self.pause;
        }
    }

    /// Whether to look now.
    pub(crate) fn looks(&self) -> bool {
        self.hungry && Instant::now() >= self.not_before
    }

    /// When to look next, though no bell rings, if there is room.
    pub(crate) fn next(&self, room: bool, poll: Duration) -> Instant {
        let poll = Instant::now() + jittered(poll);
        if self.hungry && room { self.not_before.min(poll) } else { poll }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bell_for_others_is_answered_less_and_less() {
        let mut appetite = Appetite::new();
        let (mut looks, begun) = (0, Instant::now());
        while begun.elapsed() < Duration::from_secs(1) {
            appetite.wake();
            if appetite.looks() {
                looks += 1;
                appetite.ate(false, false);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!((20..40).contains(&looks), "{looks}");
        appetite.wake();
        tokio::time::sleep_until(appetite.next(true, Duration::from_secs(9))).await;
        assert!(appetite.looks());
        appetite.ate(true, true);
        assert!(appetite.looks(), "there is more where something was");
    }
}
