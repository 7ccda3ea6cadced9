//! What browsers may do: foreign pages, the session cookie in every wire, the shell.

use bytes::{BufMut, BytesMut};
use gateway::{Admin, Config};
use http::Request;
use serde_json::{Value, json};

use crate::peer::{Door, Told, full, pack};
use crate::wires::{RPC_WIRES, THINGS, call, outcome, request};

const SESSIONS: &str = "/mozaiks.probe.v1.SessionsService";
const OWN: [(&str, &str); 3] = [("sec-fetch-site", "same-origin"), ("x-mozaiks-client", "test/1"), ("x-mozaiks-session", "cookie")];

/// Calls `open`, `renew` or `close` in cookie mode. `rest` is the fourth wire.
async fn session(door: &Door, wire: &str, verb: &str, ask: &Value, cookie: &str) -> (Told, Result<Value, (i32, String, String)>) {
    let headers = [OWN[0], OWN[1], OWN[2], ("cookie", cookie)];
    if wire == "rest" {
        let told = door.rest(&format!("POST /api/core/probe/session:{verb}"), &headers, &ask.to_string()).await;
        let body = told.json();
        let code = body["code"].as_i64().map(|code| i32::try_from(code).unwrap());
        let outcome = code.map_or(Ok(body.clone()), |code| Err((code, told.reason(), body["message"].as_str().unwrap().to_owned())));
        return (told, outcome);
    }
    let method = match verb {
        "open" => "OpenSession",
        "renew" => "RenewSession",
        _ => "CloseSession",
    };
    let path = format!("{SESSIONS}/{method}");
    let told = call(door, wire, &path, ask, &headers).await;
    let outcome = outcome(wire, &path, &told);
    (told, outcome)
}

fn wires() -> impl Iterator<Item = &'static str> {
    RPC_WIRES.into_iter().chain(["rest"])
}

#[tokio::test]
async fn the_token_moves_between_cookie_and_messages_in_every_wire() {
    let door = Door::open();
    for wire in wires() {
        let (told, answer) = session(&door, wire, "open", &json!({ "user": "ann" }), "").await;
        assert_eq!(answer.unwrap(), json!({ "session": { "accessToken": "access" } }), "{wire}");
        assert_eq!(told.header("set-cookie"), Some("mozaiks=after-none; Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax"), "{wire}");

        let (told, answer) = session(&door, wire, "renew", &json!({ "user": "ann" }), "a=1; mozaiks=T1").await;
        let answer = answer.unwrap();
        assert_eq!(answer["session"], json!({ "accessToken": "access" }), "{wire}");
        assert_eq!(
            serde_json::from_str::<Value>(answer["echo"].as_str().unwrap()).unwrap(),
            json!({ "user": "ann", "refreshToken": "T1" })
        );
        assert!(told.header("set-cookie").unwrap().starts_with("mozaiks=after-T1;"), "{wire}");

        let (told, answer) = session(&door, wire, "close", &json!({}), "mozaiks=T1").await;
        assert_eq!(answer.unwrap(), json!({}), "{wire}");
        assert_eq!(told.header("set-cookie"), Some("mozaiks=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"), "{wire}");
        assert!(door.seen().iter().all(|seen| !seen.headers.contains_key("cookie") && !seen.headers.contains_key("x-mozaiks-session")));
    }
}

#[tokio::test]
async fn the_cookie_is_used_only_where_method_and_caller_wish_so() {
    let door = Door::open();
    let told = door.rest("POST /api/core/probe/session:open", &[OWN[0], OWN[1]], "{}").await;
    assert_eq!((told.json()["session"]["refreshToken"].as_str(), told.header("set-cookie")), (Some("after-none"), None));
    let told =
        door.rest("POST /api/core/probe/session:renew", &[OWN[0], OWN[1], ("cookie", "mozaiks=T1")], "{\"refreshToken\":\"T2\"}").await;
    assert_eq!((told.json()["session"]["refreshToken"].as_str(), told.header("set-cookie")), (Some("after-T2"), None));
    let told = door.rest("GET /api/core/probe/byCount/1", &[OWN[2], ("cookie", "mozaiks=T1")], "").await;
    assert_eq!((told.status, told.header("set-cookie")), (200, None));
}

