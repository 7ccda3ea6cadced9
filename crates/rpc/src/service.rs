//! The stack of a service, read from top to bottom: trace, guard, deadline, auth, access, routes.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, Request, Response};
use http_body_util::Full;
use kernel::{Clock, Credential, Cx, Error, Result, Verified};
use prost_reflect::DynamicMessage;
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use crate::answer::{self, Answer};
use crate::claims::Claims;
use crate::deadline::Deadline;
use crate::envelope::{Envelopes, PREFIX_BYTES};
use crate::guard::{self, Checked};
use crate::heads::Seen;
use crate::listen::{Peer, address_header};
use crate::metrics::Timer;
use crate::refuse::refuse;
use crate::schema::{Method, Schema};
use crate::start::is_open;
use crate::trace::Call;
use crate::{Body, BoxFuture, Http, access, auth, deadline, names};

/// A request body, and the budget of its connection.
type Envelope = (Envelopes, Option<Claims>);

/// A request that its head let in.
struct Asked {
    head: Parts,
    body: Body,
    credential: Result<Option<Credential>>,
}

/// How a call goes, as far as that is known.
#[derive(Default)]
struct Course {
    timer: Option<Timer>,
    deadline: Option<Deadline>,
    is_stream: bool,
}

/// Where the caller sits, set by whoever holds the socket and by nobody else.
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("mozaiks-client-address");

/// Says whose a credential is. Reads fresh: what it answers is good for this one call.
pub trait Verifier: Send + Sync + 'static {
    /// Verifies a well-formed bearer token. Errors: Unauthenticated, with a reason of the verifier's.
    fn verify<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Verified>>;
}

/// A service as its `start` hands it over.
#[derive(Clone, Debug)]
pub struct Service {
    /// The area, such as `identity`.
    pub name: &'static str,
    /// Its proto services.
    pub routes: Routes,
}

/// What every service of a node stands behind. Cheap to clone.
#[derive(Clone)]
pub struct Stack {
    /// The contracts.
    pub schema: Arc<Schema>,
    /// Who verifies credentials.
    pub verifier: Arc<dyn Verifier>,
    /// The present time, for the age of sign-in checks.
    pub clock: Clock,
}

impl Stack {
    /// Puts a service behind trace, guard, deadline, auth and access. Every failure is a gRPC answer, a panic INTERNAL.
    pub fn wrap(&self, service: Service) -> Http {
        let stack = Arc::new(self.clone());
        let routes = service.routes.prepare();
        Http::of(move |request| {
            let (stack, routes) = (stack.clone(), routes.clone());
            async move { stack.answer(routes, request).await }
        })
    }

    async fn answer(&self, routes: Routes, request: Request<Body>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let (call, mut course) = (Call::begin(&mut head, &self.schema), Course::default());
        let served = {
            let mut serving = pin!(self.serve(&call, &mut course, routes, (head, body)));
            poll_fn(|cx| call.serve(|| poll_caught(serving.as_mut(), cx))).await.flatten()
        };
        let is_served = served.is_ok();
        let mut response = served.unwrap_or_else(|error| refuse(error, call.id()));
        let code = answer::code(response.headers());
        call.close(&mut response);
        match (course.deadline.filter(|_| is_served), course.timer, code) {
            (Some(deadline), Some(timer), None) => {
                let (mut head, body) = response.into_parts();
                let answer = Answer::new(body, deadline, course.is_stream, call, timer);
                head.extensions.insert(answer.life());
                Response::from_parts(head, Body::new(answer))
            }
            (_, timer, code) => {
                timer.into_iter().for_each(|mut timer| timer.end(code.unwrap_or(Code::Unknown)));
                response
            }
        }
    }

    /// The answer's head; its body goes on as `course` says.
    async fn serve(&self, call: &Call, course: &mut Course, routes: Routes, request: (Parts, Body)) -> Result<Response<Body>> {
        let ((mut head, body), now) = (request, Instant::now());
        let seen = Seen::of(&head.headers);
        call.is_traced(seen.trace.only());
        let method = guard::head(&head.method, &seen, call.method())?;
        course.timer = Some(Timer::start(method.clone(), now));
        let asked = seen.timeout.first().map(|timeout| deadline::read(timeout, seen.timeout.is_ambiguous())).transpose()?;
        let credential = auth::credential(&seen);
        course.is_stream = method.descriptor.is_server_streaming();
        let deadline = course.deadline.insert(Deadline::from(method, asked, now));
        call.ends(deadline.ends());
        name_client(&mut head);
        let handling = pin!(self.handle(call, method, routes, Asked { head, body, credential }));
        deadline.enforce_from(now, handling).await
    }

