//! The real contract of identity: its rules hold, its typed codecs agree with the dynamic one.

use serde_json::json;

use crate::peer::{Door, SCHEMA};

#[tokio::test]
async fn every_rule_is_served() {
    let rules = gateway::rules(&SCHEMA).unwrap();
    let identity: Vec<_> = rules.iter().filter(|rule| &*rule.method.area == "identity").collect();
    assert!(identity.len() >= 13);
    assert!(
        identity.iter().any(|rule| rule.template == "/api/core/identity/{parent=apps/*}/auth:signIn" && rule.verb == http::Method::POST)
    );
}

#[tokio::test]
async fn typed_bodies_arrive_as_the_dynamic_codec_reads_them() {
    let door = Door::open();
    let told = door
        .rest(
            "POST /api/core/identity/apps?appId=acme",
            &[("idempotency-key", "k1")],
            "{\"displayName\":\"Acme\",\"mode\":\"APP_MODE_TEST\"}",
        )
        .await;
    assert_eq!((told.status, told.json()), (200, json!({ "displayName": "Acme", "mode": "APP_MODE_TEST" })));
    assert_eq!(
        door.seen()[0].ask,
        json!({ "app": { "displayName": "Acme", "mode": "APP_MODE_TEST" }, "appId": "acme", "requestId": "k1" })
    );
    door.rest(
        "PATCH /api/core/identity/apps/acme/me?updateMask=profile.displayName",
        &[("if-match", "\"2\"")],
        "{\"profile\":{\"display_name\":\"Ann\"}}",
    )
    .await;
    let expected = json!({ "name": "apps/acme/me", "user": { "profile": { "displayName": "Ann" }, "etag": "\"2\"" }, "updateMask": "profile.displayName" });
    assert_eq!(door.seen()[0].ask, expected);
    door.rest("GET /api/core/identity/oidc/acme/jwks", &[], "").await;
    assert_eq!(door.seen()[0].ask, json!({ "appId": "acme" }));
}

#[tokio::test]
async fn what_the_typed_codec_refuses_the_dynamic_one_judges() {
    let door = Door::open();
    let told = door.rest("POST /api/core/identity/apps", &[], "{\"displayName\":\"Acme\",\"description\":null}").await;
    assert_eq!((told.status, &door.seen()[0].ask), (200, &json!({ "app": { "displayName": "Acme" } })));
    let sign_in = "POST /api/core/identity/apps/acme/auth:signIn";
    for (body, reason) in [
        ("{\"check\":{\"password\":\"canary\",\"nope\":1}}", "FIELD_UNKNOWN"),
        ("{\"check\":{\"password\":\"canary\",\"password\":\"canary\"}}", "DUPLICATE_KEY"),
        ("{\"check\":{\"password\":[\"canary\"]}}", "BODY_INVALID"),
        ("{\"remember\":\"canary\"}", "BODY_INVALID"),
        ("{\"check\":\"canary", "BODY_INVALID"),
    ] {
        let told = door.rest(sign_in, &[], body).await;
        assert_eq!((told.status, told.reason().as_str()), (400, reason), "{body}");
        assert!(!told.json().to_string().contains("canary"), "{told:?}");
    }
    assert!(door.seen().is_empty());
}
