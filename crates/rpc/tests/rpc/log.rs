//! What the log says of a call: each failure once, with its causes and whose it is; never a token.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use crate::sample::Sample;
use crate::wire::{by, call, named, with};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

async fn logged(requests: Vec<http::Request<rpc::Body>>) -> Vec<String> {
    let lines = Lines::default();
    let _default = tracing::dispatcher::set_default(&rpc::lines("info", lines.clone()).unwrap());
    let sample = Sample::new();
    for request in requests {
        call(&sample.service, request).await;
    }
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_failure_is_logged_once_with_its_causes() {
    let lines = logged(vec![with(named("Fail", "apps/acme/notes/n1"), "x-request-id", "logged-call")]).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in
        ["ERROR", "SAMPLE_BROKEN", "page 7 differs", "<- the disk is gone", "logged-call", "NotesService/Fail", "\"tenant\":\"acme\""]
    {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_no_error_and_tells_no_token() {
    let lines = logged(vec![by("guest", named("GetNote", "apps/acme/notes/n1")), by("ann", named("GetNote", "apps/acme/notes/n1"))]).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("INFO") && !line.contains("test.") && !line.contains("sig")), "{lines:?}");
    assert!(lines[0].contains("PERMISSION_MISSING") && lines[1].contains("\"subject\":\"usr_ann\""), "{lines:?}");
}

#[tokio::test]
async fn a_line_names_the_trace_of_its_call_if_there_is_one() {
    let id = "0af7651916cd43dd8448eb211c80319c";
    let traced = with(named("Fail", "apps/acme/notes/n1"), "traceparent", &format!("00-{id}-b7ad6b7169203331-01"));
    let bare = with(named("Fail", "apps/acme/notes/n1"), "traceparent", "x\"y");
    let lines = logged(vec![traced, bare]).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    let call = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["call"].clone();
    assert_eq!((call(&lines[0])["trace"].as_str(), call(&lines[1]).get("trace")), (Some(id), None), "{lines:?}");
}

#[test]
fn a_filter_that_is_none_is_refused() {
    assert_eq!(rpc::log("rpc=loud").unwrap_err().reason(), "LOG_FILTER_INVALID");
}

#[tokio::test]
async fn success_is_silent() {
    assert_eq!(logged(vec![named("Look", "apps/acme/notes/n1")]).await, [""; 0]);
}

#[tokio::test]
async fn what_an_operator_can_mend_is_a_warning() {
    // Its only peer is nowhere.
    let lines = logged(vec![by("ann", named("Relay", "apps/acme/notes/n1"))]).await;
    let told: Vec<_> = lines.iter().filter(|line| line.contains("call failed for now")).collect();
    assert!(told.len() == 1 && told[0].contains("WARN") && told[0].contains("NO_READY_PEER"), "{lines:?}");
}
