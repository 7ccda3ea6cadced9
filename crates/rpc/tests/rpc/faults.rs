//! What tonic 0.14.9 does with wrong requests, and what ours does: the rows on content type, size, cardinality and verb.
//! Over real sockets.

use http::{Method, Request};
use rpc::{Body, Caps, Http};
use tonic::Code;
use tonic_types::StatusExt;

use crate::edge::apps;
use crate::listener::Server;
use crate::wire::{Answer, Unfinished, ask, ask_raw, by, call, eventually, framed, in_two_pieces, named, with};

const NOTE: &str = "apps/acme/notes/n1";

fn told(answer: &Answer) -> (Code, &str, u16) {
    (answer.code(), Box::leak(answer.reason().into_boxed_str()), answer.http)
}

#[tokio::test]
async fn faults_6_and_7_only_grpc_is_executed() {
    let connection = Server::start(Caps::default()).await.connect().await;
    for bad in [
        "image/jpeg",
        "application/json",
        "application/grpc+foo",
        "application/grpc-web",
        "application/grpc; charset=utf-8",
        "text/plain",
        "",
    ] {
        let mut request = named("Look", NOTE);
        request.headers_mut().insert("content-type", bad.parse().unwrap());
        assert_eq!(told(&connection.call(request).await), (Code::Unimplemented, "CONTENT_TYPE_UNSUPPORTED", 415), "{bad}");
    }
    let mut request = named("Look", NOTE);
    request.headers_mut().remove("content-type");
    let answer = connection.call(request).await;
    assert_eq!(told(&answer).2, 415);
    assert_eq!(answer.headers["accept-post"], "application/grpc, application/grpc+proto");
    let mut request = named("Look", NOTE);
    request.headers_mut().insert("content-type", "application/grpc+proto".parse().unwrap());
    assert_eq!(connection.call(request).await.code(), Code::Ok);
}

