//! The table of headers, row by row and in every wire: what reaches the peer, what reaches the caller.

use serde_json::json;

use crate::peer::{Door, Told};
use crate::wires::{RPC_WIRES, THINGS, call, unfold};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

/// What a call that carries this header brings to the peer under a name: over REST, and over each RPC wire.
async fn inward(sent: &[(&str, &str)], name: &str) -> Vec<Option<String>> {
    let door = Door::open();
    door.rest("GET /api/core/probe/apps/acme/things/one", sent, "").await;
    for wire in RPC_WIRES {
        call(&door, wire, &format!("{THINGS}/GetThing"), &json!({ "name": "apps/acme/things/one" }), sent).await;
    }
    door.seen().iter().map(|seen| seen.headers.get(name).map(|value| value.to_str().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn rows_that_pass_in_every_wire() {
    let rows = [
        ("authorization", "Bearer a.b.c"),
        ("x-mozaiks-api-key", "k"),
        ("x-mozaiks-app-key", "k"),
        ("x-mozaiks-app-id", "acme"),
        ("x-mozaiks-publishable-key", "k"),
        ("x-request-id", "call-0001"),
        ("tracestate", "a=b"),
        ("accept-language", "de"),
        ("user-agent", "test/1"),
        ("x-mozaiks-client", "test/1"),
        ("x-signature", "named by the option call"),
    ];
    let trace = format!("{TRACE}-01");
    for (name, value) in rows {
        let got = inward(&[(name, value), ("traceparent", &trace)], name).await;
        assert_eq!(got, vec![Some(value.to_owned()); 4], "{name}");
    }
}

#[tokio::test]
async fn rows_that_pass_in_rpc_wires_alone() {
    for (name, value) in [("x-custom", "1"), ("trace-bin", "AAEC")] {
        let got = inward(&[(name, value)], name).await;
        assert_eq!((got[0].as_deref(), &got[1..]), (None, &vec![Some(value.to_owned()); 3][..]), "{name}");
    }
}

#[tokio::test]
async fn rows_that_never_pass() {
    let rows = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "x-real-ip",
        "mozaiks-client-address",
        "mozaiks-subject",
        "grpc-previous-rpc-attempts",
        "baggage",
        "cookie",
        "origin",
        "referer",
        "if-match",
        "if-none-match",
        "sec-fetch-mode",
        "x-mozaiks-session",
        "x-correlation-id",
        "x-http-method-override",
        "connect-timeout-ms",
        "keep-alive",
        "upgrade",
        "transfer-encoding",
        "proxy-authorization",
        "trailer",
    ];
    for name in rows {
        // If-Match would be refused by a method without an etag, the timeout unless it is a number.
        let value = if name == "connect-timeout-ms" { "5000" } else { "spoofed1" };
        if name != "if-match" {
            assert_eq!(inward(&[(name, value)], name).await, vec![None; 4], "{name}");
        }
    }
    assert_eq!(inward(&[("connection", "x-hop, close"), ("x-hop", "1")], "x-hop").await, vec![None; 4]);
    let named = inward(&[("connection", "x-signature"), ("x-signature", "1")], "connection").await;
    assert_eq!(named, vec![None; 4]);
}

#[tokio::test]
async fn rows_that_become_another() {
    let same = |value: &str| vec![Some(value.to_owned()); 4];
    // REST bodies are read here, so that only the rest of the time goes on.
    for sent in [("grpc-timeout", "1500m"), ("connect-timeout-ms", "1500")] {
        let got = inward(&[sent], "grpc-timeout").await;
        assert_eq!(got[1..], same("1500m")[1..], "{sent:?}");
        let rest: u32 = got[0].as_ref().unwrap().strip_suffix('m').unwrap().parse().unwrap();
        assert!((1_000..=1_500).contains(&rest), "{rest}");
    }
    assert_eq!(inward(&[("x-correlation-id", "call-0002")], "x-request-id").await, same("call-0002"));
    for bad in ["short", "has space in it", "<script>alert(1)</script>"] {
        let made = inward(&[("x-request-id", bad)], "x-request-id").await;
        assert!(made.iter().flatten().all(|id| id != bad && id.len() >= 8), "{made:?}");
    }
    assert_eq!(inward(&[("traceparent", &format!("{TRACE}-01"))], "traceparent").await, same(&format!("{TRACE}-00")));
    let zero = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
    for bad in ["", "00", "x", &zero, &format!("ff-{}-01", &TRACE[3..]), &TRACE.to_uppercase(), &format!("{TRACE}-01-x")] {
        let sent = [("traceparent", bad), ("tracestate", "a=b")];
        for name in ["traceparent", "tracestate"] {
            assert_eq!(inward(&sent, name).await, vec![None; 4], "{bad}");
        }
    }
}

/// The same answer over REST and each RPC wire.
async fn outward(rest: &str, method: &str) -> Vec<(&'static str, Told)> {
    let (door, sent) = (Door::open(), [("x-request-id", "call-0001")]);
    let mut told = vec![("rest", door.rest(rest, &sent, "").await)];
    for wire in RPC_WIRES {
        told.push((wire, call(&door, wire, &format!("{THINGS}/{method}"), &json!({ "name": "apps/acme/things/one" }), &sent).await));
    }
    told
}

#[tokio::test]
async fn rows_of_answers() {
    for (wire, told) in outward("GET /api/core/probe/apps/acme/things/one", "GetThing").await {
        for (name, value) in
            [("x-request-id", "call-0001"), ("x-correlation-id", "call-0001"), ("ratelimit", "\"app\";r=9"), ("x-signature", "peer's")]
        {
            assert_eq!(told.header(name), Some(value), "{wire} {name}");
        }
        for name in ["set-cookie", "connection", "deprecation", "sunset", "link"] {
            assert_eq!(told.header(name), None, "{wire} {name}");
        }
        let is_rest = wire == "rest";
        assert_eq!(told.header("x-leading"), (!is_rest).then_some("kept"), "{wire}");
        assert_eq!((told.header("etag"), told.header("grpc-status")), (is_rest.then_some("\"7\""), None), "{wire}");
        assert!(is_rest || unfold(wire, &told).1["grpc-status"] == "0", "{wire}");
        assert!(!is_rest || told.trailers.is_none());
    }
}

#[tokio::test]
async fn methods_on_their_way_out_say_so_in_every_wire() {
    for failing in ["one", "missing"] {
        let door = Door::open();
        let mut tolds = vec![door.rest(&format!("GET /api/core/probe/old/apps/acme/things/{failing}"), &[], "").await];
        tolds.push(door.rest("GET /api/core/probe/old/apps/acme/things/one?nope=1", &[], "").await);
        for wire in RPC_WIRES {
            tolds.push(
                call(&door, wire, &format!("{THINGS}/ReadThing"), &json!({ "name": format!("apps/acme/things/{failing}") }), &[]).await,
            );
        }
        for told in tolds {
            assert_eq!(told.header("deprecation"), Some("@1782864000"), "{told:?}");
            assert_eq!(told.header("sunset"), Some("Thu, 01 Jul 2027 00:00:00 GMT"));
            assert_eq!(told.header("link"), Some("</mozaiks.probe.v1.ThingsService/GetThing>; rel=\"successor-version\""));
        }
    }
}
