//! Handlers without generated server code: a path and a function. Contracts may grow without breaking these tests.

use axum::routing::{MethodRouter, any};
use prost::Message;
use rpc::Body;
use tonic::server::Grpc;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// One message in, one out.
pub(crate) fn unary<Q, A, R>(answer: impl Fn(Request<Q>) -> R + Clone + Send + Sync + 'static) -> MethodRouter
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
    R: Future<Output = Result<Response<A>, Status>> + Send + 'static,
{
    any(move |request: axum::extract::Request| {
        let service = service_fn(answer.clone());
        async move { Grpc::new(ProstCodec::<A, Q>::default()).unary(service, request.map(Body::new)).await }
    })
}
