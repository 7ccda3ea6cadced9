//! Calls into a service, kept apart from us: a panic and a silence are failures like any other, and each call has its span.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use kernel::{Cx, Error, Result};
use storage::Answer;
use tracing::Instrument as _;

use crate::contract::Subscriber;
use crate::event::Delivered;

/// Longest time that a subscriber gets for one event.
pub(crate) const HEARING: Duration = Duration::from_secs(10);

/// Hands an event to a subscriber, in the trace of the change that it tells of. Errors: its own, `HANDLER_PANICKED`, `DEADLINE_EXCEEDED`.
pub(crate) async fn hear(subscriber: &dyn Subscriber, event: &Delivered) -> Result<()> {
    let cx = Cx::system(event.tenant.clone(), subscriber.name()).traced(&event.trace);
    let (consumer, trace) = (subscriber.name(), &*event.trace);
    let span = tracing::info_span!("event", consumer, tenant = %event.tenant, event = event.id, kind = event.kind, trace);
    let heard = async {
        tracing::debug!("heard");
        within(HEARING, || subscriber.hear(&cx, event)).await
    };
    heard.instrument(span).await
}

/// Runs a call into a service. Errors: its own, `HANDLER_PANICKED`, `DEADLINE_EXCEEDED`.
pub(crate) async fn within<'a>(limit: Duration, begin: impl FnOnce() -> Answer<'a, ()>) -> Result<()> {
    let mut answer = catch_unwind(AssertUnwindSafe(begin)).map_err(|_| panicked())?;
    let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(_) => Poll::Ready(Err(panicked())),
    });
    tokio::time::timeout(limit, caught).await.unwrap_or_else(|_| Err(Error::timeout()))
}

fn panicked() -> Error {
    Error::internal("HANDLER_PANICKED", "a subscriber or worker panicked")
}

/// All answers, worked for at the same time, in the order of the futures.
pub(crate) async fn all<'a, T>(futures: Vec<Pin<Box<dyn Future<Output = T> + Send + 'a>>>) -> Vec<T> {
    let mut answers: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    let mut futures: Vec<_> = futures.into_iter().map(Some).collect();
    poll_fn(|cx| {
        for (future, answer) in futures.iter_mut().zip(&mut answers) {
            let ready = future.as_mut().map_or(Poll::Pending, |future| future.as_mut().poll(cx));
            if let Poll::Ready(value) = ready {
                (*future, *answer) = (None, Some(value));
            }
        }
        if futures.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_silence_are_failures() {
        let now = within(HEARING, || panic!("at once")).await.unwrap_err();
        let later = within(HEARING, || {
            Box::pin(async {
                tokio::task::yield_now().await;
                panic!("later")
            })
        })
        .await
        .unwrap_err();
        let silent = within(HEARING, || Box::pin(std::future::pending())).await.unwrap_err();
        assert_eq!([now.reason(), later.reason(), silent.reason()], ["HANDLER_PANICKED", "HANDLER_PANICKED", "DEADLINE_EXCEEDED"]);
        within(HEARING, || Box::pin(async { Ok(()) })).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn all_wait_together() {
        let begun = tokio::time::Instant::now();
        let slow = |seconds: u64| -> Pin<Box<dyn Future<Output = u64> + Send>> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                seconds
            })
        };
        assert_eq!(all(vec![slow(3), slow(1), slow(2)]).await, [3, 1, 2]);
        assert_eq!(begun.elapsed().as_secs(), 3);
    }
}
