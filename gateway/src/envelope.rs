//! gRPC envelopes (one flag byte, four bytes of length, a message) and the reading of bodies whole. No wire and no message type.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use kernel::Error;
use rpc::{Body, Claim, Claims};

use crate::refuse::Refusal;

/// Bytes before each message.
pub(crate) const PREFIX_BYTES: usize = 5;

/// A body that stands still for this long is given up.
const PROGRESS: Duration = Duration::from_secs(10);

/// One uncompressed message in its envelope.
pub(crate) fn pack(message: &[u8]) -> Bytes {
    let mut packed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    packed.put_u8(0);
    // A message is bounded by the method's limit long before it fills 32 bits.
    packed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    packed.put_slice(message);
    packed.freeze()
}

/// The only message in a unary body. Errors: `CARDINALITY` when there are none or several, `ENCODING_UNSUPPORTED` when it
/// is compressed, `BODY_INVALID` when the envelope is torn.
pub(crate) fn unpack(body: &Bytes) -> kernel::Result<Bytes> {
    let cardinality = || Error::unsupported("CARDINALITY", "the call takes exactly one message");
    let torn = || Error::invalid("BODY_INVALID", "the envelope of the message is torn");
    if body.is_empty() {
        return Err(cardinality());
    }
    let (prefix, rest) = body.split_first_chunk::<PREFIX_BYTES>().ok_or_else(torn)?;
    let [flag, length @ ..] = *prefix;
    match flag {
        0 => {}
        1 => return Err(Error::unsupported("ENCODING_UNSUPPORTED", "compressed messages are not accepted here")),
        _ => return Err(torn()),
    }
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| torn())?;
    match rest.len().cmp(&length) {
        std::cmp::Ordering::Less => Err(torn()),
        std::cmp::Ordering::Equal => Ok(body.slice(PREFIX_BYTES..)),
        std::cmp::Ordering::Greater => Err(cardinality()),
    }
}

/// Reads a request body whole, within the budgets of its connection; what it holds of them is kept as long as its bytes.
/// Errors: `MESSAGE_TOO_LARGE` as soon as it is known, `BODY_TOO_SLOW` after ten seconds without progress, `BODY_INVALID`
/// when it breaks off, `OVERLOADED`.
pub(crate) async fn read(mut body: Body, max_bytes: usize, claims: Option<&Claims>) -> Result<(Bytes, Option<Claim>), Refusal> {
    let too_large = || Error::exhausted("MESSAGE_TOO_LARGE", format!("the message is larger than {max_bytes} bytes"));
    let broken = || Error::invalid("BODY_INVALID", "the body broke off");
    if usize::try_from(http_body::Body::size_hint(&body).lower()).is_ok_and(|least| least > max_bytes) {
        return Err(too_large().into());
    }
    let mut read = BytesMut::new();
    let mut claim = claim(http_body::Body::size_hint(&body).upper(), max_bytes, claims).await?;
    loop {
        let slow = |_| Error::unavailable("BODY_TOO_SLOW", "the body made no progress for ten seconds");
        let frame = match tokio::time::timeout(PROGRESS, body.frame()).await.map_err(slow)? {
            None => return Ok((read.freeze(), claim)),
            Some(Ok(frame)) => frame,
            Some(Err(status)) if kernel::error_info(&status).is_some() => return Err(status.into()),
            Some(Err(status)) => return Err(broken().because(status).into()),
        };
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > max_bytes {
            return Err(too_large().into());
        }
        read.extend_from_slice(&data);
        if let Some(claim) = &mut claim {
            claim.holds(read.len())?;
        }
    }
}

/// For a body whose length nobody says, as much as it may have.
async fn claim(most_bytes: Option<u64>, max_bytes: usize, claims: Option<&Claims>) -> kernel::Result<Option<Claim>> {
    let most_bytes = most_bytes.and_then(|most| usize::try_from(most).ok());
    match (claims, most_bytes.unwrap_or(max_bytes).min(max_bytes)) {
        (None, _) | (_, 0) => Ok(None),
        (Some(claims), bytes) => claims.take(bytes).await.map(Some),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn refused(body: &[u8]) -> &'static str {
        unpack(&Bytes::copy_from_slice(body)).unwrap_err().reason()
    }

    #[test]
    fn exactly_one_whole_plain_message() {
        assert_eq!(unpack(&pack(b"abc")).unwrap(), "abc");
        assert_eq!(unpack(&pack(b"")).unwrap(), "");
        assert_eq!(refused(b""), "CARDINALITY");
        assert_eq!(refused(&[pack(b"a"), pack(b"b")].concat()), "CARDINALITY");
        assert_eq!(refused(&[1, 0, 0, 0, 0]), "ENCODING_UNSUPPORTED");
        assert_eq!(refused(&[0, 0, 0]), "BODY_INVALID");
        assert_eq!(refused(&[0, 0, 0, 0, 9, 1]), "BODY_INVALID");
        assert_eq!(refused(&[0x80, 0, 0, 0, 0]), "BODY_INVALID");
    }

    #[tokio::test]
    async fn bodies_are_bounded_before_and_while_they_are_read() {
        let body = |bytes: &'static [u8]| Body::new(http_body_util::Full::new(Bytes::from_static(bytes)));
        assert_eq!(read(body(b"12345"), 5, None).await.unwrap().0, "12345");
        assert_eq!(read(body(b"123456"), 5, None).await.unwrap_err().reason(), "MESSAGE_TOO_LARGE");
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(bytes: Vec<u8>) {
            if let Ok(message) = unpack(&Bytes::from(bytes.clone())) {
                prop_assert_eq!(pack(&message), bytes);
            }
        }
    }
}
