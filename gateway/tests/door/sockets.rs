//! Over real sockets: what only HTTP itself can show.

use gateway::Config;
use rpc::{Caps, Listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::peer::Door;
use crate::wires::{THINGS, message};

/// Sends each request on a connection of its own and reads until the server closes.
async fn exchange(requests: &[String]) -> Vec<String> {
    let door = Door::with(Config { secure_cookies: false, ..Config::default() });
    let listener = Listener::bind("127.0.0.1:0", Caps::default()).await.unwrap();
    let address = listener.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(listener.serve(door.http(), async { drop(stopped.await) }));
    let mut answers = Vec::new();
    for request in requests {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answers.push(String::from_utf8(answer).unwrap());
    }
    drop(stop);
    serving.await.unwrap();
    answers
}

fn request(line: &str, headers: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn http1_carries_grpc_web_in_text_and_rest() {
    let ask = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        message(&format!("{THINGS}/GetThing"), &serde_json::json!({ "name": "apps/acme/things/one" })),
    );
    let post = format!("POST {THINGS}/GetThing");
    let answers = exchange(&[
        request(&post, "content-type: application/grpc-web-text\r\n", &ask),
        request("GET /api/core/probe/apps/acme/things/one", "", ""),
        request("HEAD /api/core/probe/apps/acme/things/one", "", ""),
        request(&post, "content-type: application/grpc\r\n", "x"),
    ])
    .await;
    // The last frame holds the trailers, in base64: a whole body ends with `x-trailing: kept`.
    assert!(answers[0].starts_with("HTTP/1.1 200") && answers[0].contains("transfer-encoding: chunked"), "{}", answers[0]);
    assert!(answers[0].contains("eC10cmFpbGluZzoga2VwdA0K"), "{}", answers[0]);
    assert!(answers[1].contains("\r\ncontent-type: application/json\r\n") && answers[1].ends_with('}'), "{}", answers[1]);
    assert!(answers[2].starts_with("HTTP/1.1 200") && answers[2].ends_with("\r\n\r\n"), "{}", answers[2]);
    assert!(answers[3].contains("\r\ngrpc-status: 12\r\n"), "{}", answers[3]);
}

#[tokio::test]
async fn a_body_that_is_refused_unread_still_gets_its_answer() {
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(100_000));
    let suspend = "POST /api/core/probe/apps/acme/things/one:suspend";
    let answers = exchange(&[request(suspend, "content-type: application/json\r\n", &long)]).await;
    assert!(answers[0].starts_with("HTTP/1.1 413") && answers[0].contains("MESSAGE_TOO_LARGE"), "{}", answers[0]);
}

#[tokio::test]
async fn whoever_still_sends_a_refused_body_reads_the_refusal() {
    let door = Door::with(Config { secure_cookies: false, ..Config::default() });
    let listener = Listener::bind("127.0.0.1:0", Caps::default()).await.unwrap();
    let address = listener.address();
    tokio::spawn(listener.serve(door.http(), std::future::pending()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /api/core/probe/apps/acme/things/one:suspend HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n";
    stream.write_all(format!("{head}content-length: 200000\r\n\r\n").as_bytes()).await.unwrap();
    // The answer is there, and the server done with this connection, before the body is.
    stream.readable().await.unwrap();
    for _ in 0..10 {
        stream.write_all(&[b'x'; 20_000]).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("MESSAGE_TOO_LARGE"), "{answer}");
}
