//! The ways of a call that are counted, and a run of one of them: one thread, one call after another, nothing on a socket.

use api::mozaiks::identity::v1 as pb;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use kernel::{Cx, Tenant};
use prost::Message as _;
use rpc::{Body, Budget, Claims, Http, Hub, Peer};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::peer::{self, DYNAMIC, TYPED};

/// How a call travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// To tonic's routes alone: what the others are compared with.
    Tonic,
    /// Through the stack of a service.
    Stack,
    /// The same from another service, over an edge.
    Edge,
    Grpc,
    GrpcWeb,
    GrpcWebText,
    RestTyped,
    RestDynamic,
}

impl Shape {
    pub const ALL: [Self; 8] =
        [Self::Tonic, Self::Stack, Self::Edge, Self::Grpc, Self::GrpcWeb, Self::GrpcWebText, Self::RestTyped, Self::RestDynamic];

    /// Its name in arguments and in the file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Tonic => "tonic",
            Self::Stack => "stack",
            Self::Edge => "edge",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc_web",
            Self::GrpcWebText => "grpc_web_text",
            Self::RestTyped => "rest_typed",
            Self::RestDynamic => "rest_dynamic",
        }
    }

    fn package(self) -> &'static str {
        if self == Self::RestDynamic { DYNAMIC } else { TYPED }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Tonic | Self::Stack | Self::Edge | Self::Grpc => "application/grpc",
            Self::GrpcWeb => "application/grpc-web+proto",
            Self::GrpcWebText => "application/grpc-web-text+proto",
            Self::RestTyped | Self::RestDynamic => "application/json",
        }
    }

    fn is_rest(self) -> bool {
        matches!(self, Self::RestTyped | Self::RestDynamic)
    }

    /// The request, as a client sends it.
    fn ask(self) -> Request<Full<Bytes>> {
        let request = Request::builder().version(Version::HTTP_2).header("user-agent", "bench").header("content-type", self.content_type());
        if self.is_rest() {
            let user = "{\"profile\":{\"displayName\":\"Ann Example\",\"givenName\":\"Ann\",\"familyName\":\"Example\",\"locale\":\"en\"}}";
            let mask = "profile.displayName,profile.givenName";
            let request = request.method("PATCH").uri(format!("http://here/api/core/identity/apps/platform/me?updateMask={mask}"));
            return request.header("authorization", "Bearer e30.e30.e30").body(user.into()).unwrap();
        }
        let message = pb::ListSignInMethodsRequest { parent: format!("apps/{}", "a".repeat(35)) }.encode_to_vec();
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
        if self == Self::GrpcWebText {
            body = BASE64_STANDARD.encode(body).into_bytes();
        }
        let uri = "http://here/mozaiks.identity.v1.AuthService/ListSignInMethods";
        request.method("POST").uri(uri).header("te", "trailers").body(body.into()).unwrap()
    }
}

/// Makes so many calls. Ends the process unless each is answered rightly.
pub fn run(shape: Shape, calls: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // As a node does: what is below `info` is not written.
    rpc::log("info").unwrap();
    runtime.block_on(async {
        let (door, ask, claims) = (door(shape), shape.ask(), Claims::new(Budget::default()));
        let peer = Peer("127.0.0.1:50000".parse().unwrap());
        let mut first: Option<Bytes> = None;
        for _ in 0..calls {
            let mut ask = ask.clone().map(Body::new);
            ask.extensions_mut().insert(peer);
            ask.extensions_mut().insert(claims.clone());
            let Ok(answer) = door.clone().oneshot(ask).await;
            assert_eq!(answer.status(), 200, "{answer:?}");
            let collected = answer.into_body().collect().await.unwrap();
            if !shape.is_rest() && !matches!(shape, Shape::GrpcWeb | Shape::GrpcWebText) {
                assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
            }
            let body = collected.to_bytes();
            assert_eq!(first.get_or_insert_with(|| body.clone()), &body);
        }
        check(shape, &first.unwrap());
    });
}

fn door(shape: Shape) -> Http {
    let schema = peer::schema(shape.package());
    let service = peer::behind_stack(schema.clone());
    let hub = Hub::new();
    hub.install("identity", service.clone());
    match shape {
        Shape::Tonic => Http::new(peer::routes()),
        Shape::Stack => service,
        Shape::Edge => Http::new(hub.edge("identity").on(&Cx::system(Tenant::platform(), "bench"))),
        _ => {
            let config = gateway::Config { secure_cookies: false, ..gateway::Config::default() };
            let (_, ready) = watch::channel(true);
            gateway::start(gateway::Start { config, schema, hub, ready }).unwrap()
        }
    }
}

fn check(shape: Shape, body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    match shape {
        Shape::RestTyped | Shape::RestDynamic => assert!(text.contains("\"email\":\"ann@example.com\""), "{text}"),
        Shape::GrpcWeb => assert!(text.contains("grpc-status: 0"), "{text}"),
        // The last group of four letters of the trailers says that they are whole.
        Shape::GrpcWebText => assert!(text.is_ascii() && !body.is_empty(), "{text}"),
        Shape::Tonic | Shape::Stack | Shape::Edge | Shape::Grpc => assert_eq!(body[..5], [0, 0, 0, 0, 5], "{text}"),
    }
}
