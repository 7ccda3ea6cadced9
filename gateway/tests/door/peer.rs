//! The contract of the tests, a peer that answers with what it was asked, and the gateway between.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use gateway::{Config, Start};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kernel::Error;
use rpc::{Body, Http, Hub, Schema};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::{ServiceExt, service_fn};

pub(crate) static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([root.join("tests/door"), root.join("../proto")]).unwrap();
    compiler.include_imports(true).open_file("probe.proto").unwrap();
    compiler.include_source_info(true);
    for entry in std::fs::read_dir(root.join("../proto/mozaiks/identity/v1")).unwrap() {
        compiler.open_file(format!("mozaiks/identity/v1/{}", entry.unwrap().file_name().display())).unwrap();
    }
    Arc::new(Schema::read(&compiler.encode_file_descriptor_set()).unwrap())
});

/// One call as the peer got it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) headers: HeaderMap,
    pub(crate) ask: Value,
}

/// The gateway before one peer.
pub(crate) struct Door {
    http: Http,
    seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) ready: watch::Sender<bool>,
}

/// One answer, read whole.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The reason in a REST error.
    pub(crate) fn reason(&self) -> String {
        self.json()["details"][0]["reason"].as_str().unwrap_or_default().to_owned()
    }
}

impl Door {
    pub(crate) fn open() -> Self {
        Self::with(Config { secure_cookies: false, public_origins: vec!["https://app.example.com".into()], ..Config::default() })
    }

    pub(crate) fn with(config: Config) -> Self {
        let (hub, seen) = (Hub::new(), Arc::new(Mutex::new(Vec::new())));
        for area in ["probe", "identity"] {
            hub.install(area, peer(seen.clone()));
        }
        let (ready, of_ready) = watch::channel(false);
        let start = Start { config, schema: SCHEMA.clone(), hub, ready: of_ready };
        Self { http: gateway::start(start).unwrap(), seen, ready }
    }

    /// A gateway whose peers are the test's own.
    pub(crate) fn around(http: Http) -> Self {
        Self { http, seen: Arc::default(), ready: watch::channel(true).0 }
    }

    /// The gateway itself.
    pub(crate) fn http(&self) -> Http {
        self.http.clone()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Told {
        let Ok(response) = self.http.clone().oneshot(request).await;
        let (head, body) = response.into_parts();
        let collected = body.collect().await.unwrap();
        Told { status: head.status.as_u16(), headers: head.headers, trailers: collected.trailers().cloned(), body: collected.to_bytes() }
    }

    /// `GET /path` with headers and a body; JSON unless the headers say otherwise.
    pub(crate) async fn rest(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Told {
        let (verb, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(verb).uri(path).header("host", "here");
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(full(body.to_owned())).unwrap()).await
    }

    /// What reached the peer since the last time, oldest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Body::new(http_body_util::Full::new(bytes.into()))
}

pub(crate) fn pack(message: &[u8]) -> Bytes {
    let mut packed = BytesMut::new();
    packed.put_u8(0);
    packed.put_u32(u32::try_from(message.len()).unwrap());
    packed.put_slice(message);
    packed.freeze()
}

fn peer(seen: Arc<Mutex<Vec<Seen>>>) -> Http {
    Http::new(service_fn(move |request: Request<Body>| {
        let seen = seen.clone();
        async move { Ok::<_, Infallible>(answer(&seen, request).await) }
    }))
}

async fn answer(seen: &Mutex<Vec<Seen>>, request: Request<Body>) -> Response<Body> {
    let method = SCHEMA.method(request.uri().path()).unwrap();
    let (head, body) = request.into_parts();
    let call_id = head.headers["x-request-id"].to_str().unwrap().to_owned();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(status) => return rpc::refuse(Error::invalid("BODY_INVALID", "the body broke off").because(status), &call_id),
    };
    let ask = rpc::wire_to_json(&method.descriptor.input(), &bytes[5..]).unwrap();
    let ask: Value = serde_json::from_slice(&ask).unwrap();
    seen.lock().unwrap().push(Seen { headers: head.headers, ask: ask.clone() });
    if let Some(error) = failure(&ask) {
        return rpc::refuse(error, &call_id);
    }
    // Fields of the same name may be of another kind: nothing is told then.
    let message = rpc::json_to_wire(&method.descriptor.output(), told(method, &ask).to_string().as_bytes()).unwrap_or_default();
    let (count, code) = if method.descriptor.is_server_streaming() { (2, "14") } else { (1, "0") };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.parse().unwrap());
    trailers.insert("x-trailing", "kept".parse().unwrap());
    let messages = std::iter::repeat_n(pack(&message), count).map(Frame::data);
    let frames = messages.chain([Frame::trailers(trailers)]).map(Ok::<_, tonic::Status>);
    let mut response = Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames))));
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    response.headers_mut().insert("set-cookie", "spy=1".parse().unwrap());
    for (name, value) in [("x-leading", "kept"), ("ratelimit", "\"app\";r=9"), ("x-signature", "peer's"), ("connection", "close")] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// The last segment of a name, or a token, that asks for a failure.
fn failure(ask: &Value) -> Option<Error> {
    let name = ask["name"].as_str().or(ask["thing"]["name"].as_str()).or(ask["refreshToken"].as_str()).unwrap_or_default();
    match name.rsplit('/').next()? {
        "missing" => Some(Error::not_found(name)),
        "stale" => Some(Error::stale("ETAG_STALE", "the resource has changed since it was read")),
        "busy" => Some(Error::exhausted("TRY_LATER", "too many tries").retry_after(Duration::from_millis(1_500))),
        "invalid" => Some(Error::invalid("FIELDS_INVALID", "the request is not valid").field("thing.title", "is required")),
        "broken" => Some(Error::internal("RECORD_CORRUPT", "page 7 of the secret file").because("a cause")),
        "ended" => Some(Error::unauthenticated("SESSION_ENDED", "the session has ended")),
        "corrupt" => Some(Error::unauthenticated("CREDENTIAL_MALFORMED", "the token is malformed")),
        "wrong" => Some(Error::unauthenticated("CREDENTIALS_INVALID", "that was wrong")),
        _ => None,
    }
}

/// The answer: fields of the same name from the request, a thing that echoes it, tokens that follow from it.
fn told(method: &rpc::Method, ask: &Value) -> Value {
    let mut answer = json!({});
    for field in method.descriptor.output().fields() {
        let name = field.json_name();
        match name {
            "echo" => answer[name] = ask.to_string().into(),
            "session" => {
                let given = ask["refreshToken"].as_str().unwrap_or("none");
                answer[name] = json!({ "accessToken": "access", "refreshToken": format!("after-{given}") });
            }
            "thing" => {
                let mut thing =
                    if ask["thing"].is_object() { ask["thing"].clone() } else { json!({ "name": ask["name"].as_str().unwrap_or("none") }) };
                if thing["etag"].is_null() {
                    thing["etag"] = "\"7\"".into();
                }
                thing["echo"] = ask.to_string().into();
                answer[name] = thing;
            }
            _ if !ask[name].is_null() => answer[name] = ask[name].clone(),
            _ => {}
        }
    }
    answer
}
