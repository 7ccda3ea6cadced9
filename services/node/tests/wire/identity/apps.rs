//! `AppsService`.

use serde_json::{Value, json};

use super::is_revoked;
use crate::node::Node;
use crate::wires::Wire;

fn wish(id: &str, name: &str, request_id: &str) -> Value {
    json!({ "appId": id, "app": { "displayName": name }, "requestId": request_id })
}

#[tokio::test]
async fn an_app_is_created_found_and_still_there_after_a_restart() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        let made = ann.on(wire).call("AppsService/CreateApp", wish(&format!("shop-{n}"), "Shop", "")).await.unwrap();
        assert_eq!((&made["app"]["name"], &made["app"]["state"]), (&json!(format!("apps/shop-{n}")), &json!("APP_STATE_ACTIVE")));
        let listed = ann.on(wire).call("AppsService/ListApps", json!({})).await.unwrap();
        assert_eq!(listed["apps"].as_array().unwrap().len(), n + 1, "{wire:?}");
        let inside = ann.entering(&format!("shop-{n}")).await;
        let got = inside.on(wire).call("AppsService/GetApp", json!({ "name": format!("apps/shop-{n}") })).await.unwrap();
        assert_eq!(got["app"], made["app"], "{wire:?}");
    }
    let node = node.killed_and_restarted();
    let ask =
        json!({ "parent": "apps/platform", "identifier": { "email": "ann@example.com" }, "check": { "password": crate::node::PASSWORD } });
    let again = node.anyone().call("AuthService/SignIn", ask).await.unwrap();
    let ann = crate::node::Person::of(node.anyone(), &again);
    assert_eq!(ann.call("AppsService/ListApps", json!({})).await.unwrap()["apps"].as_array().unwrap().len(), Wire::ALL.len());
}

#[tokio::test]
async fn an_id_belongs_to_whoever_claimed_it() {
    let node = Node::start();
    let (ann, ben) = (node.person("ann@example.com").await, node.person("ben@example.com").await);
    ann.call("AppsService/CreateApp", wish("shop", "Shop", "")).await.unwrap();
    for person in [&ann, &ben] {
        let failure = person.call("AppsService/CreateApp", wish("shop", "Shop", "")).await.unwrap_err();
        assert_eq!(
            (failure.code, failure.reason.as_str(), failure.fields.as_slice()),
            (6, "APP_ID_TAKEN", ["app_id".to_owned()].as_slice())
        );
    }
    for reserved in ["platform", "system"] {
        assert_eq!(ann.call("AppsService/CreateApp", wish(reserved, "Mine", "")).await.unwrap_err().reason, "APP_ID_TAKEN");
    }
    for bad in ["ab", "Shop", "1shop", "shop_1", "x".repeat(41).as_str()] {
        assert_eq!(ann.call("AppsService/CreateApp", wish(bad, "Shop", "")).await.unwrap_err().reason, "APP_ID_INVALID", "{bad}");
    }
}

#[tokio::test]
async fn a_repeated_creation_answers_the_same_app() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        let request = format!("make-{n}");
        let first = ann.on(wire).call("AppsService/CreateApp", wish("", "Any", &request)).await.unwrap();
        let again = ann.on(wire).call("AppsService/CreateApp", wish("", "Any", &request)).await.unwrap();
        assert_eq!(first, again, "{wire:?}");
        let other = ann.on(wire).call("AppsService/CreateApp", wish("", "Other", &request)).await.unwrap_err();
        assert_eq!((other.code, other.reason.as_str()), (9, "REQUEST_ID_REUSED"), "{wire:?}");
    }
    let ben = node.person("ben@example.com").await;
    ben.call("AppsService/CreateApp", wish("", "Ben's", "make-0")).await.expect("request ids are each caller's own");
}

#[tokio::test]
async fn a_taken_id_leaves_the_request_id_free_for_another_try() {
    let node = Node::start();
    let (ann, ben) = (node.person("ann@example.com").await, node.person("ben@example.com").await);
    ann.call("AppsService/CreateApp", wish("shop", "Shop", "")).await.unwrap();
    assert_eq!(ben.call("AppsService/CreateApp", wish("shop", "Ben's shop", "r")).await.unwrap_err().reason, "APP_ID_TAKEN");
    ben.call("AppsService/CreateApp", wish("bens-shop", "Ben's shop", "r")).await.unwrap();
}

#[tokio::test]
async fn lists_page_by_sealed_tokens_of_their_own_question() {
    let node = Node::start();
    let (ann, ben) = (node.person("ann@example.com").await, node.person("ben@example.com").await);
    for id in ["aaa", "bbb", "ccc"] {
        ann.call("AppsService/CreateApp", wish(id, id, "")).await.unwrap();
    }
    for wire in Wire::ALL {
        let first = ann.on(wire).call("AppsService/ListApps", json!({ "pageSize": 2 })).await.unwrap();
        let token = &first["nextPageToken"];
        let second = ann.on(wire).call("AppsService/ListApps", json!({ "pageSize": 2, "pageToken": token })).await.unwrap();
        let names: Vec<&Value> =
            first["apps"].as_array().unwrap().iter().chain(second["apps"].as_array().unwrap()).map(|app| &app["name"]).collect();
        assert_eq!(names, ["apps/aaa", "apps/bbb", "apps/ccc"], "{wire:?}");
        assert!(second["nextPageToken"].is_null());
        let foreign = ben.on(wire).call("AppsService/ListApps", json!({ "pageToken": token })).await.unwrap_err();
        assert_eq!((foreign.code, foreign.reason.as_str()), (3, "PAGE_TOKEN"), "{wire:?}");
        let parent = ann.app.clone() + "/me";
        let other = ann.on(wire).call("MeService/ListMySessions", json!({ "parent": parent, "pageToken": token })).await.unwrap_err();
        assert_eq!(other.reason, "PAGE_TOKEN", "{wire:?}");
        let negative = ann.on(wire).call("AppsService/ListApps", json!({ "pageSize": -1 })).await.unwrap_err();
        assert_eq!((negative.code, negative.fields.as_slice()), (3, ["page_size".to_owned()].as_slice()), "{wire:?}");
    }
}

