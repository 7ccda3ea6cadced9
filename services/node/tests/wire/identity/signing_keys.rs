//! `SigningKeysService`.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::node::{Node, PUBLIC_URL};
use crate::wires::Wire;

#[tokio::test]
async fn published_keys_verify_tokens_and_are_each_apps_own() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let shop = node.app(&ann, "shop").await;
    let mut kids = Vec::new();
    for (app, token) in [("platform", ann.on(Wire::Grpc).token()), ("shop", shop.token())] {
        let raw = node.anyone().send(http::Method::GET, &format!("/api/core/identity/oidc/{app}/jwks"), "", vec![]).await;
        let keys: Value = serde_json::from_slice(&raw.body).unwrap();
        let header: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap();
        assert_eq!((&keys["keys"][0]["kid"], &keys["keys"][0]["kty"], &header["typ"]), (&header["kid"], &json!("OKP"), &json!("at+jwt")));
        let key = jsonwebtoken::DecodingKey::from_ed_components(keys["keys"][0]["x"].as_str().unwrap()).unwrap();
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
        rules.set_audience(&["mozaiks"]);
        rules.set_issuer(&[format!("{PUBLIC_URL}/api/core/identity/oidc/{app}")]);
        let verified = jsonwebtoken::decode::<Value>(&token, &key, &rules).unwrap();
        assert_eq!(verified.claims["app"], json!(app));
        kids.push(header["kid"].clone());
    }
    assert_ne!(kids[0], kids[1]);
    for wire in Wire::ALL {
        let absent = node.anyone().on(wire).call("SigningKeysService/GetJwks", json!({ "appId": "nowhere" })).await.unwrap_err();
        assert_eq!(absent.reason, "NOT_FOUND", "{wire:?}");
    }
}

#[tokio::test]
async fn a_rotated_key_is_published_before_it_signs_and_old_tokens_live_on() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let shop = node.app(&ann, "shop").await;
    let next = shop.call("SigningKeysService/RotateSigningKey", json!({ "parent": "apps/shop" })).await.unwrap();
    let again = shop.call("SigningKeysService/RotateSigningKey", json!({ "parent": "apps/shop" })).await.unwrap();
    assert_eq!(next, again, "a successor that waits is the successor");
    let listed = shop.call("SigningKeysService/ListSigningKeys", json!({ "parent": "apps/shop" })).await.unwrap();
    assert_eq!((&listed["signingKeys"][0]["kid"], &listed["signingKeys"][1]["signing"]), (&next["signingKey"]["kid"], &json!(true)));
    node.advance_seconds(5 * 60);
    let ann = ann.refresh().await.unwrap();
    let signed = ann.entering("shop").await;
    let header = signed.token().split('.').next().map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["kid"], next["signingKey"]["kid"]);
    for token in [&shop, &signed] {
        assert!(token.call("AppsService/GetApp", json!({ "name": "apps/shop" })).await.is_ok());
    }
}

#[tokio::test]
async fn the_issuer_says_where_its_keys_are() {
    let node = Node::start();
    for wire in Wire::ALL {
        let told = node.anyone().on(wire).call("SigningKeysService/GetDiscovery", json!({ "appId": "platform" })).await.unwrap();
        assert_eq!(told["jwks_uri"], json!(format!("{PUBLIC_URL}/api/core/identity/oidc/platform/jwks")), "{wire:?}");
    }
}
