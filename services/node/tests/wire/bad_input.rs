//! Broken and hostile requests: each gets a clear answer in the caller's own protocol, and nothing happens.

use http::Method;
use serde_json::{Value, json};

use crate::node::{Node, PASSWORD};
use crate::wires::{Failure, Raw, Wire, content_type, failure_of_json, framed, method_of, path_of};

fn refused(raw: &Raw) -> Failure {
    failure_of_json(&serde_json::from_slice(&raw.body).unwrap_or_else(|_| panic!("{raw:?}")), raw.http)
}

const REGISTER: &str = "/api/core/identity/apps/platform/auth:register";

#[tokio::test]
async fn json_that_is_not_the_request_is_named() {
    let node = Node::start();
    let good = format!("\"email\":\"a@example.com\",\"password\":\"{PASSWORD}\"");
    for (body, reason) in [
        (format!("{{{good},\"shoeSize\":44}}"), "FIELD_UNKNOWN"),
        (format!("{{{good},\"email\":\"b@example.com\"}}"), "DUPLICATE_KEY"),
        (format!("{{{good},\"profile\":{{\"locale\":\"en\",\"locale\":\"de\"}}}}"), "DUPLICATE_KEY"),
        (format!("{{{good},\"remember\":\"perhaps\"}}"), "BODY_INVALID"),
        (format!("{{{good}"), "BODY_INVALID"),
        (format!("{{{good}}} {{}}"), "BODY_INVALID"),
        ("[".repeat(100), "BODY_INVALID"),
    ] {
        let raw = node.anyone().send(Method::POST, REGISTER, "application/json", body.clone().into_bytes()).await;
        let failure = refused(&raw);
        assert_eq!((failure.http, failure.code, failure.reason.as_str()), (400, 3, reason), "{body}");
        assert!(!failure.call_id.is_empty() && !failure.message.contains("a@example.com"));
    }
    assert!(
        node.anyone()
            .call(
                "AuthService/SignIn",
                json!({ "parent": "apps/platform", "identifier": { "email": "a@example.com" }, "check": { "password": PASSWORD } })
            )
            .await
            .is_err()
    );
}

#[tokio::test]
async fn query_keys_must_be_known_and_fit() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await.on(Wire::Rest);
    for (query, reason) in [
        ("shoe_size=44", "UNKNOWN_PARAMETER"),
        ("page_size=many", "PARAMETER_INVALID"),
        ("page_size=1&page_size=2", "PARAMETER_INVALID"),
        ("page_size=-1", "FIELDS_INVALID"),
    ] {
        let failure = refused(&ann.send(Method::GET, &format!("/api/core/identity/apps?{query}"), "", vec![]).await);
        assert_eq!((failure.http, failure.reason.as_str(), failure.fields.len()), (400, reason, 1), "{query}");
    }
}

#[tokio::test]
async fn paths_are_never_normalised() {
    let node = Node::start();
    for path in [
        "/api/core/identity/apps/platform/../platform/auth/methods",
        "/api/core/identity//apps/platform/auth/methods",
        "/api/core/identity/apps/platform%00/auth/methods",
        "/api/core/identity/apps/%2E%2E/auth/methods",
    ] {
        let failure = refused(&node.anyone().send(Method::GET, path, "", vec![]).await);
        assert!([400, 404].contains(&failure.http), "{path}: {failure:?}");
    }
}

#[tokio::test]
async fn a_message_over_its_limit_is_refused_on_every_wire() {
    let node = Node::start();
    for wire in Wire::ALL {
        let ask = json!({ "parent": "apps/platform", "email": "a@example.com", "password": "x".repeat(1 << 20) });
        let failure = node.anyone().on(wire).call("AuthService/Register", ask).await.unwrap_err();
        assert_eq!((failure.code, failure.reason.as_str()), (8, "MESSAGE_TOO_LARGE"), "{wire:?}");
        assert_eq!(failure.http, if wire == Wire::Rest { 413 } else { 200 });
    }
}

#[tokio::test]
async fn a_foreign_content_type_executes_nothing() {
    let node = Node::start();
    let body = format!("{{\"email\":\"a@example.com\",\"password\":\"{PASSWORD}\"}}");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""] {
        let caller = node.anyone().with("cookie", "mozaiks=x").with("x-mozaiks-session", "cookie");
        let failure = refused(&caller.send(Method::POST, REGISTER, kind, body.clone().into_bytes()).await);
        assert_eq!((failure.http, failure.reason.as_str()), (415, "CONTENT_TYPE_UNSUPPORTED"), "{kind}");
        let path = path_of(&method_of("AuthService/Register"));
        let raw = node.anyone().send(Method::POST, &path, kind, framed(Wire::Grpc, b"")).await;
        assert_eq!(raw.http, 415, "{kind}: {raw:?}");
    }
    node.person("a@example.com").await;
}

