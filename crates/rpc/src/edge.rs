//! One peer as seen by another: the same line in process and over the network. Carries headers, never extensions, but for
//! the budgets that the gateway's bodies are still to be read within.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use kernel::{Credential, Cx, Error, Result};
use tower::Service;
use tracing::info;

use crate::claims::Claims;
use crate::refuse::{CALL_ID, call_id, refuse};
use crate::{Body, BoxFuture, Http, Hub, deadline};

/// The way to one peer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Edge {
    hub: Hub,
    name: Arc<str>,
}

/// An edge on behalf of one call; what generated clients are built on.
#[derive(Clone, Debug)]
pub struct Channel {
    edge: Edge,
    credential: Option<Credential>,
    call_id: String,
    trace: String,
}

/// Which trace a call is part of (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl Edge {
    pub(crate) fn new(hub: Hub, name: Arc<str>) -> Self {
        Self { hub, name }
    }

    /// The peer on behalf of this call: token, call id, trace and the rest of the deadline travel on.
    pub fn on(&self, cx: &Cx) -> Channel {
        let (call_id, trace) = (cx.call_id().to_owned(), cx.trace().to_owned());
        Channel { edge: self.clone(), credential: cx.credential().cloned(), call_id, trace }
    }

    /// The peer as it is, with whatever headers a request has. For the gateway alone. Of the extensions `Claims` travels
    /// on and nothing else: a peer in process reads the body from the caller's own connection.
    pub fn raw(&self) -> Http {
        let edge = self.clone();
        Http::of(move |mut request: Request<Body>| {
            let edge = edge.clone();
            let claims = request.extensions_mut().remove::<Claims>();
            async move { edge.pass_on(request, claims).await }
        })
    }

    /// One call of the same kind, its body within these budgets. Never fails: a missing peer is an answer, `NO_READY_PEER`.
    pub async fn pass_on(&self, mut request: Request<Body>, claims: Option<Claims>) -> Response<Body> {
        request.extensions_mut().clear();
        claims.map(|claims| request.extensions_mut().insert(claims));
        let Some(service) = self.hub.find(&self.name) else {
            info!(peer = &*self.name, "no ready peer");
            return failed(not_ready(&self.name), request.headers());
        };
        service.answer(request).await
    }
}

/// Nobody answers under this name.
pub(crate) fn not_ready(peer: &str) -> Error {
    Error::unavailable("NO_READY_PEER", format!("{peer} is not reachable"))
}

/// A failure on the way to a peer, as if the peer had answered it.
pub(crate) fn failed(error: Error, request: &HeaderMap) -> Response<Body> {
    let id = call_id(request);
    let mut response = refuse(error, &id);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(CALL_ID, id);
    }
    response
}

impl Channel {
    fn stamp(&self, headers: &mut HeaderMap) -> Result<()> {
        if let Some(credential) = &self.credential {
            let mut bearer = header(&format!("Bearer {}", credential.expose()))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        if !self.call_id.is_empty() {
            headers.insert(CALL_ID, header(&self.call_id)?);
        }
        if !self.trace.is_empty() {
            headers.insert(TRACEPARENT, header(&self.trace)?);
        }
        // A shorter deadline that the caller set itself stays; a longer one would outlive the call it is made in.
        let Some(rest) = deadline::time_left()? else { return Ok(()) };
        if deadline::asked(headers)?.is_none_or(|asked| asked > rest) {
            headers.insert(HeaderName::from_static(deadline::TIMEOUT), header(&deadline::spell(rest))?);
        }
        Ok(())
    }
}

fn header(value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value).map_err(|cause| Error::internal("HEADER_INVALID", "a header cannot be written").because(cause))
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let stamped = self.stamp(request.headers_mut());
        let channel = self.clone();
        Box::pin(async move {
            Ok(match stamped {
                Ok(()) => channel.edge.pass_on(request, None).await,
                Err(error) => failed(error, request.headers()),
            })
        })
    }
}
