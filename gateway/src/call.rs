//! What every wire becomes: one gRPC call to a peer, and its answer. Must not know how any wire spells either.

use std::net::IpAddr;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Full, Limited};
use kernel::Error;
use rpc::{Body, CallId, Claim, Claims, Deadline, Hub, Method};
use tonic::{Code, Status};

use crate::envelope;
use crate::headers;
use crate::refuse::Refusal;
use crate::session::Session;
use crate::wires::Wire;

/// One request as it came, apart from its body.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) head: Parts,
    pub(crate) wire: Wire,
    /// False when the content type is of the wire's family with a codec that nobody here has.
    pub(crate) knows_codec: bool,
    pub(crate) call_id: CallId,
    /// Where it comes from, if that can be told.
    pub(crate) address: Option<IpAddr>,
}

impl Visit {
    /// The budgets of its connection.
    pub(crate) fn claims(&self) -> Option<&Claims> {
        self.head.extensions.get()
    }

    /// A body that the peer reads.
    pub(crate) fn unread(&self) -> Reading {
        Reading::Peer(self.claims().cloned())
    }
}

/// Who reads a body from its connection.
#[derive(Debug)]
pub(crate) enum Reading {
    /// The peer will, within these budgets.
    Peer(Option<Claims>),
    /// It was read here, and holds this much of them.
    Done(Option<Claim>),
}

/// What a wire makes of a request.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    /// Complete: nothing is added on the way.
    pub(crate) headers: HeaderMap,
    /// gRPC envelopes.
    pub(crate) body: Body,
    pub(crate) reading: Reading,
}

/// What the peer answers: gRPC, `set-cookie` only ours.
pub(crate) type Reply = Response<Body>;

/// Calls the peer. In a session, tokens move between cookie and messages on the way, within the deadline; what is left of
/// that is the peer's wherever the body was read here. There is a deadline wherever there is a session or such a body.
pub(crate) async fn send(
    hub: &Hub,
    session: Option<Session<'_>>,
    mut call: Call<'_>,
    mut deadline: Option<Deadline>,
) -> Result<Reply, Refusal> {
    if let Some(session) = &session {
        match &mut deadline {
            Some(deadline) => deadline.enforce(session.inward(&mut call)).await?,
            None => session.inward(&mut call).await?,
        }
        // An answer that holds a secret is never compressed, and has to be readable here.
        call.headers.remove("grpc-accept-encoding");
    }
    let mut request = Request::new(call.body);
    // A claim is kept until the peer has answered.
    let (claims, _claim) = match call.reading {
        Reading::Peer(claims) => (claims, None),
        Reading::Done(claim) => {
            // In place of what the caller asked for: a second value would make the header ambiguous.
            if let Some(left) = deadline.as_ref().map(Deadline::left).transpose()?.flatten() {
                call.headers.insert(headers::GRPC_TIMEOUT, left);
            }
            (None, claim)
        }
    };
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = call.method.uri.clone();
    *request.headers_mut() = call.headers;
    let mut reply = hub.edge(call.method.area.clone()).pass_on(request, claims).await;
    headers::outward(reply.headers_mut());
    match session {
        Some(session) => session.outward(reply, call.method.call.max_answer_bytes).await,
        None => Ok(reply),
    }
}

/// A unary answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    /// Envelopes as they came.
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    /// Why the call failed, if it did.
    pub(crate) failure: Option<Status>,
}

impl Answer {
    /// Errors: Internal `ANSWER_TOO_LARGE`; whatever broke the answer off.
    pub(crate) async fn read(reply: Reply, max_bytes: usize) -> Result<Self, Refusal> {
        let (head, body) = reply.into_parts();
        let too_large = || Error::internal("ANSWER_TOO_LARGE", format!("the answer is larger than {max_bytes} bytes"));
        let broken = |cause: Box<dyn std::error::Error + Send + Sync>| match cause.downcast::<Status>() {
            Ok(status) => Refusal::from(*status),
            Err(_) => too_large().into(),
        };
        let collected = Limited::new(body, max_bytes + envelope::PREFIX_BYTES).collect().await.map_err(broken)?;
        let trailers = collected.trailers().cloned();
        let status = Status::from_header_map(&head.headers).or_else(|| trailers.as_ref().and_then(Status::from_header_map));
        let status = status.ok_or_else(|| Error::internal("ANSWER_MALFORMED", "the answer has no status"))?;
        let failure = (status.code() != Code::Ok).then_some(status);
        Ok(Self { headers: head.headers, body: collected.to_bytes(), trailers, failure })
    }

    /// The only message. Errors: the failure itself; Internal `ANSWER_MALFORMED`.
    pub(crate) fn message(&self) -> Result<Bytes, Refusal> {
        if let Some(failure) = &self.failure {
            let mut refusal = Refusal::from(failure.clone());
            headers::told(&self.headers, &[], &mut refusal.headers);
            return Err(refusal);
        }
        let malformed = |cause| Error::internal("ANSWER_MALFORMED", "the answer is not one message").because(cause);
        Ok(envelope::unpack(&self.body).map_err(malformed)?)
    }

    /// The answer as it goes on.
    pub(crate) fn into_reply(self) -> Reply {
        let mut reply = Response::new(match self.trailers {
            None => Body::new(Full::new(self.body)),
            Some(trailers) => Body::new(Full::new(self.body).with_trailers(std::future::ready(Some(Ok(trailers))))),
        });
        *reply.headers_mut() = self.headers;
        reply
    }
}