#[tokio::test]
async fn an_rpc_path_is_called_by_post_alone() {
    let node = Node::start();
    let path = path_of(&method_of("AuthService/ListSignInMethods"));
    for verb in [Method::GET, Method::DELETE, Method::PUT] {
        for wire in [Wire::GrpcWeb, Wire::GrpcWebText, Wire::Rest] {
            let raw = node.anyone().send(verb.clone(), &path, content_type(wire), vec![]).await;
            assert_eq!((raw.http, raw.headers["allow"].to_str().unwrap()), (405, "POST"), "{verb} {wire:?}");
        }
    }
    let raw = node.anyone().send(Method::DELETE, REGISTER, "", vec![]).await;
    assert_eq!(
        (refused(&raw).reason.as_str(), raw.http, raw.headers["allow"].to_str().unwrap()),
        ("VERB_NOT_ALLOWED", 405, "OPTIONS, POST")
    );
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented_in_its_own_wire() {
    let node = Node::start();
    for wire in [Wire::Grpc, Wire::GrpcWeb, Wire::GrpcWebText] {
        for path in ["/mozaiks.identity.v1.AuthService/Nothing", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] {
            let raw = node.anyone().send(Method::POST, path, content_type(wire), framed(wire, b"")).await;
            assert_eq!((raw.http, raw.headers["grpc-status"].to_str().unwrap(), raw.body.len()), (200, "12", 0), "{wire:?} {path}");
        }
    }
}

#[tokio::test]
async fn conditions_in_headers_mean_the_fields() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await.on(Wire::Rest);
    let path = "/api/core/identity/apps/platform/me?update_mask=profile.displayName";
    let body = |name: &str| serde_json::to_vec(&json!({ "profile": { "displayName": name } })).unwrap();
    let first = ann.send(Method::PATCH, path, "application/json", body("Ann B.")).await;
    let etag = first.headers["etag"].to_str().unwrap().to_owned();
    let user: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(user["etag"], json!(etag));
    let caller = ann.clone().with("if-match", &etag);
    assert_eq!(caller.send(Method::PATCH, path, "application/json", body("Ann C.")).await.http, 200);
    let stale = refused(&caller.send(Method::PATCH, path, "application/json", body("Ann D.")).await);
    assert_eq!((stale.http, stale.code, stale.reason.as_str()), (412, 10, "ETAG_STALE"));
    let repeated = ann.with("idempotency-key", "k1");
    let one = repeated.send(Method::PATCH, path, "application/json", body("Ann E.")).await;
    let two = repeated.send(Method::PATCH, path, "application/json", body("Ann E.")).await;
    assert_eq!(one.body, two.body);
}

#[tokio::test]
async fn a_browser_keeps_its_refresh_token_in_a_cookie_that_no_other_site_can_use() {
    let node = Node::start();
    node.person("ann@example.com").await;
    for wire in Wire::ALL {
        let browser = node
            .anyone()
            .on(wire)
            .with("x-mozaiks-session", "cookie")
            .with("x-mozaiks-client", "test")
            .with("sec-fetch-site", "same-origin")
            .with("grpc-timeout", "10S");
        let ask = json!({ "parent": "apps/platform", "identifier": { "email": "ann@example.com" }, "check": { "password": PASSWORD } });
        let (raw, answer) = browser.call_raw("AuthService/SignIn", ask).await;
        assert_eq!(answer.unwrap()["session"]["refreshToken"], Value::Null, "{wire:?}");
        let cookie = raw.headers["set-cookie"].to_str().unwrap().to_owned();
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let pair = cookie.split(';').next().unwrap();
        let browser = browser.with("cookie", pair);
        let refresh = json!({ "parent": "apps/platform" });
        for forged in [browser.clone().with("sec-fetch-site", "cross-site"), browser.clone().with("sec-fetch-site", "same-site")] {
            let failure = forged.call("AuthService/RefreshSession", refresh.clone()).await.unwrap_err();
            assert_eq!((failure.code, failure.reason.as_str()), (7, "CROSS_SITE_REFUSED"), "{wire:?}");
        }
        let both = json!({ "parent": "apps/platform", "refreshToken": "x" });
        assert_eq!(browser.call("AuthService/RefreshSession", both).await.unwrap_err().reason, "CREDENTIALS_AMBIGUOUS", "{wire:?}");
        let (raw, answer) = browser.call_raw("AuthService/RefreshSession", refresh.clone()).await;
        assert!(answer.is_ok() && raw.headers.contains_key("set-cookie"), "{wire:?}");
        let next = raw.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let (raw, answer) = browser.with("cookie", &next).call_raw("AuthService/SignOut", refresh).await;
        assert!(answer.is_ok() && raw.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"), "{wire:?}");
    }
}

#[tokio::test]
async fn no_secret_reaches_a_log() {
    let node = Node::start();
    let (email, password) = ("canary-address@example.com", "canary-password-7391");
    let mut secrets = vec![email.to_owned(), password.to_owned()];
    for wire in Wire::ALL {
        let anyone = node.anyone().on(wire);
        let ask = |password: &str| json!({ "parent": "apps/platform", "email": email, "password": password, "identifier": { "email": email }, "check": { "password": password } });
        let pick = |keys: &[&str], password: &str| {
            Value::Object(keys.iter().map(|key| ((*key).to_owned(), ask(password)[*key].clone())).collect())
        };
        let _ = anyone.call("AuthService/Register", pick(&["parent", "email", "password"], password)).await;
        let _ = anyone.call("AuthService/Register", pick(&["parent", "email", "password"], "canary-password-8264")).await;
        let _ = anyone.call("AuthService/SignIn", pick(&["parent", "identifier", "check"], "canary-password-8264")).await;
        let session =
            anyone.call("AuthService/SignIn", pick(&["parent", "identifier", "check"], password)).await.unwrap()["session"].clone();
        for key in ["accessToken", "refreshToken"] {
            secrets.push(session[key].as_str().unwrap().to_owned());
        }
        let _ = anyone
            .clone()
            .bearer(session["accessToken"].as_str().unwrap())
            .call("MeService/GetMe", json!({ "name": "apps/nowhere/me" }))
            .await;
        let _ =
            anyone.call("AuthService/RefreshSession", json!({ "parent": "apps/nowhere", "refreshToken": session["refreshToken"] })).await;
    }
    let log = node.log();
    assert!(log.lines().count() > 10, "the log is empty, so this proves nothing");
    for secret in secrets.iter().map(String::as_str).chain(["canary-password-8264"]) {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
}