#[tokio::test]
async fn over_tls_the_cookie_is_bound_to_the_host() {
    let door = Door::with(Config { cookie_max_age_seconds: 60, ..Config::default() });
    let (told, _) = session(&door, "rest", "renew", &json!({}), "__Host-mozaiks=T1; mozaiks=X").await;
    assert_eq!(told.header("set-cookie"), Some("__Host-mozaiks=after-T1; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure"));
}

#[tokio::test]
async fn failed_credentials_are_told_and_dead_ones_removed() {
    let door = Door::open();
    let table = [
        ("", json!({}), "CREDENTIAL_MISSING", false, false),
        ("mozaiks=", json!({}), "CREDENTIAL_MALFORMED", true, false),
        ("mozaiks=a; mozaiks=b", json!({}), "CREDENTIAL_MALFORMED", true, false),
        ("mozaiks=T1", json!({ "refreshToken": "T2" }), "CREDENTIALS_AMBIGUOUS", false, false),
        ("mozaiks=ended", json!({}), "SESSION_ENDED", true, true),
        ("mozaiks=wrong", json!({}), "CREDENTIALS_INVALID", false, true),
    ];
    for wire in wires() {
        for (cookie, ask, reason, removed, reaches) in &table {
            let (told, answer) = session(&door, wire, "renew", ask, cookie).await;
            let (code, told_reason, _) = answer.unwrap_err();
            assert_eq!((code, told_reason.as_str()), (16, *reason), "{wire} {cookie}");
            assert_eq!(told.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), *removed, "{wire} {cookie}");
            assert_eq!(!door.seen().is_empty(), *reaches, "{wire} {cookie}");
        }
    }
}

#[tokio::test]
async fn hostile_bodies_swallow_no_token() {
    let door = Door::open();
    let path = format!("{SESSIONS}/RenewSession");
    // A last field that claims as many bytes as an appended token would bring.
    let mut unfinished = BytesMut::from(&b"\x0a"[..]);
    unfinished.put_u8(4);
    let two = [pack(b""), pack(b"")].concat().into();
    let cases = [
        (pack(&unfinished), "BODY_INVALID"),
        (pack(b"\x1b\x1c"), "BODY_INVALID"),
        (two, "CARDINALITY"),
        (pack(b"").slice(..3), "BODY_INVALID"),
    ];
    for wire in RPC_WIRES {
        for (body, reason) in &cases {
            let told = door.send(request(wire, &path, body, &[OWN[0], OWN[1], OWN[2], ("cookie", "mozaiks=T1")])).await;
            assert_eq!(outcome(wire, &path, &told).unwrap_err().1, *reason, "{wire} {body:?}");
        }
    }
    assert!(door.seen().is_empty());
}

#[tokio::test]
async fn foreign_pages_use_no_cookie() {
    let door = Door::open();
    let client = ("x-mozaiks-client", "test/1");
    let table: [(&[(&str, &str)], bool); 12] = [
        (&[("sec-fetch-site", "same-origin"), client], true),
        (&[("sec-fetch-site", "none"), client], true),
        (&[("sec-fetch-site", "same-site"), client], false),
        (&[("sec-fetch-site", "cross-site"), client], false),
        (&[("sec-fetch-site", "cross-site"), ("origin", "http://here"), client], false),
        (&[("origin", "http://here"), client], true),
        (&[("origin", "https://app.example.com"), client], true),
        (&[("origin", "http://evil.com"), client], false),
        (&[("origin", "null"), client], false),
        (&[client], false),
        (&[("sec-fetch-site", "same-origin")], false),
        (&[("sec-fetch-site", "same-origin"), ("x-mozaiks-client", "")], false),
    ];
    for (headers, admitted) in table {
        for verb in ["open", "renew", "close"] {
            let all = [headers, &[OWN[2], ("cookie", "mozaiks=T1")]].concat();
            let told = door.rest(&format!("POST /api/core/probe/session:{verb}"), &all, "{}").await;
            assert_eq!(told.status, if admitted { 200 } else { 403 }, "{verb} {headers:?}");
            assert!(admitted || told.reason() == "CROSS_SITE_REFUSED");
            assert_eq!(!door.seen().is_empty(), admitted, "{verb} {headers:?}");
        }
    }
    for wire in RPC_WIRES {
        let path = format!("{SESSIONS}/RenewSession");
        let told =
            call(&door, wire, &path, &json!({}), &[client, OWN[2], ("cookie", "mozaiks=T1"), ("sec-fetch-site", "cross-site")]).await;
        assert_eq!(outcome(wire, &path, &told).unwrap_err().1, "CROSS_SITE_REFUSED", "{wire}");
    }
    assert!(door.seen().is_empty());
}

