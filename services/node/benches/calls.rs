//! CPU time that the server alone spends on a call, by path, against bare tonic. `cargo bench -p node --bench calls`
//! Reports and judges nothing: figures without thresholds.
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_debug_implementations)] // a bench: what fails ends it

#[path = "measured/line.rs"]
mod line;
#[path = "measured/machine.rs"]
mod machine;
#[path = "calls/paths.rs"]
mod paths;
#[path = "measured/process.rs"]
mod process;
#[path = "calls/servers.rs"]
mod servers;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Version};
use http_body_util::Full;
use mimalloc::MiMalloc;
use tokio::task::JoinSet;

use line::{Answer, Line};
use paths::{Method, Path, Wire};
use process::{Folder, Process};
use servers::{DISPLAY_NAME, EMAIL, Role};

/// As the product has it; bare tonic, too.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const WARM_UP: usize = 1_000;
const CALLS: usize = 10_000;
/// Every path once a round, so that a busy machine is busy for all of them.
const ROUNDS: usize = 7;
const H2_CONNECTIONS: usize = 8;
const H2_STREAMS: usize = 32;
const H1_CONNECTIONS: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |argument: &str| arguments.iter().any(|given| given == argument);
    if let Some(role) = Role::ALL.into_iter().find(|role| has(&role.argument())) {
        return servers::serve(role);
    }
    // Test runs start benches too, without this.
    if has("--bench") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(measure());
    }
}

/// A path, the server it leads to, and what was measured on it.
struct Row {
    name: &'static str,
    server: Arc<Process>,
    address: String,
    path: Arc<Path>,
    /// The row that it is compared with.
    base: usize,
    micros: Vec<f64>,
}

async fn measure() {
    println!("{}", machine::describe());
    let folder = Folder::new("calls");
    let mut rows = rows(&folder).await;
    for _ in 0..ROUNDS {
        for row in &mut rows {
            let lines = drive(open(row).await, &row.path, WARM_UP).await;
            let before = row.server.cpu();
            drive(lines, &row.path, CALLS).await;
            row.micros.push((row.server.cpu() - before).as_secs_f64() * 1e6 / CALLS as f64);
        }
    }
    print(&rows);
}

async fn rows(folder: &Folder) -> Vec<Row> {
    let servers = Role::ALL.map(|role| {
        let server = Process::start(Command::new(std::env::current_exe().unwrap()).arg(role.argument()));
        (Arc::new(server), role)
    });
    let product = Arc::new(Process::product(&folder.0));
    let token = register(&product.gateway()).await;
    let (open, me, real) = (Method::open(), Method::signed_in("e30.e30.e30"), Method::signed_in(&token));
    let (h1, h2) = (Version::HTTP_11, Version::HTTP_2);

    let mut rows: Vec<Row> = Vec::new();
    let row = |name, server: &Arc<Process>, address: String, (method, wire, version), base| Row {
        name,
        path: Arc::new(Path::new(method, wire, version, &address)),
        server: server.clone(),
        address,
        base,
        micros: Vec::new(),
    };
    for (name, method, role, wire, version) in [
        ("bare tonic: gRPC", &open, Role::Bare, Wire::Grpc, h2),
        ("tonic-web: gRPC-Web", &open, Role::TonicWeb, Wire::GrpcWeb, h2),
        ("tonic-web: gRPC-Web", &open, Role::TonicWeb, Wire::GrpcWeb, h1),
        ("listener: gRPC", &open, Role::Listener, Wire::Grpc, h2),
        ("stack: gRPC", &open, Role::Stack, Wire::Grpc, h2),
        ("gateway: gRPC", &open, Role::Gateway, Wire::Grpc, h2),
        ("gateway: gRPC-Web", &open, Role::Gateway, Wire::GrpcWeb, h2),
        ("gateway: gRPC-Web", &open, Role::Gateway, Wire::GrpcWeb, h1),
        ("gateway: gRPC-Web-text", &open, Role::Gateway, Wire::GrpcWebText, h2),
        ("gateway: REST", &open, Role::Gateway, Wire::Rest, h2),
        ("gateway: REST", &open, Role::Gateway, Wire::Rest, h1),
        ("bare tonic: gRPC", &me, Role::Bare, Wire::Grpc, h2),
        ("stack: gRPC", &me, Role::Stack, Wire::Grpc, h2),
        ("gateway: gRPC", &me, Role::Gateway, Wire::Grpc, h2),
        ("gateway: REST", &me, Role::Gateway, Wire::Rest, h2),
        ("gateway: REST", &me, Role::Gateway, Wire::Rest, h1),
    ] {
        let (server, _) = servers.iter().find(|(_, of)| *of == role).unwrap();
        let base = if role == Role::Bare { rows.len() } else { rows.last().unwrap().base };
        rows.push(row(name, server, server.line.clone(), (method, wire, version), base));
    }
    let base = rows.last().unwrap().base;
    for (name, wire, version) in [("product: gRPC", Wire::Grpc, h2), ("product: REST", Wire::Rest, h2), ("product: REST", Wire::Rest, h1)] {
        rows.push(row(name, &product, product.gateway(), (&real, wire, version), base));
    }
    rows
}

