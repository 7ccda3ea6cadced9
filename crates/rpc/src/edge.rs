//! One peer as seen by another: the same line in process and over the network. Carries headers, never extensions.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use kernel::{Credential, Cx, Error, Result};
use tower::{Service, ServiceExt, service_fn};
use tracing::info;

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
}

impl Edge {
    pub(crate) fn new(hub: Hub, name: &str) -> Self {
        Self { hub, name: name.into() }
    }

    /// The peer on behalf of this call: token, call id and the rest of the deadline travel on.
    pub fn on(&self, cx: &Cx) -> Channel {
        Channel { edge: self.clone(), credential: cx.credential().cloned(), call_id: cx.call_id().to_owned() }
    }

    /// The peer as it is, with whatever headers a request has. For the gateway alone.
    pub fn raw(&self) -> Http {
        let edge = self.clone();
        Http::new(service_fn(move |request| {
            let edge = edge.clone();
            async move { Ok::<_, Infallible>(edge.send(request).await) }
        }))
    }

    /// Never fails: a missing peer is an answer, `NO_READY_PEER`.
    async fn send(&self, mut request: Request<Body>) -> Response<Body> {
        request.extensions_mut().clear();
        let Some(service) = self.hub.find(&self.name) else {
            info!(peer = &*self.name, "no ready peer");
            let missing = Error::unavailable("NO_READY_PEER", format!("{} is not reachable", self.name));
            return refuse(missing, &call_id(request.headers()));
        };
        let Ok(response) = service.oneshot(request).await;
        response
    }
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
        // A shorter deadline that the caller set itself stays.
        let timeout = HeaderName::from_static(deadline::TIMEOUT);
        if let (Some(rest), false) = (deadline::time_left()?, headers.contains_key(&timeout)) {
            headers.insert(timeout, header(&deadline::spell(rest))?);
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
                Ok(()) => channel.edge.send(request).await,
                Err(error) => refuse(error, &channel.call_id),
            })
        })
    }
}
