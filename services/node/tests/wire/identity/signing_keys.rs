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
