//! `grpc.testing.TestService` as its description wants it, on tonic's codec.

use std::pin::Pin;
use std::time::Duration;

use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use rpc::Body;
use tokio_stream::{Stream, StreamExt};
use tonic::metadata::MetadataMap;
use tonic::server::Grpc;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::messages::{Answered, EchoStatus, Empty, InputRequest, InputResponse, OutputRequest, Payload, SimpleRequest};

const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";

type Answers = Pin<Box<dyn Stream<Item = Result<Answered, Status>> + Send>>;

/// Serves one call.
pub(crate) async fn answer(request: http::Request<Body>) -> Response<Body> {
    let trailing = request.headers().get(ECHO_TRAILING).cloned();
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let response = match method.as_str() {
        "EmptyCall" => Grpc::new(ProstCodec::<Empty, Empty>::default()).unary(service_fn(empty), request).await,
        "UnaryCall" => Grpc::new(ProstCodec::<Answered, SimpleRequest>::default()).unary(service_fn(unary), request).await,
        "StreamingOutputCall" => {
            Grpc::new(ProstCodec::<Answered, OutputRequest>::default()).server_streaming(service_fn(output), request).await
        }
        "StreamingInputCall" => {
            Grpc::new(ProstCodec::<InputResponse, InputRequest>::default()).client_streaming(service_fn(input), request).await
        }
        "FullDuplexCall" => Grpc::new(ProstCodec::<Answered, OutputRequest>::default()).streaming(service_fn(duplex), request).await,
        _ => Status::from(kernel::Error::unsupported("METHOD_UNKNOWN", "there is no such method")).into_http(),
    };
    let Some(value) = trailing else { return response };
    response.map(|body| {
        Body::new(body.map_frame(move |mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                trailers.insert(ECHO_TRAILING, value.clone());
            }
            frame
        }))
    })
}

async fn empty(request: Request<Empty>) -> Result<tonic::Response<Empty>, Status> {
    Ok(told(request.metadata(), Empty {}))
}

async fn unary(request: Request<SimpleRequest>) -> Result<tonic::Response<Answered>, Status> {
    let ask = request.get_ref();
    echoed(ask.response_status.as_ref())?;
    let answer = Answered { payload: Some(Payload::of(ask.response_size)) };
    Ok(told(request.metadata(), answer))
}

async fn output(request: Request<OutputRequest>) -> Result<tonic::Response<Answers>, Status> {
    Ok(tonic::Response::new(Box::pin(answers(request.into_inner()))))
}

async fn input(request: Request<Streaming<InputRequest>>) -> Result<tonic::Response<InputResponse>, Status> {
    let mut messages = request.into_inner();
    let mut total = 0;
    while let Some(message) = messages.next().await {
        total += message?.payload.map_or(0, |payload| payload.body.len());
    }
    Ok(tonic::Response::new(InputResponse { aggregated_payload_size: i32::try_from(total).unwrap() }))
}

async fn duplex(request: Request<Streaming<OutputRequest>>) -> Result<tonic::Response<Answers>, Status> {
    let metadata = request.metadata().clone();
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let mut asks = request.into_inner();
        while let Some(Ok(ask)) = asks.next().await {
            let mut answers = Box::pin(answers(ask));
            while let Some(answer) = answers.next().await {
                if sender.send(answer).await.is_err() {
                    return;
                }
            }
        }
    });
    Ok(told(&metadata, Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))))
}

fn answers(ask: OutputRequest) -> impl Stream<Item = Result<Answered, Status>> + Send {
    let end = echoed(ask.response_status.as_ref()).err().map(Err);
    let sized = tokio_stream::iter(ask.response_parameters).then(async |part| {
        tokio::time::sleep(Duration::from_micros(u64::try_from(part.interval_us).unwrap())).await;
        Ok(Answered { payload: Some(Payload::of(part.size)) })
    });
    sized.chain(tokio_stream::iter(end))
}

#[allow(clippy::disallowed_methods)] // the caller says which status it wants to see
fn echoed(status: Option<&EchoStatus>) -> Result<(), Status> {
    let status = status.filter(|status| status.code != 0);
    status.map_or(Ok(()), |status| Err(Status::new(Code::from_i32(status.code), status.message.clone())))
}

fn told<T>(asked: &MetadataMap, answer: T) -> tonic::Response<T> {
    let mut response = tonic::Response::new(answer);
    let headers: HeaderMap = asked.clone().into_headers();
    if let Some(value) = headers.get(ECHO_INITIAL) {
        let mut echo = HeaderMap::new();
        echo.insert(ECHO_INITIAL, value.clone());
        *response.metadata_mut() = MetadataMap::from_headers(echo);
    }
    response
}
