//! Reflection and health as tools see them.

use std::sync::Arc;

use prost::Message;
use rpc::{Http, Meters, Schema, admin};
use tokio::sync::watch;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::sample::Sample;
use crate::wire::{Answer, ask, call, named};

const SERVICE: &str = "mozaiks.identity.v1.AppsService";

fn served(ready: bool) -> (Http, watch::Sender<bool>) {
    let (sender, receiver) = watch::channel(ready);
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
        ready.send_replace(state);
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
