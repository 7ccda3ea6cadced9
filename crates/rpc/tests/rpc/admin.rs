//! Reflection and health as tools see them.

use std::sync::Arc;

use http_body_util::BodyExt;
use prost::Message;
use rpc::{Body, Http, Meters, Schema, Waiting, admin, meshed};
use tokio::sync::watch;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tower::ServiceExt;

use crate::sample::Sample;
use crate::wire::{Answer, ask, call, named};

const SERVICE: &str = "mozaiks.identity.v1.AppsService";

fn waiting(ready: bool) -> Waiting {
    Waiting(if ready { vec![] } else { vec!["peer identity".into()] })
}

fn served(ready: bool) -> (Http, watch::Sender<Waiting>) {
    let (sender, receiver) = watch::channel(waiting(ready));
    let schema = Arc::new(Schema::read(api::DESCRIPTORS).unwrap());
    (admin(&schema, receiver, Meters::default(), Sample::new().service).unwrap(), sender)
}

async fn asked(service: &Http, path: &str, message: &impl Message) -> Answer {
    let mut request = ask("", &message.encode_to_vec());
    *request.uri_mut() = path.parse().unwrap();
    call(service, request).await
}

async fn reflected(version: &str, question: MessageRequest) -> MessageResponse {
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let answer = asked(&served(true).0, &path, &request).await;
    ServerReflectionResponse::decode(answer.messages[0].clone()).unwrap().message_response.unwrap()
}

#[tokio::test]
async fn both_versions_of_reflection_list_and_describe() {
    for version in ["v1", "v1alpha"] {
        let MessageResponse::ListServicesResponse(list) = reflected(version, MessageRequest::ListServices(String::new())).await else {
            panic!("not a list");
        };
        let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        assert!(names.contains(&SERVICE.to_owned()) && names.contains(&format!("grpc.reflection.{version}.ServerReflection")), "{names:?}");
        let symbol = MessageRequest::FileContainingSymbol(SERVICE.into());
        let MessageResponse::FileDescriptorResponse(files) = reflected(version, symbol).await else { panic!("not a file") };
        let text = String::from_utf8_lossy(&files.file_descriptor_proto[0]).into_owned();
        assert!(text.contains("CreateAppRequest") && text.contains("identity.apps.create"), "options are kept");
    }
}

#[tokio::test]
async fn health_follows_readiness() {
    let (service, ready) = served(false);
    let check = "/grpc.health.v1.Health/Check";
    let ask = |name: &str| HealthCheckRequest { service: name.into() };
    for (state, status) in [(false, 2), (true, 1), (false, 2)] {
        ready.send_replace(waiting(state));
        for name in ["", SERVICE] {
            let answer = asked(&service, check, &ask(name)).await;
            assert_eq!(HealthCheckResponse::decode(answer.messages[0].clone()).unwrap().status, status);
        }
    }
    assert_eq!(asked(&service, check, &ask("mozaiks.other.v1.X")).await.code(), Code::NotFound);
}

#[tokio::test]
async fn everything_else_is_the_doors() {
    let answer = call(&served(true).0, named("Look", "apps/acme/notes/n1")).await;
    assert!(answer.text().starts_with("acme nobody"));
}

#[tokio::test]
async fn a_watch_ends_with_the_node() {
    let (service, ready) = served(true);
    drop(ready);
    let watch = "/grpc.health.v1.Health/Watch";
    for (name, status) in [("", 1), ("mozaiks.other.v1.X", 3)] {
        let answer = asked(&service, watch, &HealthCheckRequest { service: name.into() }).await;
        let seen: Vec<_> = answer.messages.into_iter().map(|message| HealthCheckResponse::decode(message).unwrap().status).collect();
        assert_eq!(seen, [status]);
    }
}

#[tokio::test]
async fn probes_say_what_is_waited_for() {
    for (ready, path, status, told) in
        [(true, "/readyz", 200, "ready\n"), (false, "/readyz", 503, "not ready\npeer identity\n"), (false, "/healthz", 200, "ok\n")]
    {
        let Ok(response) = served(ready).0.oneshot(http::Request::get(path).body(Body::empty()).unwrap()).await;
        let (head, body) = response.into_parts();
        assert_eq!((head.status.as_u16(), &body.collect().await.unwrap().to_bytes()[..]), (status, told.as_bytes()), "{path}");
    }
}

#[tokio::test]
async fn a_listener_for_peers_serves_its_service_and_health() {
    let schema = Arc::new(Schema::read(api::DESCRIPTORS).unwrap());
    let (_waiting, receiver) = watch::channel(Waiting::default());
    let service = meshed(&schema, "identity", receiver, Sample::new().service);
    let check = |name: &str| HealthCheckRequest { service: name.into() };
    assert_eq!(asked(&service, "/grpc.health.v1.Health/Check", &check(SERVICE)).await.code(), Code::Ok);
    assert_eq!(asked(&service, "/grpc.health.v1.Health/Check", &check("mozaiks.other.v1.X")).await.code(), Code::NotFound);
    assert!(call(&service, named("Look", "apps/acme/notes/n1")).await.text().starts_with("acme nobody"));
    let reflection = asked(&service, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &check("")).await;
    assert_eq!(reflection.code(), Code::Unimplemented);
}