#[tokio::test]
async fn fault_9_a_message_over_its_limit_is_refused_before_it_is_read() {
    let connection = Server::start(Caps::default()).await.connect().await;
    let claim = |bytes: u32| [&[0][..], &bytes.to_be_bytes()].concat();
    let unfinished = |method, bytes| by("ann", ask(method, b"").map(|_| Body::new(Unfinished(Some(claim(bytes))))));
    let answer = connection.call(unfinished("UpdateNote", 1025)).await;
    assert_eq!(told(&answer), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE", 200));
    assert!(answer.status.get_details_retry_info().is_none());
    assert_eq!(told(&connection.call(unfinished("GetNote", (1 << 20) + 1)).await).1, "MESSAGE_TOO_LARGE");
    assert_eq!(told(&connection.call(unfinished("Upload", u32::MAX)).await).1, "MESSAGE_TOO_LARGE");
    let whole = |size: usize| by("ann", ask("UpdateNote", &[&[0x1a, 0xfd, 0x07][..], &vec![b'x'; size - 3]].concat()));
    assert_eq!(connection.call(whole(1024)).await.code(), Code::Ok);
    assert_eq!(told(&connection.call(whole(1025)).await).1, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn fault_10_a_connection_cannot_claim_more_than_its_budget() {
    let server = Server::start(Caps::default()).await;
    let connection = server.connect().await;
    let claim = [&[0][..], &(1_u32 << 20).to_be_bytes()].concat();
    let claiming = || with(named("Look", NOTE).map(|_| Body::new(Unfinished(Some(claim.clone())))), "grpc-timeout", "1H");
    let held: Vec<_> = (0..16).map(|_| tokio::spawn(connection.send.clone().send_request(claiming()))).collect();
    let starved = || with(in_two_pieces(&framed(b"\x0a\x12apps/acme/notes/n1"), named("Look", NOTE)), "grpc-timeout", "500m");
    eventually(|| async { connection.call(starved()).await.code() == Code::DeadlineExceeded }).await;
    assert_eq!(server.connect().await.call(named("Look", NOTE)).await.code(), Code::Ok, "other connections have budgets of their own");
    held.iter().for_each(tokio::task::JoinHandle::abort);
    eventually(|| async { connection.call(starved()).await.code() == Code::Ok }).await;
}

#[tokio::test]
async fn fault_11_exactly_one_message() {
    let connection = Server::start(Caps::default()).await.connect().await;
    let one = framed(b"\x0a\x12apps/acme/notes/n1");
    assert_eq!(told(&connection.call(ask_raw("Look", Vec::new())).await), (Code::Unimplemented, "CARDINALITY", 200));
    assert_eq!(told(&connection.call(ask_raw("Look", [one.clone(), one.clone()].concat())).await).1, "CARDINALITY");
    assert_eq!(told(&connection.call(ask_raw("Tick", [one.clone(), vec![0]].concat())).await).1, "CARDINALITY");
    assert_eq!(told(&connection.call(ask_raw("Look", one[..9].to_vec())).await), (Code::InvalidArgument, "BODY_INVALID", 200));
    assert_eq!(told(&connection.call(ask_raw("Look", one[..3].to_vec())).await).1, "BODY_INVALID");
}

#[tokio::test]
async fn fault_12_calls_are_post() {
    let connection = Server::start(Caps::default()).await.connect().await;
    for verb in [Method::GET, Method::DELETE, Method::PUT, Method::OPTIONS] {
        let mut request = named("Look", NOTE);
        *request.method_mut() = verb;
        let answer = connection.call(request).await;
        assert_eq!(told(&answer), (Code::Unimplemented, "VERB_NOT_ALLOWED", 405));
        assert_eq!(answer.headers["allow"], "POST");
    }
}

/// When a row here changes, tonic has mended something that our guard and deadline still work around.
#[tokio::test]
async fn what_tonic_does_alone() {
    let alone = Http::new(apps());
    let asked = |body: Vec<u8>| {
        let mut request = ask_raw("", body);
        *request.uri_mut() = "/mozaiks.identity.v1.AppsService/ListApps".parse().unwrap();
        request
    };
    let one = || asked(framed(b""));
    let executed = "CONTEXT_MISSING";
    assert_eq!(call(&alone, with(one(), "grpc-timeout", "soon")).await.reason(), executed, "fault 5");
    let mut image = one();
    image.headers_mut().insert("content-type", "image/jpeg".parse().unwrap());
    assert_eq!(call(&alone, image).await.reason(), executed, "fault 6");
    let large = asked([&[0][..], &(5_u32 << 20).to_be_bytes()].concat());
    assert_eq!(call(&alone, large).await.code(), Code::OutOfRange, "fault 9");
    assert_eq!(call(&alone, asked(Vec::new())).await.code(), Code::Internal, "fault 11");
    assert_eq!(call(&alone, asked(framed(b"").repeat(2))).await.reason(), executed, "fault 11");
    let mut get = one();
    *get.method_mut() = Method::GET;
    assert_eq!(call(&alone, get).await.reason(), executed, "fault 12");
}

#[tokio::test]
async fn compression_that_is_not_accepted() {
    let connection = Server::start(Caps::default()).await.connect().await;
    let flagged = [&[1][..], &framed(b"\x0a\x12apps/acme/notes/n1")[1..]].concat();
    for request in
        [ask_raw("Look", flagged.clone()), with(named("Look", NOTE), "grpc-encoding", "gzip"), by("ann", ask_raw("Upload", flagged))]
    {
        let answer = connection.call(request).await;
        assert_eq!(told(&answer), (Code::Unimplemented, "ENCODING_UNSUPPORTED", 200));
        assert_eq!(answer.headers["grpc-accept-encoding"], "identity");
    }
    assert_eq!(connection.call(with(named("Look", NOTE), "grpc-encoding", "identity")).await.code(), Code::Ok);
}

#[tokio::test]
async fn only_known_methods_exactly_spelled() {
    let connection = Server::start(Caps::default()).await.connect().await;
    let path = "mozaiks.sample.v1.NotesService/Look";
    for bad in [
        format!("//{path}"),
        format!("/{path}/"),
        path.to_lowercase().replacen("", "/", 1),
        format!("/{path}%20"),
        "/".into(),
        "/x.Y/Z".into(),
    ] {
        let request = Request::post(format!("http://test{bad}")).header("content-type", "application/grpc").body(Body::empty()).unwrap();
        assert_eq!(told(&connection.call(request).await), (Code::Unimplemented, "METHOD_UNKNOWN", 200), "{bad}");
    }
}

#[tokio::test]
async fn a_request_of_too_many_headers() {
    let connection = Server::start(Caps::default()).await.connect().await;
    let many = (0..101).fold(named("Look", NOTE), |request, _| with(request, "x-more", "1"));
    assert_eq!(told(&connection.call(many).await).1, "HEADERS_TOO_LARGE");
}

#[tokio::test]
async fn a_panic_is_one_failed_call() {
    let connection = Server::start(Caps::default()).await.connect().await;
    let answer = connection.call(named("Panic", NOTE)).await;
    assert_eq!(told(&answer), (Code::Internal, "PANIC", 200));
    assert_eq!(answer.status.message(), "internal error");
    let tripped = connection.call(named("Trip", NOTE)).await;
    assert_eq!((tripped.messages.len(), told(&tripped).1), (1, "PANIC"));
    assert_eq!(connection.call(named("Look", NOTE)).await.code(), Code::Ok);
}

#[tokio::test]
async fn every_answer_carries_the_id_of_its_call() {
    let connection = Server::start(Caps::default()).await.connect().await;
    for (given, kept) in [("my-call-01", true), ("short", false), ("with space", false), (&"x".repeat(65), false)] {
        let answer = connection.call(with(named("Fail", NOTE), "x-request-id", given)).await;
        let id = answer.status.get_details_request_info().unwrap().request_id;
        assert_eq!((answer.headers["x-request-id"].to_str().unwrap(), id == given), (id.as_str(), kept), "{given}");
        let fine = connection.call(with(named("Look", NOTE), "x-request-id", given)).await;
        assert_eq!(fine.headers["x-request-id"] == *given, kept);
    }
    let other = connection.call(with(named("Look", NOTE), "x-correlation-id", "correlated")).await;
    assert!(other.text().contains("correlated"));
}
