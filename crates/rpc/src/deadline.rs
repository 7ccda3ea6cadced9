//! How long a call may take: read strictly, bounded by its method, enforced before the headers here and after them by the
//! answer's body. The rest travels on to peers.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use kernel::{Error, Result};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::schema::Method;

/// The header of gRPC.
pub(crate) const TIMEOUT: &str = "grpc-timeout";

tokio::task_local! {
    /// When the call that this task is serving ends.
    static ENDS: Instant;
}

/// The end of one call. Cheap to make once; moves from the handler to the answer's body.
#[derive(Debug)]
pub struct Deadline {
    sleep: Pin<Box<Sleep>>,
    /// The stream lived as long as its method allows; the client did nothing wrong.
    of_lifetime: bool,
}

impl Deadline {
    /// The deadline of a call that begins now. Errors: `DEADLINE_INVALID`.
    pub fn of(method: &Method, headers: &HeaderMap) -> Result<Self> {
        let limits = &method.call;
        let asked = asked(headers)?.map(|asked| asked.min(limits.max_deadline)).or(limits.deadline);
        let lifetime = method.is_stream().then_some(limits.stream_lifetime);
        let of_lifetime = lifetime.is_some_and(|lifetime| asked.is_none_or(|asked| asked >= lifetime));
        let length = [asked, lifetime].into_iter().flatten().min().unwrap_or(limits.max_deadline);
        Ok(Self { sleep: Box::pin(sleep_until(Instant::now() + length)), of_lifetime })
    }

    /// The moment itself.
    pub(crate) fn ends(&self) -> Instant {
        self.sleep.deadline()
    }

    /// Whether time is up.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let of_lifetime = self.of_lifetime;
        self.sleep.as_mut().poll(cx).map(|()| expiry(of_lifetime))
    }

    /// What is left, as `grpc-timeout` says it; none for a stream that lives as long as it may. Errors:
    /// `DEADLINE_EXCEEDED` when nothing is left.
    pub fn left(&self) -> Result<Option<HeaderValue>> {
        if self.of_lifetime {
            return Ok(None);
        }
        let rest = self.ends().saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Err(Error::timeout());
        }
        let unwritable = |cause| Error::internal("HEADER_INVALID", "a header cannot be written").because(cause);
        HeaderValue::try_from(spell(rest)).map(Some).map_err(unwritable)
    }

    /// Runs a call until its headers. When time is up the call is dropped, and with nothing left it does not run. Errors:
    /// `DEADLINE_EXCEEDED`, `STREAM_LIFETIME`.
    pub async fn enforce<T, E: From<Error>>(&mut self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        // The timer is not as fine as the clock.
        if self.ends() <= Instant::now() {
            return Err(expiry(self.of_lifetime).into());
        }
        let call = ENDS.scope(self.sleep.deadline(), call);
        let mut call = pin!(call);
        tokio::select! {
            biased;
            error = poll_fn(|cx| self.poll(cx)) => Err(error.into()),
            answer = &mut call => answer,
        }
    }

    /// Lets what is polled after the headers see the deadline too.
    pub(crate) fn within<T>(&self, poll: impl FnOnce() -> T) -> T {
        ENDS.sync_scope(self.sleep.deadline(), poll)
    }
}

fn expiry(of_lifetime: bool) -> Error {
    if of_lifetime {
        return Error::unavailable("STREAM_LIFETIME", "the stream has lived as long as it may; open it again").retry_after(Duration::ZERO);
    }
    Error::timeout()
}

/// What is left for peers and storage, if this task serves a call: the rest minus 10 %, at least 2 and at most 500 ms.
/// None in background tasks. Errors: `DEADLINE_EXCEEDED` when nothing is left.
pub fn time_left() -> Result<Option<Duration>> {
    let Ok(ends) = ENDS.try_with(|ends| *ends) else { return Ok(None) };
    let rest = ends.saturating_duration_since(Instant::now());
    let margin = (rest / 10).clamp(Duration::from_millis(2), Duration::from_millis(500));
    match rest.checked_sub(margin) {
        Some(rest) if !rest.is_zero() => Ok(Some(rest)),
        _ => Err(Error::timeout()),
    }
}

/// `grpc-timeout` of this length.
pub(crate) fn spell(rest: Duration) -> String {
    // Eight digits of milliseconds are more than a day, beyond every limit of ours.
    format!("{}m", rest.as_millis().clamp(1, 99_999_999))
}

/// What the headers ask for. Errors: `DEADLINE_INVALID`.
pub(crate) fn asked(headers: &HeaderMap) -> Result<Option<Duration>> {
    let mut values = headers.get_all(TIMEOUT).iter();
    let (Some(value), second) = (values.next(), values.next()) else { return Ok(None) };
    let parsed = value.to_str().ok().filter(|_| second.is_none()).and_then(parse);
    parsed.map(Some).ok_or_else(|| Error::invalid("DEADLINE_INVALID", "grpc-timeout is 1 to 8 digits and one of H M S m u n"))
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_with_nothing_left_is_not_begun() {
        let mut over = Deadline { sleep: Box::pin(sleep_until(Instant::now())), of_lifetime: false };
        let refused = over.enforce(async { Ok::<_, Error>("it ran") }).await;
        assert_eq!(refused.map_err(|error| error.reason()), Err("DEADLINE_EXCEEDED"));
    }

    #[test]
    fn timeouts_are_read_strictly() {
        assert_eq!(parse("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(parse("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(parse("0m"), Some(Duration::ZERO));
        for bad in ["", "S", "1", "123456789m", "-1S", "+1S", "1.5S", "1s", " 1S", "1S ", "1SS", "١S", "1é"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse(&spell(Duration::from_micros(1))), Some(Duration::from_millis(1)));
    }
}
