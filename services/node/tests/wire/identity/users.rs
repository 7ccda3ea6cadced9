//! `UsersService`.

use serde_json::{Value, json};

use super::is_revoked;
use crate::node::{Node, PASSWORD, Person};
use crate::wires::{Caller, Wire};

fn wish(email: &str, request_id: &str) -> Value {
    json!({ "parent": "apps/shop", "user": { "email": email, "profile": { "displayName": "Cara" } }, "password": PASSWORD, "requestId": request_id })
}

async fn shop(node: &Node) -> Caller {
    let ann = node.person("ann@example.com").await;
    node.app(&ann, "shop").await
}

#[tokio::test]
async fn staff_makes_reads_lists_and_changes_people() {
    let node = Node::start();
    let shop = shop(&node).await;
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        let staff = shop.clone().on(wire);
        let email = format!("{wire:?}@example.com");
        let made = staff.call("UsersService/CreateUser", wish(&email, "")).await.unwrap()["user"].clone();
        let got = staff.call("UsersService/GetUser", json!({ "name": made["name"] })).await.unwrap();
        assert_eq!((&got["user"], &made["email"]), (&made, &json!(email)), "{wire:?}");
        let listed = staff.call("UsersService/ListUsers", json!({ "parent": "apps/shop" })).await.unwrap();
        assert_eq!((&listed["users"][0], listed["users"].as_array().unwrap().len()), (&made, n + 1), "{wire:?}");
        let ask = json!({ "user": { "name": made["name"], "profile": { "displayName": "Cara B." }, "etag": made["etag"] }, "updateMask": "profile.displayName" });
        let changed = staff.call("UsersService/UpdateUser", ask.clone()).await.unwrap();
        assert_eq!(changed["user"]["profile"]["displayName"], json!("Cara B."), "{wire:?}");
        assert_eq!(staff.call("UsersService/UpdateUser", ask).await.unwrap_err().reason, "ETAG_STALE", "{wire:?}");
        assert_eq!(staff.call("UsersService/CreateUser", wish(&email, "")).await.unwrap_err().reason, "EMAIL_TAKEN", "{wire:?}");
    }
}

#[tokio::test]
async fn a_repeated_creation_makes_one_person_and_another_body_is_refused() {
    let node = Node::start();
    let shop = shop(&node).await;
    for wire in Wire::ALL {
        let staff = shop.clone().on(wire);
        let (email, request) = (format!("{wire:?}@example.com"), format!("{wire:?}"));
        let first = staff.call("UsersService/CreateUser", wish(&email, &request)).await.unwrap();
        assert_eq!(staff.call("UsersService/CreateUser", wish(&email, &request)).await.unwrap(), first, "{wire:?}");
        let mut other = wish(&email, &request);
        other["password"] = json!("another password 1");
        for other in [other, wish("other@example.com", &request)] {
            assert_eq!(staff.call("UsersService/CreateUser", other).await.unwrap_err().reason, "REQUEST_ID_REUSED", "{wire:?}");
        }
    }
}

#[tokio::test]
async fn a_disabled_person_is_out_at_once_and_everywhere() {
    let node = Node::start();
    let shop = shop(&node).await;
    for wire in Wire::ALL {
        let email = format!("{wire:?}@example.com");
        let cara = node.person_of("shop", &email).await;
        let staff = shop.clone().on(wire);
        for _ in 0..2 {
            let disabled = staff.call("UsersService/DisableUser", json!({ "name": cara.name })).await.unwrap();
            assert_eq!(disabled["user"]["state"], json!("USER_STATE_DISABLED"), "{wire:?}");
        }
        assert!(is_revoked(&cara.get_me().await.unwrap_err()), "{wire:?}");
        assert!(is_revoked(&cara.refresh().await.err().unwrap()), "{wire:?}");
        let sign_in = json!({ "parent": "apps/shop", "identifier": { "email": email }, "check": { "password": PASSWORD } });
        assert_eq!(node.anyone().call("AuthService/SignIn", sign_in.clone()).await.unwrap_err().reason, "CREDENTIALS_INVALID");
        staff.call("UsersService/EnableUser", json!({ "name": cara.name })).await.unwrap();
        let back = Person::of(node.anyone(), &node.anyone().call("AuthService/SignIn", sign_in).await.unwrap());
        assert!(back.get_me().await.is_ok());
        assert!(cara.get_me().await.is_err(), "what had ended stays ended");
    }
}

