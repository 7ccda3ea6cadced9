//! `TokensService`.

use serde_json::json;

use crate::node::Node;
use crate::wires::Wire;

#[tokio::test]
async fn whoever_has_no_standing_learns_nothing() {
    let node = Node::start();
    let (ann, ben) = (node.person("ann@example.com").await, node.person("ben@example.com").await);
    node.app(&ann, "shop").await;
    for wire in Wire::ALL {
        let ask = |target: &str| json!({ "parent": "apps/platform", "target": target });
        let mut foreign = ben.on(wire).call("TokensService/EnterApp", ask("apps/shop")).await.unwrap_err();
        let absent = ben.on(wire).call("TokensService/EnterApp", ask("apps/none")).await.unwrap_err();
        foreign.call_id.clone_from(&absent.call_id);
        foreign.message = foreign.message.replace("apps/shop", "apps/none");
        assert_eq!((absent.reason.as_str(), &foreign), ("NOT_FOUND", &absent), "{wire:?}");
    }
}

#[tokio::test]
async fn an_entered_app_gives_its_own_rights_and_no_others() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let shop = node.app(&ann, "shop").await;
    node.app(&ann, "other").await;
    let entered = ann.call("TokensService/EnterApp", json!({ "parent": "apps/platform", "target": "apps/shop" })).await.unwrap();
    assert_eq!(entered["roles"], json!(["owner"]));
    assert!(shop.call("AppsService/GetApp", json!({ "name": "apps/shop" })).await.is_ok());
    assert_eq!(shop.call("AppsService/GetApp", json!({ "name": "apps/other" })).await.unwrap_err().reason, "NOT_FOUND");
    assert_eq!(shop.call("MeService/GetMe", json!({ "name": "apps/shop/me" })).await.unwrap_err().reason, "NOT_FOUND");
    let customer = node.person_of("shop", "cara@example.com").await;
    let denied = customer.call("AppsService/GetApp", json!({ "name": "apps/shop" })).await.unwrap_err();
    assert_eq!((denied.code, denied.reason.as_str()), (7, "PERMISSION_MISSING"));
    let denied = customer.call("AppsService/CreateApp", json!({ "app": { "displayName": "Mine" } })).await.unwrap_err();
    assert_eq!(denied.reason, "PERMISSION_MISSING", "only people of the platform app make apps");
}

#[tokio::test]
async fn leaving_ends_what_was_entered() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let shop = node.app(&ann, "shop").await;
    let out = json!({ "parent": "apps/platform", "refreshToken": ann.refresh_token });
    node.anyone().call("AuthService/SignOut", out).await.unwrap();
    assert_eq!(shop.call("AppsService/GetApp", json!({ "name": "apps/shop" })).await.unwrap_err().reason, "SESSION_ENDED");
}

#[tokio::test]
async fn introspection_tells_of_this_apps_tokens_alone() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let shop = node.app(&ann, "shop").await;
    let cara = node.person_of("shop", "cara@example.com").await;
    for wire in Wire::ALL {
        let staff = shop.clone().on(wire);
        let ask = |token: &str| json!({ "parent": "apps/shop", "token": token });
        let told = staff.call("TokensService/IntrospectToken", ask(&cara.on(wire).token())).await.unwrap();
        assert_eq!((&told["active"], &told["subject"]), (&json!(true), &json!(cara.name)), "{wire:?}");
        for other in [ann.on(wire).token(), "nonsense".into()] {
            assert_eq!(staff.call("TokensService/IntrospectToken", ask(&other)).await.unwrap(), json!({}), "{wire:?}");
        }
    }
}
