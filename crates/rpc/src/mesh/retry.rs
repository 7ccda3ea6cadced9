//! When a call that failed may be made once more. Decides only; connections are the pool's.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Response};
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{Kind, MethodDescriptor};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::envelope::PREFIX_BYTES;
use crate::jitter;
use crate::names::{self, NameField};

/// Attempts at one call, the first one included.
const MAX_ATTEMPTS: u32 = 3;
/// Most pauses before the second attempt; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How far back the budget looks.
const WINDOW_SECONDS: u64 = 10;
/// Of the calls in the window, one in so many may be a repeat.
const CALLS_A_REPEAT: u32 = 10;
/// Repeats a second that are always there.
const FREE_REPEATS: u32 = 3;
/// Set on repeats; whoever gets it repeats nothing, so that layers do not multiply.
const ATTEMPTS: &str = "grpc-previous-rpc-attempts";
/// A server's own word on repeats: milliseconds to wait, negative for never.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Whether a call ended with UNAVAILABLE before the first byte of its answer.
pub(crate) fn is_unavailable<B>(response: &Response<B>) -> bool {
    response.headers().get(Status::GRPC_STATUS).is_some_and(|status| Code::from_bytes(status.as_bytes()) == Code::Unavailable)
}

/// The repeats of one call.
#[derive(Debug)]
pub(crate) struct Repeats {
    made: u32,
    inherited: bool,
    /// A stream that was refused unread has been sent again.
    sent_again: bool,
}

impl Repeats {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self { made: 0, inherited: headers.contains_key(ATTEMPTS), sent_again: false }
    }

    /// Once for each call, whatever its method: the peer has not looked at it.
    pub(crate) fn may_send_again(&mut self) -> bool {
        !std::mem::replace(&mut self.sent_again, true)
    }

    /// The pause before another attempt at an idempotent call; none when there is to be none. `answer`: what the peer
    /// said, if it did.
    pub(crate) fn pause(&mut self, answer: Option<&HeaderMap>, budget: &Budget, ends: Option<Instant>) -> Option<Duration> {
        if self.inherited || self.made + 1 >= MAX_ATTEMPTS {
            return None;
        }
        let pause = match answer.and_then(|headers| headers.get(PUSHBACK)) {
            Some(told) => Duration::from_millis(told.to_str().ok()?.parse().ok()?),
            None => jitter::up_to(FIRST_PAUSE.saturating_mul(1 << self.made.min(8)).min(LONGEST_PAUSE)),
        };
        let in_time = ends.is_none_or(|ends| Instant::now() + pause < ends);
        (in_time && budget.may_repeat()).then(|| {
            self.made += 1;
            pause
        })
    }

    pub(crate) fn stamp(&self, headers: &mut HeaderMap) {
        if self.made > 0 {
            headers.insert(ATTEMPTS, self.made.into());
        }
    }
}

/// Whether this call may have its effect twice: its method says so, or the request has an id that makes two of them one.
pub(crate) fn is_idempotent(method: &MethodDescriptor, body: &[u8]) -> bool {
    let level = method.method_descriptor_proto().options.as_ref().map(|options| options.idempotency_level());
    level.is_some_and(|level| level != IdempotencyLevel::IdempotencyUnknown) || has_request_id(method, body)
}

fn has_request_id(method: &MethodDescriptor, body: &[u8]) -> bool {
    let field = method.input().get_field_by_name("request_id").filter(|field| matches!(field.kind(), Kind::String));
    let (Some(field), Some(message)) = (field, body.get(PREFIX_BYTES..)) else { return false };
    let wanted = [NameField { path: vec![field.number()], field: String::new(), app_id: false, patterns: Vec::new() }];
    names::find(&wanted, message).is_ok_and(|found| !found.is_empty())
}

/// How many repeats a peer gets: a share of its calls, and a few beside.
#[derive(Debug)]
pub(crate) struct Budget {
    began: Instant,
    window: Mutex<[Second; WINDOW_SECONDS as usize]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    calls: u32,
    repeats: u32,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), window: Mutex::default() }
    }

    /// A call begins.
    pub(crate) fn called(&self) {
        self.with(|second, _| second.calls = second.calls.saturating_add(1));
    }

    fn may_repeat(&self) -> bool {
        self.with(|second, (calls, repeats)| {
            let free = FREE_REPEATS * u32::try_from(WINDOW_SECONDS).unwrap_or(u32::MAX);
            let allowed = repeats < calls / CALLS_A_REPEAT + free;
            second.repeats += u32::from(allowed);
            allowed
        })
    }

    /// This second's counts, and the sums of the window.
    fn with<T>(&self, count: impl FnOnce(&mut Second, (u32, u32)) -> T) -> T {
        let number = self.began.elapsed().as_secs();
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = window.iter().filter(|second| second.number + WINDOW_SECONDS > number);
        let sums = fresh
            .fold((0_u32, 0_u32), |(calls, repeats), second| (calls.saturating_add(second.calls), repeats.saturating_add(second.repeats)));
        let slot = usize::try_from(number % WINDOW_SECONDS).unwrap_or_default();
        let second = &mut window[slot];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        count(second, sums)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn repeats_are_a_tenth_of_the_calls_and_a_few() {
        let budget = Budget::new();
        let granted = |budget: &Budget| (0..1_000).filter(|_| budget.may_repeat()).count();
        assert_eq!(granted(&budget), 30);
        (0..1_000).for_each(|_| budget.called());
        assert_eq!(granted(&budget), 100);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(granted(&budget), 30, "what is long ago counts no more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_tried_three_times_within_its_deadline() {
        let (budget, mut repeats) = (Budget::new(), Repeats::of(&HeaderMap::new()));
        let soon = Some(Instant::now() + Duration::from_secs(5));
        let pauses: Vec<_> = (0..4).map(|_| repeats.pause(None, &budget, soon)).collect();
        assert!(pauses[0].unwrap() <= FIRST_PAUSE && pauses[1].is_some());
        assert_eq!(pauses[2..], [None, None]);
        assert_eq!(Repeats::of(&HeaderMap::new()).pause(None, &budget, Some(Instant::now())), None);
        let told = |value: &'static str| HeaderMap::from_iter([(PUSHBACK.parse().unwrap(), value.parse().unwrap())]);
        let pause = |headers: &HeaderMap| Repeats::of(&HeaderMap::new()).pause(Some(headers), &budget, soon);
        assert_eq!((pause(&told("7")), pause(&told("-1"))), (Some(Duration::from_millis(7)), None));
        let mut headers = HeaderMap::new();
        repeats.stamp(&mut headers);
        assert_eq!(headers[ATTEMPTS], "2");
        assert_eq!(Repeats::of(&headers).pause(None, &budget, soon), None);
    }
}
