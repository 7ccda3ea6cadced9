//! What an endpoint says of its own health, as `grpc.health.v1` has it.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::{Method, Request, Uri};
use http_body_util::Full;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;

use crate::Body;
use crate::envelope::PREFIX_BYTES;
use crate::mesh::line::{Line, Lost};

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
}

impl From<u8> for Health {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Serving,
            2 => Self::NotServing,
            _ => Self::Unknown,
        }
    }
}

/// Whether anybody answers on this connection, whatever it is: one that was let in and dropped at once does not.
pub(crate) async fn answers(line: &Line) -> Result<(), Lost> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/grpc.health.v1.Health/Check");
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    let (head, ()) = request.into_parts();
    let empty = Bytes::from_static(&[0; PREFIX_BYTES]);
    line.carry(&head, Body::new(Full::new(empty))).await.map(drop)
}

/// Hears of every change until the connection or the stream ends. False when the endpoint knows no such question.
pub(crate) async fn follow(line: &Arc<Line>, hear: impl Fn(Health)) -> bool {
    let line = line.clone();
    let over = service_fn(move |request: Request<Body>| {
        let line = line.clone();
        async move {
            let (head, body) = request.into_parts();
            line.carry(&head, body).await
        }
    });
    // The whole of the peer: its parts have one fate.
    let watch = HealthClient::new(over).watch(HealthCheckRequest { service: String::new() }).await;
    let mut told = match watch {
        Ok(answer) => answer.into_inner(),
        Err(status) => return status.code() != Code::Unimplemented,
    };
    loop {
        match told.message().await {
            Ok(Some(answer)) => hear(match answer.status() {
                ServingStatus::NotServing => Health::NotServing,
                ServingStatus::Serving | ServingStatus::ServiceUnknown | ServingStatus::Unknown => Health::Serving,
            }),
            Ok(None) => return true,
            Err(status) => return status.code() != Code::Unimplemented,
        }
    }
}
