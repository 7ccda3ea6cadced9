//! The bus inside one process: an event is handed to the subscribers at once, and the outbox is its queue.

use std::fmt;
use std::sync::{Arc, OnceLock};

use kernel::{Error, Result};
use storage::Answer;

use crate::contract::{Bus, Refusal, Subscriber, Taken};
use crate::event::Delivered;
use crate::hear::{all, hear};

/// Takes an event once every local subscriber of its kind has recorded it. One that fails makes the event come again to all
/// of them.
#[derive(Default)]
pub struct Local {
    subscribers: OnceLock<Vec<Arc<dyn Subscriber>>>,
}

impl Local {
    /// A bus without subscribers yet.
    pub fn new() -> Self {
        Self::default()
    }

    async fn deliver(&self, event: &Delivered) -> Result<(), Refusal> {
        let subscribers = self.subscribers.get().map_or(&[][..], Vec::as_slice);
        let hearing = subscribers.iter().filter(|subscriber| subscriber.kinds().contains(&&*event.kind));
        let answers = all(hearing.map(|subscriber| boxed(hear(&**subscriber, event))).collect()).await;
        answers.into_iter().collect::<Result<()>>().map_err(Refusal::Failed)
    }
}

fn boxed<'a>(answer: impl Future<Output = Result<()>> + Send + 'a) -> Answer<'a, ()> {
    Box::pin(answer)
}

impl Bus for Local {
    fn attach(&self, subscribers: Vec<Arc<dyn Subscriber>>) -> Result<()> {
        self.subscribers.set(subscribers).map_err(|_| Error::internal("BUS_ATTACHED", "the bus has its subscribers already"))
    }

    fn ready(&self) -> Result<()> {
        Ok(())
    }

    fn publish<'a>(&'a self, event: &'a Arc<Delivered>) -> Taken<'a> {
        Box::pin(self.deliver(event))
    }

    fn stop(&self) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Local({})", self.subscribers.get().map_or(0, Vec::len))
    }
}