    async fn handle(&self, call: &Call, method: &Arc<Method>, routes: Routes, asked: Asked) -> Result<Response<Body>> {
        let Asked { mut head, body, credential } = asked;
        let claims = head.extensions.remove::<Claims>();
        head.extensions.remove::<Cx>();
        let mut envelopes = Envelopes::new(body, method.call.max_request_bytes);
        if method.descriptor.is_client_streaming() {
            let body = self.stream(call, method, (&mut head, credential), (envelopes, claims)).await?;
            return routed(routes, Request::from_parts(head, body)).await;
        }
        let (held, _claim) = guard::hold(&mut envelopes, claims.as_ref()).await?;
        if let Some(cx) = self.enter(call, method, credential, &held[PREFIX_BYTES..]).await? {
            head.extensions.insert(cx);
        }
        let response = routed(routes, Request::from_parts(head, Body::new(Full::new(held.clone())))).await?;
        undecodable(method, &held, &response).map_or(Ok(response), Err)
    }

    /// A client stream is let in by its first message; later ones are confined to the same tenant as they pass.
    async fn stream(
        &self,
        call: &Call,
        method: &Arc<Method>,
        asked: (&mut Parts, Result<Option<Credential>>),
        envelope: Envelope,
    ) -> Result<Body> {
        let ((head, credential), (mut envelopes, claims)) = (asked, envelope);
        let first = if method.names.is_empty() { None } else { guard::next(&mut envelopes, claims.as_ref()).await? };
        let message = first.as_ref().map_or(&[][..], |(message, _)| &message[PREFIX_BYTES..]);
        let cx = self.enter(call, method, credential, message).await?;
        if let Some(cx) = &cx {
            head.extensions.insert(cx.clone());
        }
        let method = method.clone();
        let check = move |message: &[u8]| match (&method.access, &cx) {
            (Some(access), Some(cx)) => access::confine(access, cx, &names::find(&method.names, message)?, None),
            _ => Ok(()),
        };
        Ok(Body::new(Checked::new(first, envelopes, claims, check)))
    }

    /// Auth and access: the context of the call. None for methods that carry no rule.
    async fn enter(&self, call: &Call, method: &Method, credential: Result<Option<Credential>>, message: &[u8]) -> Result<Option<Cx>> {
        let Some(rule) = &method.access else { return Ok(None) };
        let ((cx, first), found) = match credential? {
            _ if is_open(rule) => {
                let found = names::find(&method.names, message)?;
                (access::anonymous(method, rule, &found, call.id())?, found)
            }
            None => return Err(Error::unauthenticated("CREDENTIAL_MISSING", "sign in first")),
            Some(credential) => {
                let verified = self.verifier.verify(&credential).await?;
                let cx = access::admit(rule, (verified, credential), call.id(), self.clock.now())?;
                call.is_by(&cx);
                ((cx, None), names::find(&method.names, message)?)
            }
        };
        call.is_by(&cx);
        access::confine(rule, &cx, &found, first)?;
        Ok(Some(call.trace(cx)))
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stack({:?})", self.schema)
    }
}

/// Over a socket the client's address is that of the socket, whatever the request says.
fn name_client(head: &mut Parts) {
    if let Some(Peer(address)) = head.extensions.get::<Peer>() {
        head.headers.insert(CLIENT_ADDRESS, address_header(address.ip()));
    }
}

async fn routed(routes: Routes, request: Request<Body>) -> Result<Response<Body>> {
    let Ok(response) = routes.oneshot(request).await;
    Ok(response)
}

/// Runs a future; a panic inside is a failure of the call and of nothing else. Errors: `PANIC`.
pub async fn caught<F: Future>(future: F) -> Result<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| poll_caught(future.as_mut(), cx)).await
}

fn poll_caught<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Result<F::Output>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panicked(&*panic))),
    }
}

pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    Error::internal("PANIC", text.unwrap_or_else(|| "a panic without a text".into()))
}

/// tonic answers INTERNAL to bytes that are no such message; whose fault it is, only the bytes can tell.
fn undecodable(method: &Method, held: &Bytes, response: &Response<Body>) -> Option<Error> {
    let status = response.extensions().get::<Status>().filter(|status| status.code() == Code::Internal)?;
    if kernel::error_info(status).is_some() {
        return None;
    }
    let cause = DynamicMessage::decode(method.descriptor.input(), &held[PREFIX_BYTES..]).err()?;
    Some(Error::invalid("BODY_INVALID", "the message cannot be read").because(cause))
}
