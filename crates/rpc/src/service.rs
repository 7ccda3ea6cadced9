//! The stack of a service, read from top to bottom: trace, guard, deadline, auth, access, routes.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use kernel::{Clock, Credential, Cx, Error, Result, Verified};
use prost_reflect::DynamicMessage;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::{ServiceExt as _, service_fn};
use tracing::Instrument;

use crate::answer::{self, Answer};
use crate::claims::Claims;
use crate::deadline::Deadline;
use crate::envelope::{Envelopes, PREFIX_BYTES};
use crate::guard::{self, Checked};
use crate::listen::Peer;
use crate::metrics::Timer;
use crate::refuse::refuse;
use crate::schema::{Method, Schema};
use crate::start::is_open;
use crate::trace::Call;
use crate::{Body, BoxFuture, Http, access, auth};

/// A request body, and the budget of its connection.
type Asked = (Envelopes, Option<Claims>);

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
        Http::new(service_fn(move |request| {
            let (stack, routes) = (stack.clone(), routes.clone());
            async move { Ok::<_, Infallible>(stack.answer(routes, request).await) }
        }))
    }

    async fn answer(&self, routes: Routes, mut request: Request<Body>) -> Response<Body> {
        let call = Call::begin(&mut request, self.schema.clone());
        let mut timer = None;
        let served = caught(self.serve(&call, &mut timer, routes, request)).instrument(call.span.clone()).await;
        let (mut response, going_on) = match served.flatten() {
            Ok((response, going_on)) => (response, Some(going_on)),
            Err(error) => (refuse(error, &call.id), None),
        };
        let code = answer::code(response.headers());
        call.close(&mut response);
        match (going_on, timer, code) {
            (Some((deadline, is_stream)), Some(timer), None) => {
                let (mut head, body) = response.into_parts();
                let answer = Answer::new(body, deadline, is_stream, call, timer);
                head.extensions.insert(answer.life());
                Response::from_parts(head, Body::new(answer))
            }
            (_, timer, code) => {
                timer.into_iter().for_each(|mut timer| timer.end(code.unwrap_or(Code::Unknown)));
                response
            }
        }
    }

    /// The answer's head, and how its body may go on: until when, and whether message after message.
    async fn serve(
        &self,
        call: &Call,
        timer: &mut Option<Timer>,
        routes: Routes,
        request: Request<Body>,
    ) -> Result<(Response<Body>, (Deadline, bool))> {
        let (mut head, body) = request.into_parts();
        let method = guard::head(&self.schema, &head)?;
        *timer = Some(Timer::start(method.clone()));
        let mut deadline = Deadline::of(&method, &head.headers)?;
        name_client(&mut head);
        let response = deadline.enforce(self.handle(call, &method, routes, Request::from_parts(head, body))).await?;
        Ok((response, (deadline, method.descriptor.is_server_streaming())))
    }

    async fn handle(&self, call: &Call, method: &Arc<Method>, routes: Routes, request: Request<Body>) -> Result<Response<Body>> {
        let (mut head, body) = request.into_parts();
        let claims = head.extensions.remove::<Claims>();
        head.extensions.remove::<Cx>();
        let mut envelopes = Envelopes::new(body, method.call.max_request_bytes);
        if method.descriptor.is_client_streaming() {
            let body = self.stream(call, method, &mut head, (envelopes, claims)).await?;
            return routed(routes, Request::from_parts(head, body)).await;
        }
        let (held, _claim) = guard::hold(&mut envelopes, claims.as_ref()).await?;
        self.enter(call, method, &mut head, &held[PREFIX_BYTES..]).await?;
        let response = routed(routes, Request::from_parts(head, Body::new(Full::new(held.clone())))).await?;
        undecodable(method, &held, &response).map_or(Ok(response), Err)
    }

    /// A client stream is let in by its first message; later ones are confined to the same tenant as they pass.
    async fn stream(&self, call: &Call, method: &Arc<Method>, head: &mut http::request::Parts, asked: Asked) -> Result<Body> {
        let (mut envelopes, claims) = asked;
        let first = if method.names.is_empty() { None } else { guard::next(&mut envelopes, claims.as_ref()).await? };
        let message = first.as_ref().map_or(&[][..], |(message, _)| &message[PREFIX_BYTES..]);
        let cx = self.enter(call, method, head, message).await?;
        let method = method.clone();
        let check = move |message: &[u8]| match (&method.access, &cx) {
            (Some(access), Some(cx)) => access::confine(&method, access, cx, message),
            _ => Ok(()),
        };
        Ok(Body::new(Checked::new(first, envelopes, claims, check)))
    }

    /// Auth and access: leaves the context in the request. None for methods that carry no rule.
    async fn enter(&self, call: &Call, method: &Method, head: &mut http::request::Parts, message: &[u8]) -> Result<Option<Cx>> {
        let Some(rule) = &method.access else { return Ok(None) };
        let credential = auth::credential(&head.headers)?;
        let cx = match credential {
            _ if is_open(rule) => access::anonymous(method, rule, message, &call.id)?,
            None => return Err(Error::unauthenticated("CREDENTIAL_MISSING", "sign in first")),
            Some(credential) => {
                let verified = self.verifier.verify(&credential).await?;
                access::admit(rule, (verified, credential), &call.id, self.clock.now())?
            }
        };
        call.is_by(&cx);
        access::confine(method, rule, &cx, message)?;
        head.extensions.insert(cx.clone());
        Ok(Some(cx))
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stack({:?})", self.schema)
    }
}

/// Over a socket the client's address is that of the socket, whatever the request says.
fn name_client(head: &mut http::request::Parts) {
    let Some(Peer(address)) = head.extensions.get::<Peer>() else { return };
    if let Ok(value) = HeaderValue::from_str(&address.ip().to_string()) {
        head.headers.insert(CLIENT_ADDRESS, value);
    }
}

async fn routed(routes: Routes, request: Request<Body>) -> Result<Response<Body>> {
    let Ok(response) = routes.oneshot(request).await;
    Ok(response)
}

/// Runs a future; a panic inside is a failure of the call and of nothing else. Errors: `PANIC`.
pub async fn caught<F: Future>(future: F) -> Result<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panicked(&*panic))),
    })
    .await
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
