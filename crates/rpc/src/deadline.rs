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
use crate::trace::Call;

/// The header of gRPC.
pub(crate) const TIMEOUT: &str = "grpc-timeout";

/// The end of one call. Moves from the handler to the answer's body; its timer is made when somebody has to wait.
#[derive(Debug)]
pub struct Deadline {
    ends: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// The stream lived as long as its method allows; the client did nothing wrong.
    of_lifetime: bool,
}

impl Deadline {
    /// The deadline of a call that begins now. Errors: `DEADLINE_INVALID`.
    pub fn of(method: &Method, headers: &HeaderMap) -> Result<Self> {
        Ok(Self::from(method, asked(headers)?, Instant::now()))
    }

    /// The deadline of a call that asked for so much time when it began.
    pub(crate) fn from(method: &Method, asked: Option<Duration>, began: Instant) -> Self {
        let limits = &method.call;
        let asked = asked.map(|asked| asked.min(limits.max_deadline)).or(limits.deadline);
        let lifetime = method.is_stream().then_some(limits.stream_lifetime);
        let of_lifetime = lifetime.is_some_and(|lifetime| asked.is_none_or(|asked| asked >= lifetime));
        let length = [asked, lifetime].into_iter().flatten().min().unwrap_or(limits.max_deadline);
        Self { ends: began + length, timer: None, of_lifetime }
    }

    /// The moment itself.
    pub(crate) fn ends(&self) -> Instant {
        self.ends
    }

    /// Whether time is up; if not, the task is woken when it is.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(self.ends)));
        timer.as_mut().poll(cx).map(|()| expiry(self.of_lifetime))
    }

    /// What is left, as `grpc-timeout` says it; none for a stream that lives as long as it may. Errors:
    /// `DEADLINE_EXCEEDED` when nothing is left.
    pub fn left(&self) -> Result<Option<HeaderValue>> {
        if self.of_lifetime {
            return Ok(None);
        }
        let rest = self.ends.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Err(Error::timeout());
        }
        let unwritable = |cause| Error::internal("HEADER_INVALID", "a header cannot be written").because(cause);
        HeaderValue::try_from(spell(rest)).map(Some).map_err(unwritable)
    }

    /// Runs a call until its headers. When time is up the call is dropped, and with nothing left it does not run. Errors:
    /// `DEADLINE_EXCEEDED`, `STREAM_LIFETIME`.
    pub async fn enforce<T, E: From<Error>>(&mut self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.enforce_from(Instant::now(), pin!(call)).await
    }

    /// The same, at a moment that is known, in place.
    pub(crate) async fn enforce_from<T, E: From<Error>>(
        &mut self,
        now: Instant,
        mut call: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, E> {
        // The timer is not as fine as the clock.
        if self.ends <= now {
            return Err(expiry(self.of_lifetime).into());
        }
        poll_fn(|cx| {
            // What answers at once needs no timer.
            if self.timer.is_some()
                && let Poll::Ready(error) = self.poll(cx)
            {
                return Poll::Ready(Err(error.into()));
            }
            match call.as_mut().poll(cx) {
                Poll::Pending if self.timer.is_none() => self.poll(cx).map(|error| Err(error.into())),
                polled => polled,
            }
        })
        .await
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
    let Some(ends) = Call::end_of_this() else { return Ok(None) };
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
    read(value, second.is_some()).map(Some)
}

/// What one header asks for, if it is the only one. Errors: `DEADLINE_INVALID`.
pub(crate) fn read(value: &HeaderValue, is_ambiguous: bool) -> Result<Duration> {
    let parsed = value.to_str().ok().filter(|_| !is_ambiguous).and_then(parse);
    parsed.ok_or_else(|| Error::invalid("DEADLINE_INVALID", "grpc-timeout is 1 to 8 digits and one of H M S m u n"))
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
        let mut over = Deadline { ends: Instant::now(), timer: None, of_lifetime: false };
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
