//! What the listeners of a process add to the services behind them: health everywhere; reflection (v1, and v1alpha for
//! older tools), probes and the numbers of the node on the admin listener. None of them grants anything.

use std::fmt::Write as _;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use kernel::Error;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::pb;
use tonic_reflection::server::Builder;
use tower::ServiceExt as _;

use crate::health::{Waiting, health, services};
use crate::refuse::{call_id, refuse};
use crate::{Body, Http, Meters, Schema, metrics};

/// What the admin listener serves: reflection and health by their paths, `/metrics`, `/healthz`, `/readyz` with what is
/// waited for, everything else by `door`. Reflection lists and health knows the services of our packages; the empty name is
/// the whole. `/metrics` tells the calls of every service behind this schema and what `meters` adds. Errors: `REFLECTION`, a
/// defect of the contracts.
pub fn admin(schema: &Arc<Schema>, waiting: watch::Receiver<Waiting>, meters: Meters, door: Http) -> kernel::Result<Http> {
    let broken = |cause| Error::internal("REFLECTION", "the descriptors cannot be served").because(cause);
    let services = services(schema, None);
    let v1 = reflection(schema, &services, "grpc.reflection.v1.ServerReflection").build_v1().map_err(broken)?;
    let v1alpha = reflection(schema, &services, "grpc.reflection.v1alpha.ServerReflection").build_v1alpha().map_err(broken)?;
    let routes = Routes::new(v1).add_service(v1alpha).add_service(health(services, waiting.clone())).prepare();
    let (schema, meters) = (schema.clone(), Arc::new(meters));
    Ok(Http::of(move |request: Request<Body>| {
        let (routes, door, schema, meters) = (routes.clone(), door.clone(), schema.clone(), meters.clone());
        let waiting = waiting.clone();
        async move {
            let path = request.uri().path();
            if ["/grpc.reflection.", "/grpc.health."].iter().any(|prefix| path.starts_with(prefix)) {
                return routed(routes, request).await;
            }
            match (request.method(), path) {
                (&Method::GET, "/metrics") => metrics::answer(&schema, &meters),
                (&Method::GET, "/healthz") => told(StatusCode::OK, "ok\n".into()),
                (&Method::GET, "/readyz") => readiness(&waiting.borrow()),
                _ => door.answer(request).await,
            }
        }
    }))
}

/// What a service's listener for peers serves: the service, and health of it and of the whole process.
pub fn meshed(schema: &Schema, area: &str, waiting: watch::Receiver<Waiting>, service: Http) -> Http {
    let routes = Routes::new(health(services(schema, Some(area)), waiting)).prepare();
    Http::of(move |request: Request<Body>| {
        let (routes, service) = (routes.clone(), service.clone());
        async move {
            let is_health = request.uri().path().starts_with("/grpc.health.");
            if is_health { routed(routes, request).await } else { service.answer(request).await }
        }
    })
}

/// The door of an admin listener that has none: nothing is served here.
pub fn nothing() -> Http {
    Http::of(async |request: Request<Body>| {
        let mut response = refuse(Error::route_unknown(), &call_id(request.headers()));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    })
}

async fn routed(routes: Routes, request: Request<Body>) -> Response<Body> {
    let Ok(response) = routes.oneshot(request).await;
    response
}

fn reflection<'a>(schema: &'a Schema, services: &[String], itself: &str) -> Builder<'a> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(schema.descriptor_set())
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health")
        .with_service_name(itself);
    services.iter().fold(builder, Builder::with_service_name)
}

fn readiness(waiting: &Waiting) -> Response<Body> {
    if waiting.is_over() {
        return told(StatusCode::OK, "ready\n".into());
    }
    let mut text = "not ready\n".to_owned();
    // Writing into a string cannot fail.
    let _ = waiting.0.iter().try_for_each(|line| writeln!(text, "{line}"));
    told(StatusCode::SERVICE_UNAVAILABLE, text)
}

fn told(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
