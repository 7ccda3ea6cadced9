//! `grpc.health.v1` as this process serves it, and what the process waits for. Decides nothing: node says what is ready.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use kernel::Error;
use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::life::{Leave, Life};
use crate::schema::{OURS, Schema};

/// What keeps a process from being ready, one line each; ready when there is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting(pub Vec<String>);

impl Waiting {
    /// Whether nothing is waited for.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// Names of the proto services of ours, all or those of one area.
pub(crate) fn services(schema: &Schema, area: Option<&str>) -> Vec<String> {
    let prefix = area.map_or_else(|| OURS.to_owned(), |area| format!("{OURS}{area}."));
    schema.pool().services().map(|service| service.full_name().to_owned()).filter(|name| name.starts_with(&prefix)).collect()
}

/// Health of these services and, under the empty name, of the whole. All have one fate.
pub(crate) fn health(services: Vec<String>, waiting: watch::Receiver<Waiting>) -> HealthServer<impl Health> {
    HealthServer::new(Readiness { services, waiting })
}

struct Readiness {
    services: Vec<String>,
    waiting: watch::Receiver<Waiting>,
}

fn answer(waiting: &Waiting) -> HealthCheckResponse {
    let status = if waiting.is_over() { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Readiness {
    type WatchStream = Changes;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        if !name.is_empty() && !self.services.contains(&name) {
            return Err(Error::not_found("the service").into());
        }
        Ok(Response::new(answer(&self.waiting.borrow())))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let name = request.into_inner().service;
        let known = name.is_empty() || self.services.contains(&name);
        let leave = Leave::default();
        let changes = Changes { waiting: WatchStream::new(self.waiting.clone()), known, last: None, leave: Some(leave.clone()) };
        let mut response = Response::new(changes);
        response.extensions_mut().insert(Life { ends: None, leave: Some(leave) });
        Ok(response)
    }
}

/// Every change of the status, until the process or the connection goes.
pub(crate) struct Changes {
    waiting: WatchStream<Waiting>,
    known: bool,
    last: Option<HealthCheckResponse>,
    /// None once it has ended.
    leave: Option<Leave>,
}

impl Stream for Changes {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(leave) = &this.leave else { return Poll::Ready(None) };
        if let Poll::Ready(error) = leave.poll(cx) {
            this.leave = None;
            return Poll::Ready(Some(Err(error.into())));
        }
        loop {
            let Some(waiting) = ready!(Pin::new(&mut this.waiting).poll_next(cx)) else { return Poll::Ready(None) };
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
            let told = if this.known { answer(&waiting) } else { unknown };
            if this.last.as_ref() != Some(&told) {
                this.last = Some(told);
                return Poll::Ready(Some(Ok(told)));
            }
        }
    }
}
