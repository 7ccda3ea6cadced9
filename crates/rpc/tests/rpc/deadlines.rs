//! Deadlines in a service, with time standing still: rows 2, 3 and 5 of the table of tonic's faults.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;
use tonic_types::StatusExt;

use crate::sample::Sample;
use crate::wire::{Unfinished, call, named, told, with};

const NOTE: &str = "apps/acme/notes/n1";

#[tokio::test(start_paused = true)]
async fn fault_2_an_expired_call_is_told_so_and_its_handler_dropped() {
    let sample = Sample::new();
    let start = Instant::now();
    let answer = call(&sample.service, with(named("Hang", NOTE), "grpc-timeout", "250m")).await;
    assert_eq!((answer.code(), answer.reason().as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_eq!((start.elapsed(), sample.running()), (Duration::from_millis(250), 0));
}

#[tokio::test(start_paused = true)]
async fn fault_3_a_stream_is_cut_after_its_headers() {
    let sample = Sample::new();
    let answer = call(&sample.service, with(named("Tick", NOTE), "grpc-timeout", "250m")).await;
    let ticks: Vec<_> = answer.messages.iter().map(|message| told(message)).collect();
    assert_eq!((ticks, answer.code(), sample.running()), (vec!["1".into(), "2".into(), "3".into()], Code::DeadlineExceeded, 0));
    assert!(answer.status.get_details_request_info().is_some(), "the cut carries the call id");
}

#[tokio::test(start_paused = true)]
async fn a_stream_at_the_end_of_its_life_may_come_again() {
    let sample = Sample::new();
    for timeout in ["1H", ""] {
        let start = Instant::now();
        let request = named("Tick", NOTE);
        let request = if timeout.is_empty() { request } else { with(request, "grpc-timeout", timeout) };
        let answer = call(&sample.service, request).await;
        assert_eq!((answer.code(), answer.reason().as_str()), (Code::Unavailable, "STREAM_LIFETIME"));
        assert!(answer.status.get_details_retry_info().is_some());
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }
}

#[tokio::test(start_paused = true)]
async fn the_method_sets_default_and_maximum() {
    let sample = Sample::new();
    for (timeout, seconds) in [(None, 30), (Some("1H"), 40), (Some("31S"), 31)] {
        let start = Instant::now();
        let request = timeout.into_iter().fold(named("Hang", NOTE), |request, timeout| with(request, "grpc-timeout", timeout));
        assert_eq!(call(&sample.service, request).await.code(), Code::DeadlineExceeded);
        assert_eq!(start.elapsed(), Duration::from_secs(seconds), "{timeout:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_with_nothing_left_does_not_run() {
    let sample = Sample::new();
    let answer = call(&sample.service, with(named("Panic", NOTE), "grpc-timeout", "0n")).await;
    assert_eq!(answer.code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_progress_is_given_up() {
    let sample = Sample::new();
    let start = Instant::now();
    let stalled = named("Hang", NOTE).map(|_| rpc::Body::new(Unfinished(Some(vec![0, 0]))));
    assert_eq!(call(&sample.service, stalled).await.reason(), "BODY_TOO_SLOW");
    assert_eq!((start.elapsed(), sample.running()), (Duration::from_secs(10), 0));
}

#[tokio::test]
async fn fault_5_a_malformed_deadline_is_refused() {
    let sample = Sample::new();
    for bad in ["", "10", "S", "123456789S", "-1S", "1s", "1.5S"] {
        let answer = call(&sample.service, with(named("Look", NOTE), "grpc-timeout", bad)).await;
        assert_eq!((answer.code(), answer.reason().as_str()), (Code::InvalidArgument, "DEADLINE_INVALID"), "{bad}");
    }
    let twice = with(with(named("Look", NOTE), "grpc-timeout", "1S"), "grpc-timeout", "1S");
    assert_eq!(call(&sample.service, twice).await.reason(), "DEADLINE_INVALID");
}
