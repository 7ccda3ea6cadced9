//! The service behind the small contract, and who may call it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use kernel::{Clock, Credential, Cx, Error, Result, Subject, SubjectKind, Tenant, Time, Verified};
use rpc::{Body, BoxFuture, Edge, Http, Hub, Schema, Service, Stack, Verifier};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use tower::ServiceExt;

use crate::contracts;
use crate::wire::{framed, string_field};

/// Seconds at which all tests stand.
pub(crate) const NOW: i64 = 1_000_000;

/// Knows `test.{who}.sig`: the middle says who.
pub(crate) struct People;

impl Verifier for People {
    fn verify<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Verified>> {
        Box::pin(async move { person(credential.expose().split('.').nth(1).unwrap_or_default()) })
    }
}

fn person(who: &str) -> Result<Verified> {
    let (tenant, home, kind, permissions) = match who {
        "ann" => ("acme", "acme", SubjectKind::User, "sample.*"),
        "stranger" => ("evil-corp", "evil-corp", SubjectKind::User, "sample.*"),
        "guest" => ("acme", "acme", SubjectKind::User, "other.*"),
        "operator" => ("platform", "platform", SubjectKind::User, "sample.*"),
        "visitor" => ("acme", "platform", SubjectKind::User, "sample.*"),
        "robot" => ("acme", "acme", SubjectKind::ServiceAccount, "sample.*"),
        _ => return Err(Error::unauthenticated("TOKEN_EXPIRED", "the token has ended")),
    };
    let subject = Subject { id: format!("usr_{who}"), kind, home: Tenant::parse(home)?, session: None };
    let auth_time = Time::from_seconds(NOW - 300);
    Ok(Verified { tenant: Tenant::parse(tenant)?, subject, permissions: vec![permissions.into()], aal: 1, auth_time })
}

/// The service behind its stack.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) service: Http,
    pub(crate) schema: Arc<Schema>,
    pub(crate) hub: Hub,
    /// Handlers that are running now.
    pub(crate) running: Arc<AtomicUsize>,
}

impl Sample {
    pub(crate) fn new() -> Self {
        let (hub, running) = (Hub::new(), Arc::new(AtomicUsize::new(0)));
        let handler = Handler { peer: hub.edge("sample"), running: running.clone() };
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let handler = handler.clone();
            async move { handler.answer(request.map(Body::new)).await.into_response() }
        });
        let schema = Arc::new(contracts::sample());
        let stack = Stack { schema: schema.clone(), verifier: Arc::new(People), clock: clock() };
        let service = stack.wrap(Service { name: "sample", routes: router.into() });
        Self { service, schema, hub, running }
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

fn clock() -> Clock {
    Clock::from_fn(|| Time::from_seconds(NOW))
}

#[derive(Clone)]
struct Handler {
    peer: Edge,
    running: Arc<AtomicUsize>,
}

struct Running(Arc<AtomicUsize>);

impl Running {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Handler {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let running = Running::begin(&self.running);
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let cx = request.extensions().get::<Cx>().cloned().expect("no context");
        match method.as_str() {
            "Hang" => std::future::pending().await,
            "Panic" => panic!("the handler broke"),
            "Fail" => refused(Error::internal("SAMPLE_BROKEN", "page 7 differs").because("the disk is gone")),
            "GetNote" => refused(missing(request).await),
            "Relay" => self.relay(&cx, request).await,
            "Tick" => stream(tokio_stream::iter(1..=100).throttle(Duration::from_millis(100)).map(move |n| (n, &running).0)),
            "Stall" => stream(tokio_stream::iter(1..=2).chain(tokio_stream::pending()).map(move |n| (n, &running).0)),
            "Trip" => stream(tokio_stream::iter(1..=2).map(|n| if n == 2 { panic!("the stream broke") } else { n })),
            "Big" => frames(tokio_stream::once(Frame::data(framed(&[&[0x0a, 0x80, 0x80, 0x40][..], &[b'x'; 1 << 20]].concat()).into()))),
            "Chat" => echo(request.into_body()),
            "Upload" => count(request.into_body()).await,
            _ => told(&seen(&cx, request.headers())),
        }
    }

    /// Calls itself over an edge and answers what the peer saw.
    async fn relay(&self, cx: &Cx, request: Request<Body>) -> Response<Body> {
        let onward = Request::post("/mozaiks.sample.v1.NotesService/Look").header("content-type", "application/grpc");
        let onward = onward.extension(Cx::system(Tenant::platform(), "forged"));
        let timeout = request.headers().get("x-onward-timeout").map(|timeout| ("grpc-timeout", timeout.clone()));
        let onward = timeout.into_iter().fold(onward, |onward, (name, value)| onward.header(name, value));
        let Ok(response) = self.peer.on(cx).oneshot(onward.body(request.into_body()).unwrap()).await;
        response
    }
}

/// Tenant, subject, call id, the headers that matter and the trace, as one line.
fn seen(cx: &Cx, headers: &HeaderMap) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    let subject = cx.subject().map_or("nobody", |subject| &subject.id);
    let enters = cx.enter(Tenant::system()).is_ok();
    let parts = ["authorization", "grpc-timeout", "mozaiks-client-address"].map(header).join(" ");
    let trace = rpc::trace_id(cx.trace()).map_or_else(String::new, |id| format!(" {id}"));
    format!("{} {subject} {} enters={enters} {parts}{trace}", cx.tenant(), cx.call_id())
}

/// No note is ever there.
async fn missing(request: Request<Body>) -> Error {
    let held = request.into_body().collect().await.unwrap().to_bytes();
    Error::not_found(std::str::from_utf8(held.get(7..).unwrap_or_default()).unwrap())
}

fn refused(error: Error) -> Response<Body> {
    Status::from(error).into_http()
}

fn told(text: &str) -> Response<Body> {
    let cut: String = text.chars().take(127).collect();
    frames(tokio_stream::once(Frame::data(framed(&string_field(1, &cut)).into())))
}

fn stream(numbers: impl Stream<Item = i32> + Send + 'static) -> Response<Body> {
    frames(numbers.map(|n| Frame::data(framed(&string_field(1, &n.to_string())).into())))
}

fn frames(data: impl Stream<Item = Frame<Bytes>> + Send + 'static) -> Response<Body> {
    let end = HeaderMap::from_iter([(Status::GRPC_STATUS, "0".parse().unwrap())]);
    let body = StreamBody::new(data.chain(tokio_stream::once(Frame::trailers(end))).map(Ok::<_, Status>));
    Response::builder().header("content-type", "application/grpc").body(Body::new(body)).unwrap()
}

/// Every message comes back as it is.
fn echo(body: Body) -> Response<Body> {
    let frames = http_body_util::BodyStream::new(body).filter_map(|frame| frame.ok()?.into_data().ok());
    self::frames(frames.map(Frame::data))
}

async fn count(body: Body) -> Response<Body> {
    match body.collect().await {
        Ok(read) => told(&format!("{} bytes", read.to_bytes().len())),
        Err(status) => status.into_http(),
    }
}

/// A body of these bytes.
pub(crate) fn bytes(bytes: Vec<u8>) -> Body {
    Body::new(Full::new(Bytes::from(bytes)))
}
