//! gRPC's own interoperability client, the service that it wants, and a listener for whatever stands before that.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::response::IntoResponse;
use kernel::{Clock, Credential, Error, Result, Verified};
use protox::file::{ChainFileResolver, GoogleFileResolver, IncludeFileResolver};
use rpc::{Body, BoxFuture, Caps, Http, Listener, Schema, Service, Stack, Verifier};
use tokio::process::Command;

use crate::service;

const VERSION: &str = "v1.85.0";
/// Every case of the description that needs neither compression nor credentials.
const CASES: [&str; 14] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
];

/// Nobody signs in here.
struct Nobody;

impl Verifier for Nobody {
    fn verify<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, Result<Verified>> {
        Box::pin(async { Err(Error::unauthenticated("TOKEN_EXPIRED", "the token has ended")) })
    }
}

pub(crate) fn schema() -> Schema {
    // From whichever crate tests.
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("crates/rpc/tests/proto"));
    let mut resolver = ChainFileResolver::new();
    resolver.add(IncludeFileResolver::new(folders.into_iter().find(|folder| folder.exists()).unwrap()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("grpc/testing/test.proto").unwrap();
    Schema::read(&compiler.encode_file_descriptor_set()).unwrap()
}

/// Serves on a free port.
pub(crate) async fn listen(service: Http) -> SocketAddr {
    let listener = Listener::bind("127.0.0.1:0", Caps::default()).await.unwrap();
    let address = listener.address();
    tokio::spawn(listener.serve(service, std::future::pending()));
    address
}

/// The service behind its stack.
pub(crate) fn stacked(schema: Arc<Schema>) -> Http {
    let router =
        axum::Router::new().fallback(async |request: axum::extract::Request| service::answer(request.map(Body::new)).await.into_response());
    let stack = Stack { schema, verifier: Arc::new(Nobody), clock: Clock::system() };
    stack.wrap(Service { name: "testing", routes: router.into() })
}

/// The client, built once by Go and kept under the target folder. Err: why there is none.
async fn client() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("interop-{VERSION}"));
    let client = folder.join("client");
    if client.exists() {
        return Ok(client);
    }
    let package = format!("google.golang.org/grpc/interop/client@{VERSION}");
    let built =
        Command::new("go").args(["install", &package]).env("GOBIN", &folder).env("GOFLAGS", "").env("GOTOOLCHAIN", "local").output().await;
    match built {
        Err(missing) => Err(format!("there is no Go: {missing}")),
        Ok(output) if output.status.success() => Ok(client),
        Ok(output) => Err(format!("Go cannot build {package}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Runs every case against each of these.
pub(crate) async fn passes(layouts: impl IntoIterator<Item = (&'static str, SocketAddr)>) {
    let client = match client().await {
        Ok(client) => client,
        Err(why) => return println!("SKIPPED: {why}"),
    };
    for (layout, server) in layouts {
        let mut failed = Vec::new();
        for case in CASES {
            let mut command = Command::new(&client);
            command.args(["--server_host=127.0.0.1", "--use_tls=false"]).arg(format!("--server_port={}", server.port()));
            let output = command.arg(format!("--test_case={case}")).kill_on_drop(true).output().await.unwrap();
            if !output.status.success() {
                failed.push(format!("{case}: {}", String::from_utf8_lossy(&output.stderr)));
            }
        }
        assert!(failed.is_empty(), "{layout}: {}", failed.join("\n"));
        println!("interop, {layout}: {} of {} cases passed", CASES.len(), CASES.len());
    }
}
