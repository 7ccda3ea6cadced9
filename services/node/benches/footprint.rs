//! What `mozaiks serve` takes before anybody calls: time to ready, memory, size. `cargo bench -p node --bench footprint`
//! Reports and judges nothing: figures without thresholds.
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_debug_implementations)] // a bench: what fails ends it

#[path = "measured/line.rs"]
mod line;
#[path = "measured/machine.rs"]
mod machine;
#[path = "measured/process.rs"]
mod process;

use std::time::Duration;

use http::{Request, Version};
use http_body_util::Full;

use line::Line;
use process::{Folder, Process};

const STARTS: usize = 10;
/// As many as the gateway takes from one address.
const CONNECTIONS: u64 = 200;
/// After this nothing is left of the start, and of a connection's first call.
const SETTLED: Duration = Duration::from_secs(1);
/// Calls after which buffers and pages of code that calls need are there.
const WARM_UP: usize = 1_000;

fn main() {
    // Test runs start benches too, without this.
    if std::env::args().any(|argument| argument == "--bench") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(measure());
    }
}

async fn measure() {
    println!("{}", machine::describe());
    let binary = std::fs::metadata(env!("CARGO_BIN_EXE_mozaiks")).unwrap().len();
    println!("{:<52} {:>10.1} MiB", "binary, with the shell inside", binary as f64 / f64::from(1 << 20));
    starts();
    memory().await;
}

fn starts() {
    let (mut empty, mut existing) = (Vec::new(), Vec::new());
    for start in 0..STARTS {
        let folder = Folder::new(&format!("start-{start}"));
        for times in [&mut empty, &mut existing] {
            let product = Process::product(&folder.0);
            times.push((product.ready_after, product.cpu()));
            product.terminate();
        }
    }
    for (name, times) in [("empty", empty), ("existing", existing)] {
        let (wall, cpu): (Vec<_>, Vec<_>) = times.into_iter().unzip();
        let ([least, middle, most], [_, cpu, _]) = (spread(wall), spread(cpu));
        let name = format!("start to ready, {name} store");
        println!("{name:<52} {middle:>10.1} ms    median of {STARTS}, {least:.1} - {most:.1}; on a processor {cpu:.1}");
    }
}

/// Least, median and most, in milliseconds.
fn spread(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort();
    [0, times.len() / 2, times.len() - 1].map(|at| times[at].as_secs_f64() * 1e3)
}

async fn memory() {
    let folder = Folder::new("memory");
    let product = Process::product(&folder.0);
    tokio::time::sleep(SETTLED).await;
    let idle = product.resident_kib();
    println!("{:<52} {:>10.1} MiB", "resident, ready and never called", idle as f64 / 1024.0);

    let address = product.gateway();
    let mut lines = vec![Line::open(&address, Version::HTTP_2).await];
    for _ in 0..WARM_UP {
        call(&mut lines[0], &address).await;
    }
    tokio::time::sleep(SETTLED).await;
    let warm = product.resident_kib();
    println!("{:<52} {:>10.1} MiB", format!("resident, after {WARM_UP} calls over one connection"), warm as f64 / 1024.0);
    for _ in 1..CONNECTIONS {
        let mut line = Line::open(&address, Version::HTTP_2).await;
        call(&mut line, &address).await;
        lines.push(line);
    }
    tokio::time::sleep(SETTLED).await;
    let more = product.resident_kib().saturating_sub(warm);
    let each = more as f64 / (CONNECTIONS - 1) as f64;
    println!("{:<52} {each:>10.1} KiB   over {CONNECTIONS} idle connections, one call each", "resident per HTTP/2 connection");
}

async fn call(line: &mut Line, address: &str) {
    let uri = format!("http://{address}/api/core/identity/apps/platform/auth/methods");
    let request = Request::get(uri).version(Version::HTTP_2).body(Full::default()).unwrap();
    assert_eq!(line.call(request).await.status, 200);
}
