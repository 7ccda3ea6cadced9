//! The numbers as whoever collects them reads them: by the rules of the text format, and by what calls did.

use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt;
use rpc::{Body, Caps, Histogram, Http, Meters, Number, Reading, Waiting, admin};
use tokio::sync::watch;
use tonic::Code;
use tower::ServiceExt;

use crate::exposition::parsed;
use crate::listener::Server;
use crate::sample::Sample;
use crate::wire::{by, call, eventually, named, with};

const NOTE: &str = "apps/acme/notes/n1";

fn served(sample: &Sample, meters: Meters) -> Http {
    admin(&sample.schema, watch::channel(Waiting::default()).1, meters, sample.service.clone()).unwrap()
}

async fn text(service: &Http) -> String {
    let Ok(response) = service.clone().oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_by_method_and_code() {
    let sample = Sample::new();
    let service = served(&sample, Meters::default());
    for request in [named("Look", NOTE), named("Look", NOTE), named("Fail", NOTE), by("guest", named("GetNote", NOTE)), named("None", NOTE)]
    {
        call(&sample.service, request).await;
    }
    call(&sample.service, with(named("Tick", NOTE), "grpc-timeout", "30m")).await;
    drop(tokio::time::timeout(std::time::Duration::from_millis(5), call(&sample.service, named("Hang", NOTE))).await);
    let samples = parsed(&text(&service).await);
    let count = |method: &str, code: &str| {
        samples.get(&format!("rpc_server_seconds_count{{rpc=\"mozaiks.sample.v1.NotesService/{method}\",code=\"{code}\"}}"))
    };
    for (method, code, calls) in [
        ("Look", "OK", 2.0),
        ("Fail", "INTERNAL", 1.0),
        ("GetNote", "PERMISSION_DENIED", 1.0),
        ("Tick", "DEADLINE_EXCEEDED", 1.0),
        ("Hang", "CANCELLED", 1.0),
    ] {
        assert_eq!(count(method, code), Some(&calls), "{method} {code}");
    }
    for reason in ["SAMPLE_BROKEN", "PERMISSION_MISSING", "METHOD_UNKNOWN", "DEADLINE_EXCEEDED"] {
        assert_eq!(samples[&format!("rpc_refused_total{{reason=\"{reason}\"}}")], 1.0, "{reason}");
    }
    let took = |end: &str| {
        samples[&format!(
            "rpc_server_seconds_{end}rpc=\"mozaiks.sample.v1.NotesService/Tick\",code=\"DEADLINE_EXCEEDED\"{}",
            if end == "sum{" { "}" } else { ",le=\"+Inf\"}" }
        )]
    };
    assert!(took("sum{") >= 0.03 && took("bucket{") == 1.0);
}

#[tokio::test(start_paused = true)]
async fn buckets_only_grow() {
    let sample = Sample::new();
    call(&sample.service, with(named("Hang", NOTE), "grpc-timeout", "30m")).await;
    let text = text(&served(&sample, Meters::default())).await;
    let buckets: Vec<_> = text.lines().filter(|line| line.starts_with("rpc_server_seconds_bucket{")).collect();
    let bounds: Vec<_> = buckets.iter().map(|line| line.split("le=\"").nth(1).unwrap().split('"').next().unwrap()).collect();
    assert_eq!(bounds, ["0.001", "0.005", "0.025", "0.1", "0.5", "2.5", "10", "+Inf"]);
    let counts: Vec<_> = buckets.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(counts, ["0", "0", "0", "1", "1", "1", "1", "1"]);
}

#[tokio::test]
async fn spreads_of_others_are_told_added_up() {
    let histogram = Histogram {
        name: "storage_commit_seconds",
        help: "Time of commits.",
        bounds: vec![0.0001, 0.25, 1.0],
        counts: vec![3, 0, 2, 1],
        sum: 4.000_25,
    };
    let reading = Reading { numbers: Vec::new(), histograms: vec![histogram] };
    let meters = Meters { others: Arc::new(move || reading.clone()), ..Meters::default() };
    let text = text(&served(&Sample::new(), meters)).await;
    parsed(&text);
    let told: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("storage_commit_seconds")).collect();
    let buckets = ["_bucket{le=\"0.0001\"} 3", "_bucket{le=\"0.25\"} 3", "_bucket{le=\"1\"} 5", "_bucket{le=\"+Inf\"} 6"];
    assert_eq!(told, [&buckets[..], &["_sum 4.00025", "_count 6"]].concat());
    assert!(text.contains("# TYPE storage_commit_seconds histogram\n"), "{text}");
}

#[tokio::test]
async fn a_thousand_tenants_add_no_series() {
    let sample = Sample::new();
    let service = served(&sample, Meters::default());
    let ask = async |app: &str| {
        let name = format!("apps/{app}/notes/n1");
        call(&sample.service, named("Look", &name)).await;
        call(&sample.service, by("ann", named("GetNote", &name))).await;
    };
    ask("acme").await;
    let before: Vec<_> = parsed(&text(&service).await).into_keys().collect();
    for tenant in 0..1_000 {
        ask(&format!("tenant-{tenant}")).await;
    }
    let after = text(&service).await;
    assert_eq!(parsed(&after).into_keys().collect::<Vec<_>>(), before);
    assert!(!after.contains("tenant-") && !after.contains("acme"));
}

#[tokio::test]
async fn listeners_and_others_are_told() {
    let server = Server::start(Caps { connections_per_address: 1, ..Caps::default() }).await;
    let numbers = vec![Number { name: "storage_queue", help: "Changes that wait.", value: 7.0 }];
    let reading = Reading { numbers, histograms: Vec::new() };
    let others = Arc::new(move || reading.clone());
    let service = served(&server.sample, Meters { listeners: vec![("public", server.traffic.clone())], others });
    let connection = server.connect().await;
    assert_eq!(connection.call(named("Look", NOTE)).await.code(), Code::Ok);
    let hanging = tokio::spawn(connection.send.clone().send_request(named("Hang", NOTE)));
    eventually(|| async { server.sample.running() == 1 }).await;
    assert!(crate::listener::is_closed(&mut server.socket().await).await);
    let samples = parsed(&text(&service).await);
    let of = |name: &str| samples[&format!("{name}{{listener=\"public\"}}")];
    assert_eq!((of("rpc_connections_open"), of("rpc_connections_total"), of("rpc_connections_refused_total")), (1.0, 1.0, 1.0));
    assert_eq!((of("rpc_streams_open"), of("rpc_streams_total")), (1.0, 2.0));
    assert!(of("rpc_received_bytes_total") > 100.0 && of("rpc_sent_bytes_total") > 100.0);
    assert_eq!(samples["storage_queue"], 7.0);
    hanging.abort();
    connection.driver.abort();
    let quiet = || async { parsed(&text(&service).await)["rpc_connections_open{listener=\"public\"}"] == 0.0 };
    eventually(quiet).await;
}

#[tokio::test]
async fn numbers_are_the_admin_listeners_alone() {
    let sample = Sample::new();
    let request = || Request::get("/metrics").body(Body::empty()).unwrap();
    let Ok(public) = sample.service.clone().oneshot(request()).await;
    assert_eq!(public.status(), 405, "the service itself serves calls and nothing else");
    let Ok(posted) = served(&sample, Meters::default()).oneshot(Request::post("/metrics").body(Body::empty()).unwrap()).await;
    assert_eq!(posted.status(), 415, "everything but reading is the door's");
}
