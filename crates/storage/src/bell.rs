//! A doorbell between whoever changes documents and whoever works on them. A hint: correctness never depends on it.

use tokio::sync::watch;

/// Rings when something may be due or waits to be published. Rings that nobody heard are one ring.
#[derive(Clone, Debug)]
pub struct Bell(watch::Receiver<()>);

impl Bell {
    /// Returns at once if it has rung since the last call, or since the bell was taken; else when it rings. Never, once the
    /// store is gone. Safe to give up at any moment.
    pub async fn rung(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// The engine's end of the bell.
#[derive(Clone, Debug)]
pub(crate) struct Ringer(watch::Sender<()>);

impl Ringer {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Rings every bell.
    pub(crate) fn ring(&self) {
        self.0.send_replace(());
    }

    /// A bell that has not rung.
    pub(crate) fn bell(&self) -> Bell {
        Bell(self.0.subscribe())
    }
}
