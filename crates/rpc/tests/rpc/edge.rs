//! Peers in process: what travels on, what does not, and what stands in for a peer that is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::apps_service_client::AppsServiceClient;
use kernel::{Clock, Credential, Cx, Error, Subject, SubjectKind, Tenant, Time, Verified};
use rpc::{BoxFuture, Caps, Http, Hub, Open, Schema, Service, Stack, Verifier};
use tonic::service::Routes;
use tonic::{Code, Request, Response};
use tower::service_fn;

use crate::handmade::unary;
use crate::listener::Server;
use crate::sample::Sample;
use crate::wire::{by, call, named, with};

#[tokio::test(start_paused = true)]
async fn the_rest_of_the_deadline_the_token_and_the_call_id_travel_on() {
    let sample = Sample::new();
    sample.hub.install("sample", sample.service.clone());
    let request = with(by("ann", named("Relay", "apps/acme/notes/n1")), "x-request-id", "first-call");
    let text = call(&sample.service, with(request, "grpc-timeout", "1S")).await.text();
    assert_eq!(text, "acme nobody first-call enters=false Bearer test.ann.sig 900m -");
}

/// What a peer's context says of the trace of a call that came with these headers.
async fn traced(sample: &Sample, sent: &[&str]) -> String {
    let request = by("ann", named("Relay", "apps/acme/notes/n1"));
    let request = sent.iter().fold(request, |mut request, value| {
        request.headers_mut().append("traceparent", value.parse().unwrap());
        request
    });
    let text = call(&sample.service, request).await.text();
    text.split_once(" - ").map_or("", |(_, rest)| rest.trim_start_matches('-').trim()).to_owned()
}