#[tokio::test]
async fn an_app_is_renamed_by_mask_and_etag() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let shop = node.app(&ann, "shop").await;
    for wire in Wire::ALL {
        let staff = shop.clone().on(wire);
        let etag = staff.call("AppsService/GetApp", json!({ "name": "apps/shop" })).await.unwrap()["app"]["etag"].clone();
        let ask = |name: &str| json!({ "app": { "name": "apps/shop", "displayName": name, "description": "ignored", "etag": etag }, "updateMask": "displayName" });
        let name = format!("Shop {wire:?}");
        let renamed = staff.call("AppsService/UpdateApp", ask(&name)).await.unwrap();
        assert_eq!((&renamed["app"]["displayName"], &renamed["app"]["description"]), (&json!(name), &Value::Null), "{wire:?}");
        assert_eq!(staff.call("AppsService/UpdateApp", ask("Other")).await.unwrap_err().reason, "ETAG_STALE", "{wire:?}");
        let fixed = json!({ "app": { "name": "apps/shop" }, "updateMask": "mode" });
        assert_eq!(staff.call("AppsService/UpdateApp", fixed).await.unwrap_err().reason, "FIELDS_INVALID", "{wire:?}");
    }
}

#[tokio::test]
async fn a_paused_app_is_closed_to_its_people_and_open_to_its_staff() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let shop = node.app(&ann, "shop").await;
    let cara = node.person_of("shop", "cara@example.com").await;
    for wire in Wire::ALL {
        let staff = shop.clone().on(wire);
        let paused = staff.call("AppsService/PauseApp", json!({ "name": "apps/shop", "reason": "Stocktaking" })).await.unwrap();
        assert_eq!(
            (&paused["app"]["state"], &paused["app"]["pauseReason"]),
            (&json!("APP_STATE_PAUSED"), &json!("Stocktaking")),
            "{wire:?}"
        );
        assert_eq!(cara.get_me().await.unwrap_err().reason, "APP_PAUSED", "{wire:?}");
        assert_eq!(cara.refresh().await.err().unwrap().reason, "APP_PAUSED", "{wire:?}");
        staff.call("AppsService/ResumeApp", json!({ "name": "apps/shop" })).await.unwrap();
        assert!(cara.get_me().await.is_ok(), "sessions from before live on");
    }
    let operator = crate::identity::operators::operator(&node).await;
    let refused = operator.call("AppsService/PauseApp", json!({ "name": "apps/platform", "reason": "No" })).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (9, "APP_RESERVED"));
}

#[tokio::test]
async fn a_deleted_app_ends_at_once_and_can_be_taken_back_for_30_days() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let shop = node.app(&ann, "shop").await;
    let cara = node.person_of("shop", "cara@example.com").await;
    let missing = shop.call("AppsService/DeleteApp", json!({ "name": "apps/shop", "confirm": "sohp" })).await.unwrap_err();
    assert_eq!((missing.code, missing.reason.as_str()), (3, "CONFIRMATION_MISSING"));
    for wire in Wire::ALL {
        let staff = ann.entering("shop").await.on(wire);
        let deleted = staff.call("AppsService/DeleteApp", json!({ "name": "apps/shop", "confirm": "shop" })).await.unwrap();
        assert_eq!(deleted["app"]["state"], json!("APP_STATE_DELETED"), "{wire:?}");
        assert!(is_revoked(&staff.call("AppsService/GetApp", json!({ "name": "apps/shop" })).await.unwrap_err()), "{wire:?}");
        assert_eq!(cara.get_me().await.unwrap_err().reason, "APP_DELETED", "{wire:?}");
        let again = ann.entering("shop").await.on(wire);
        let made = again.call("UsersService/CreateUser", json!({ "parent": "apps/shop", "user": { "email": "new@example.com" } })).await;
        assert_eq!(made.unwrap_err().reason, "PERMISSION_MISSING", "a deleted app is only looked at and taken back");
        again.call("AppsService/UndeleteApp", json!({ "name": "apps/shop" })).await.unwrap();
        assert_eq!(again.call("AppsService/UndeleteApp", json!({ "name": "apps/shop" })).await.unwrap_err().reason, "APP_NOT_DELETED");
        assert!(is_revoked(&cara.get_me().await.unwrap_err()), "what had ended stays ended");
    }
    assert_eq!(ann.call("AppsService/CreateApp", wish("shop", "Mine", "")).await.unwrap_err().reason, "APP_ID_TAKEN");
}

#[tokio::test]
async fn what_destroys_needs_a_fresh_sign_in() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    node.app(&ann, "shop").await;
    node.advance_seconds(16 * 60);
    let staff = ann.refresh().await.unwrap().entering("shop").await;
    let refused = staff.call("AppsService/DeleteApp", json!({ "name": "apps/shop", "confirm": "shop" })).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (7, "STEP_UP_REQUIRED"));
}

#[tokio::test]
async fn an_unknown_mode_is_not_guessed() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    for wire in Wire::ALL {
        let ask = json!({ "app": { "displayName": "Shop", "mode": 99 } });
        let refused = ann.on(wire).call("AppsService/CreateApp", ask).await.unwrap_err();
        assert_eq!((refused.code, refused.fields.as_slice()), (3, ["app.mode".to_owned()].as_slice()), "{wire:?}");
    }
}
