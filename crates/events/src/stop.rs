//! The word to stop, as everybody hears it who runs in the background.

use tokio::sync::watch;

/// Heard once and for all; whoever could say it being gone says it, too.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The one who says it, with `true`, and the one who hears it.
    pub(crate) fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether it was said.
    pub(crate) fn is_said(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Until it is said.
    pub(crate) async fn said(&mut self) {
        // An error says that nobody is left to say it.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