#[tokio::test]
async fn a_sound_trace_travels_on_in_process_and_over_a_connection() {
    let server = Server::start(Caps::mesh()).await;
    let (near, far) = (Sample::new(), Sample::new());
    near.hub.install("sample", near.service.clone());
    far.hub.peer("sample", server.address.into(), &server.sample.schema);
    let (id, other) = ("0af7651916cd43dd8448eb211c80319c", "00-11111111111111111111111111111111-b7ad6b7169203331-00");
    let sound = format!("00-{id}-b7ad6b7169203331-01");
    for sample in [near, far] {
        assert_eq!(traced(&sample, &[&sound]).await, id);
        let (zero, upper) = (sound.replace(id, &"0".repeat(32)), sound.to_uppercase());
        let (newer, long, short) = (sound.replacen("00", "01", 1), format!("{sound}-x"), &sound[..52]);
        for none in [&[][..], &["x"], &[&zero], &[&upper], &[&newer], &[&long], &[short], &[&sound, other]] {
            assert_eq!(traced(&sample, none).await, "", "{none:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_never_grows() {
    let sample = Sample::new();
    sample.hub.install("sample", sample.service.clone());
    for (onward, seen) in [("1H", "900m"), ("100m", "100m"), ("1S", "900m"), ("899999u", "899999u")] {
        let request = with(by("ann", named("Relay", "apps/acme/notes/n1")), "x-onward-timeout", onward);
        let text = call(&sample.service, with(request, "grpc-timeout", "1S")).await.text();
        assert!(text.contains(&format!(" {seen} ")), "{onward}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_nothing_left_no_peer_is_called() {
    let sample = Sample::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    sample.hub.install(
        "sample",
        Http::new(service_fn(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        })),
    );
    for (timeout, called) in [("2m", 0), ("3m", 1)] {
        let request = with(by("ann", named("Relay", "apps/acme/notes/n1")), "grpc-timeout", timeout);
        assert_eq!(call(&sample.service, request).await.reason(), "DEADLINE_EXCEEDED");
        assert_eq!(calls.load(Ordering::SeqCst), called, "{timeout}");
    }
}

#[tokio::test]
async fn a_missing_peer_is_an_answer() {
    let sample = Sample::new();
    let answer = call(&sample.service, by("ann", named("Relay", "apps/acme/notes/n1"))).await;
    assert_eq!((answer.code(), answer.reason().as_str()), (Code::Unavailable, "NO_READY_PEER"));
}

#[tokio::test]
async fn a_peer_is_found_when_it_is_first_called() {
    let hub = Hub::new();
    let raw = hub.edge("sample").raw();
    assert_eq!(call(&raw, named("Look", "apps/acme/notes/n1")).await.reason(), "NO_READY_PEER");
    hub.install("sample", Sample::new().service);
    assert_eq!(call(&raw, named("Look", "apps/acme/notes/n1")).await.code(), Code::Ok);
}

/// Answers what it was asked.
pub(crate) fn apps() -> Routes {
    let create = async |request: Request<pb::CreateAppRequest>| {
        let (_, ask) = request.open()?;
        Ok(Response::new(pb::CreateAppResponse { app: ask.app }))
    };
    let get = async |request: Request<pb::GetAppRequest>| {
        let (cx, ask) = request.open()?;
        Ok(Response::new(pb::GetAppResponse { app: Some(pb::App { name: ask.name, etag: cx.actor(), ..Default::default() }) }))
    };
    let list = async |request: Request<pb::ListAppsRequest>| {
        let (_, ask) = request.open()?;
        Ok(Response::new(pb::ListAppsResponse { next_page_token: ask.page_size.to_string(), ..Default::default() }))
    };
    let path = |method| format!("/mozaiks.identity.v1.AppsService/{method}");
    let router = axum::Router::new().route(&path("CreateApp"), unary(create));
    router.route(&path("GetApp"), unary(get)).route(&path("ListApps"), unary(list)).into()
}

fn ann() -> Verified {
    let subject = Subject { id: "usr_ann".into(), kind: SubjectKind::User, home: Tenant::platform(), session: None };
    Verified { tenant: Tenant::platform(), subject, permissions: vec!["*".into()], aal: 1, auth_time: Time::default() }
}

struct Trusting;

impl Verifier for Trusting {
    fn verify<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, kernel::Result<Verified>> {
        Box::pin(async { Ok(ann()) })
    }
}

fn client() -> AppsServiceClient<rpc::Channel> {
    let schema = Arc::new(Schema::read(api::DESCRIPTORS).unwrap());
    let stack = Stack { schema, verifier: Arc::new(Trusting), clock: Clock::from_fn(Time::default) };
    let hub = Hub::new();
    hub.install("identity", stack.wrap(Service { name: "identity", routes: apps() }));
    AppsServiceClient::new(hub.edge("identity").on(&Cx::verified(ann(), Credential::new("a.b.c"), "edge-call")))
}

#[tokio::test]
async fn generated_clients_call_over_an_edge() {
    let app = client().get_app(pb::GetAppRequest { name: "apps/platform".into() }).await.unwrap().into_inner().app.unwrap();
    assert_eq!((app.name.as_str(), app.etag.as_str()), ("apps/platform", "platform/usr_ann"));
    let foreign = client().get_app(pb::GetAppRequest { name: "apps/other".into() }).await.unwrap_err();
    assert_eq!((foreign.code(), foreign.message()), (Code::NotFound, "apps/other was not found"));
}

#[tokio::test]
async fn open_enforces_field_behaviour() {
    let app = pb::App { display_name: "Shop".into(), state: 1, ..Default::default() };
    let made = client().create_app(pb::CreateAppRequest { app: Some(app), ..Default::default() }).await.unwrap().into_inner().app.unwrap();
    assert_eq!((made.display_name.as_str(), made.state), ("Shop", 0), "output only is cleared");
    let bad = pb::CreateAppRequest { app: Some(pb::App::default()), request_id: "x".repeat(65), ..Default::default() };
    let refused = client().create_app(bad).await.unwrap_err();
    let fields = tonic_types::StatusExt::get_details_bad_request(&refused).unwrap().field_violations;
    let fields: Vec<_> = fields.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!((kernel::error_info(&refused).as_deref(), fields), (Some("FIELDS_INVALID"), vec!["app.display_name", "request_id"]));
    let page = client().list_apps(pb::ListAppsRequest { page_size: 5_000, ..Default::default() }).await.unwrap();
    assert_eq!(page.into_inner().next_page_token, "1000");
}

#[tokio::test]
async fn without_a_stack_nothing_opens() {
    let error: Error = Request::new(pb::ListAppsRequest::default()).open().unwrap_err();
    assert_eq!(error.reason(), "CONTEXT_MISSING");
}

#[tokio::test]
async fn bytes_that_are_no_message_are_the_callers_fault() {
    let schema = Arc::new(Schema::read(api::DESCRIPTORS).unwrap());
    let stack = Stack { schema, verifier: Arc::new(Trusting), clock: Clock::from_fn(Time::default) };
    let service = stack.wrap(Service { name: "identity", routes: apps() });
    // display_name of the app is no UTF-8.
    let mut request = by("ann", crate::wire::ask("CreateApp", b"\x0a\x03\x12\x01\xff"));
    *request.uri_mut() = "/mozaiks.identity.v1.AppsService/CreateApp".parse().unwrap();
    let answer = call(&service, request).await;
    assert_eq!((answer.code(), answer.reason().as_str()), (Code::InvalidArgument, "BODY_INVALID"));
}