#[tokio::test]
async fn nobody_disables_themselves() {
    let node = Node::start();
    let operator = crate::identity::operators::operator(&node).await;
    for wire in Wire::ALL {
        let refused = operator.on(wire).call("UsersService/DisableUser", json!({ "name": operator.name })).await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (9, "OWN_ACCOUNT"), "{wire:?}");
        let refused = operator.on(wire).call("UsersService/DeleteUser", json!({ "name": operator.name })).await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (9, "OWN_ACCOUNT"), "{wire:?}");
    }
}

#[tokio::test]
async fn a_deleted_person_is_out_at_once_and_can_be_taken_back_for_30_days() {
    let node = Node::start();
    let shop = shop(&node).await;
    for wire in Wire::ALL {
        let email = format!("{wire:?}@example.com");
        let cara = node.person_of("shop", &email).await;
        let staff = shop.clone().on(wire);
        let deleted = staff.call("UsersService/DeleteUser", json!({ "name": cara.name })).await.unwrap()["user"].clone();
        assert_eq!((&deleted["state"], deleted["purgeTime"].is_string()), (&json!("USER_STATE_DELETED"), true), "{wire:?}");
        assert!(is_revoked(&cara.get_me().await.unwrap_err()), "{wire:?}");
        let sign_in = json!({ "parent": "apps/shop", "identifier": { "email": email }, "check": { "password": PASSWORD } });
        assert_eq!(node.anyone().call("AuthService/SignIn", sign_in.clone()).await.unwrap_err().reason, "CREDENTIALS_INVALID");
        assert_eq!(staff.call("UsersService/CreateUser", wish(&email, "")).await.unwrap_err().reason, "EMAIL_TAKEN", "{wire:?}");
        let enable = staff.call("UsersService/EnableUser", json!({ "name": cara.name })).await.unwrap_err();
        assert_eq!((enable.code, enable.reason.as_str()), (9, "USER_DELETED"), "{wire:?}");
        let back = staff.call("UsersService/UndeleteUser", json!({ "name": cara.name })).await.unwrap();
        assert_eq!((&back["user"]["state"], &back["user"]["deleteTime"]), (&json!("USER_STATE_ACTIVE"), &Value::Null), "{wire:?}");
        node.anyone().call("AuthService/SignIn", sign_in).await.unwrap();
        let again = staff.call("UsersService/UndeleteUser", json!({ "name": cara.name })).await.unwrap_err();
        assert_eq!((again.code, again.reason.as_str()), (9, "USER_NOT_DELETED"), "{wire:?}");
    }
}

#[tokio::test]
async fn nobody_is_deleted_who_alone_owns_an_app() {
    let node = Node::start();
    let operator = crate::identity::operators::operator(&node).await;
    let ann = node.person("ann@example.com").await;
    node.app(&ann, "shop").await;
    for wire in Wire::ALL {
        let refused = operator.on(wire).call("UsersService/DeleteUser", json!({ "name": ann.name })).await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (9, "LAST_OWNER"), "{wire:?}");
    }
    assert!(ann.get_me().await.is_ok());
    let shop = ann.entering("shop").await;
    shop.call("AppsService/DeleteApp", json!({ "name": "apps/shop", "confirm": "shop" })).await.unwrap();
    operator.call("UsersService/DeleteUser", json!({ "name": ann.name })).await.unwrap();
}

#[tokio::test]
async fn when_their_time_is_over_a_person_is_gone_and_the_address_is_free() {
    let node = Node::start();
    let staff = shop(&node).await;
    let cara = node.person_of("shop", "cara@example.com").await;
    staff.call("UsersService/DeleteUser", json!({ "name": cara.name })).await.unwrap();
    node.advance_seconds(30 * 24 * 3600);
    let sign_in = json!({ "parent": "apps/platform", "identifier": { "email": "ann@example.com" }, "check": { "password": PASSWORD } });
    let ann = Person::of(node.anyone(), &node.anyone().call("AuthService/SignIn", sign_in).await.unwrap());
    let staff = ann.entering("shop").await;
    // The scheduler looks every second or so; each call is a millisecond or two.
    let mut calls = 0;
    while let Ok(seen) = staff.call("UsersService/GetUser", json!({ "name": cara.name })).await {
        assert_eq!(seen["user"]["state"], json!("USER_STATE_DELETED"));
        calls += 1;
        assert!(calls < 50_000, "nobody purges");
    }
    let gone = staff.call("UsersService/UndeleteUser", json!({ "name": cara.name })).await.unwrap_err();
    assert_eq!((gone.code, gone.reason.as_str()), (5, "NOT_FOUND"));
    assert_ne!(node.person_of("shop", "cara@example.com").await.name, cara.name);
}