/// An access token of somebody new.
async fn register(gateway: &str) -> String {
    let ask = serde_json::json!({ "email": EMAIL, "password": "correct horse battery staple", "profile": { "displayName": DISPLAY_NAME } });
    let request = Request::post("/api/core/identity/apps/platform/auth:register").header("host", gateway);
    let request = request.header("content-type", "application/json").body(Full::from(ask.to_string())).unwrap();
    let Answer { status, body, .. } = Line::open(gateway, Version::HTTP_11).await.call(request).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    answer["session"]["accessToken"].as_str().unwrap().to_owned()
}

async fn open(row: &Row) -> Vec<Line> {
    let connections = if row.path.version == Version::HTTP_2 { H2_CONNECTIONS } else { H1_CONNECTIONS };
    let mut lines = Vec::new();
    for _ in 0..connections {
        lines.extend(Line::open(&row.address, row.path.version).await.streams(H2_STREAMS));
    }
    lines
}

/// So many calls over these lines, each line one call at a time. Every answer is checked.
async fn drive(lines: Vec<Line>, path: &Arc<Path>, calls: usize) -> Vec<Line> {
    let left = Arc::new(AtomicUsize::new(calls));
    let mut running = JoinSet::new();
    for mut line in lines {
        let (left, path) = (left.clone(), path.clone());
        running.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                let answer = line.call(path.ask.clone()).await;
                path.check(&answer);
            }
            line
        });
    }
    running.join_all().await
}

fn print(rows: &[Row]) {
    println!(
        "{CALLS} calls a round after {WARM_UP} to warm up, medians of {ROUNDS} rounds; \
         HTTP/2: {H2_CONNECTIONS} connections x {H2_STREAMS} streams, HTTP/1.1: {H1_CONNECTIONS} connections"
    );
    println!("{:<26} {:<4} {:>5} {:>15} {:>10} {:>13}", "path", "http", "ratio", "ratios between", "CPU us", "bodies, bytes");
    for (number, row) in rows.iter().enumerate() {
        if row.base == number {
            println!("{}", if number == 0 { "ListSignInMethods" } else { "GetMe (product: with its storage reads)" });
        }
        let ratios = sorted(row.micros.iter().zip(&rows[row.base].micros).map(|(own, base)| own / base).collect());
        let micros = sorted(row.micros.clone());
        let version = if row.path.version == Version::HTTP_2 { "2" } else { "1.1" };
        println!(
            "{:<26} {version:<4} {:>5.2} {:>15} {:>10.1} {:>13}",
            row.name,
            ratios[ROUNDS / 2],
            format!("{:.2} - {:.2}", ratios[0], ratios[ROUNDS - 1]),
            micros[ROUNDS / 2],
            format!("{}/{}", row.path.ask_bytes, row.path.answer_bytes())
        );
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}