#[tokio::test]
async fn forms_of_foreign_pages_reach_no_handler() {
    let door = Door::open();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        for path in ["/api/core/probe/session:renew", "/mozaiks.probe.v1.SessionsService/RenewSession"] {
            let headers = [("content-type", kind), ("cookie", "mozaiks=T1"), ("origin", "http://evil.com")];
            let told = door.rest(&format!("POST {path}"), &headers, "{\"user\":\"ann\"}").await;
            assert_eq!((told.status, told.reason().as_str()), (415, "CONTENT_TYPE_UNSUPPORTED"), "{kind} {path}");
        }
    }
    assert!(door.seen().is_empty());
}

#[tokio::test]
async fn only_our_pages_read_answers() {
    let (door, path) = (Door::open(), format!("{THINGS}/GetThing"));
    for (origin, own) in
        [("http://here", true), ("https://app.example.com", true), ("https://here", false), ("http://evil.com", false), ("null", false)]
    {
        let ask = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-grpc-web,x-mozaiks-client,x-evil"),
        ];
        for line in [format!("OPTIONS {path}"), "OPTIONS /api/core/probe/byCount/1".into(), "OPTIONS /nowhere".into()] {
            let told = door.rest(&line, &ask, "").await;
            assert_eq!((told.status, told.header("access-control-allow-origin")), (204, own.then_some(origin)), "{line} {origin}");
            assert_eq!(told.header("access-control-allow-headers"), own.then_some("content-type, x-grpc-web, x-mozaiks-client"));
            assert_eq!(told.header("access-control-max-age"), own.then_some("7200"));
        }
        let good = call(&door, RPC_WIRES[1], &path, &json!({}), &[("origin", origin)]).await;
        let bad = door.rest("GET /api/core/probe/apps/acme/things/missing", &[("origin", origin)], "").await;
        for told in [good, bad] {
            assert_eq!(told.header("access-control-allow-origin"), own.then_some(origin));
            assert_eq!(told.header("access-control-allow-credentials"), own.then_some("true"));
            assert_eq!(told.header("access-control-expose-headers").is_some_and(|names| names.contains("grpc-status-details-bin")), own);
            assert_eq!(told.header("vary"), Some("origin"));
        }
    }
}

#[tokio::test]
async fn navigations_get_the_document_and_nothing_else_does() {
    let config = Config { bootstrap: json!({ "app": "</script>" }), ..Config::default() };
    let door = Door::with(config);
    let html = [("accept", "text/html,application/xhtml+xml")];
    for line in ["GET /", "GET /apps/acme", "GET /no/such/page?x=1", "GET /apiary"] {
        let told = door.rest(line, &html, "").await;
        assert!(matches!(told.status, 200 | 503), "{line}");
        assert_eq!((told.header("cache-control"), told.header("content-type")), (Some("no-store"), Some("text/html; charset=utf-8")));
        let policy = told.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && policy.ends_with("require-trusted-types-for 'script'"));
        let page = String::from_utf8(told.body.to_vec()).unwrap();
        let says = if told.status == 200 { "id=\"bootstrap\">{\"app\":\"\\u003c/script>\"}</script>" } else { "npm run build" };
        assert!(page.contains(says), "{page}");
    }
    let mut request = Request::get("/apps/acme").header("accept", html[0].1).body(full("")).unwrap();
    request.extensions_mut().insert(Admin);
    let (public, admin) = (door.rest("GET /apps/acme", &html, "").await, door.send(request).await);
    let says = |told: &Told| String::from_utf8_lossy(&told.body).contains("\"admin\":true");
    assert_eq!((says(&public), says(&admin)), (false, admin.status == 200));
    for header in ["cache-control", "content-security-policy", "content-type", "etag", "vary"] {
        assert_eq!(public.header(header), admin.header(header), "{header}");
    }
    for line in [
        "GET /api/core/nothing",
        "GET /api",
        "GET /page.html",
        "POST /",
        "GET /shell/none.js",
        "GET /shell/../index.html",
        "GET /shell/..%2Findex.html",
    ] {
        let told = door.rest(line, &html, "").await;
        assert_eq!((told.status, told.reason().as_str()), (404, "ROUTE_UNKNOWN"), "{line}");
    }
    assert_eq!(door.rest("GET /apps/acme", &[("accept", "application/json")], "").await.reason(), "ROUTE_UNKNOWN");
}
