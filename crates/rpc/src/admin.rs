//! What the admin listener adds to the door: reflection (v1, and v1alpha for older tools), health, and the numbers of the
//! node as text. None of them grants anything.

use std::pin::Pin;
use std::sync::Arc;

use kernel::Error;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{self, HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::server::Builder;
use tower::{ServiceExt as _, service_fn};

use crate::schema::OURS;
use crate::{Body, Http, Meters, Schema, metrics};

/// Where the numbers are read.
const METRICS: &str = "/metrics";

/// What the admin listener serves: reflection and health by their paths, `/metrics`, everything else by `door`. Reflection
/// lists and health knows the services of our packages; the empty name is the whole. `/metrics` tells the calls of every
/// service behind this schema and what `meters` adds. Errors: `REFLECTION`, a defect of the contracts.
pub fn admin(schema: &Arc<Schema>, ready: watch::Receiver<bool>, meters: Meters, door: Http) -> kernel::Result<Http> {
    let broken = |cause| Error::internal("REFLECTION", "the descriptors cannot be served").because(cause);
    let ours = schema.pool().services().map(|service| service.full_name().to_owned());
    let services: Vec<String> = ours.filter(|name| name.starts_with(OURS)).collect();
    let v1 = reflection(schema, &services, "grpc.reflection.v1.ServerReflection").build_v1().map_err(broken)?;
    let v1alpha = reflection(schema, &services, "grpc.reflection.v1alpha.ServerReflection").build_v1alpha().map_err(broken)?;
    let health = HealthServer::new(Readiness { services, ready });
    let routes = Routes::new(v1).add_service(v1alpha).add_service(health).prepare();
    let (schema, meters) = (schema.clone(), Arc::new(meters));
    Ok(Http::new(service_fn(move |request: http::Request<Body>| {
        let is_tool = ["/grpc.reflection.", "/grpc.health."].iter().any(|prefix| request.uri().path().starts_with(prefix));
        let is_reading = request.uri().path() == METRICS && request.method() == http::Method::GET;
        let (routes, door, schema, meters) = (routes.clone(), door.clone(), schema.clone(), meters.clone());
        async move {
            match (is_tool, is_reading) {
                (true, _) => routes.oneshot(request).await,
                (_, true) => Ok(metrics::answer(&schema, &meters)),
                _ => door.oneshot(request).await,
            }
        }
    })))
}

fn reflection<'a>(schema: &'a Schema, services: &[String], itself: &str) -> Builder<'a> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(schema.descriptor_set())
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health")
        .with_service_name(itself);
    services.iter().fold(builder, Builder::with_service_name)
}

struct Readiness {
    services: Vec<String>,
    ready: watch::Receiver<bool>,
}

fn answer(ready: bool) -> HealthCheckResponse {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Readiness {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        if !name.is_empty() && !self.services.contains(&name) {
            return Err(Error::not_found("the service").into());
        }
        Ok(Response::new(answer(*self.ready.borrow())))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let name = request.into_inner().service;
        let known = name.is_empty() || self.services.contains(&name);
        let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
        let changes = WatchStream::new(self.ready.clone());
        Ok(Response::new(Box::pin(changes.map(move |ready| Ok(if known { answer(ready) } else { unknown })))))
    }
}
