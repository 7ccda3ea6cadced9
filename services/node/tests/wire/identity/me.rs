//! `MeService`.

use serde_json::{Value, json};

use super::is_revoked;
use crate::node::{Node, Person};
use crate::wires::{Answer, Wire};

async fn rename(person: &Person, wire: Wire, name: &str, etag: &Value, request_id: &str) -> Answer {
    let user = json!({ "profile": { "displayName": name }, "etag": etag, "state": "USER_STATE_DISABLED", "emailVerified": true });
    let ask = json!({ "name": "apps/platform/me", "user": user, "updateMask": "profile.displayName", "requestId": request_id });
    person.on(wire).call("MeService/UpdateMe", ask).await
}

#[tokio::test]
async fn changes_what_is_named_and_nothing_that_only_the_server_sets() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    for wire in Wire::ALL {
        let name = format!("Ann {wire:?}");
        let user = &rename(&ann, wire, &name, &Value::Null, "").await.unwrap()["user"];
        assert_eq!(
            (&user["profile"]["displayName"], &user["state"], &user["emailVerified"]),
            (&json!(name), &json!("USER_STATE_ACTIVE"), &Value::Null)
        );
    }
}

#[tokio::test]
async fn a_stale_etag_is_refused() {
    let node = Node::start();
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        let ann = node.person(&format!("ann{n}@example.com")).await;
        let etag = ann.get_me().await.unwrap()["user"]["etag"].clone();
        rename(&ann, wire, "Ann B.", &etag, "").await.unwrap();
        let refused = rename(&ann, wire, "Ann C.", &etag, "").await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (10, "ETAG_STALE"), "{wire:?}");
    }
}

#[tokio::test]
async fn a_repeat_is_neither_stale_nor_applied_twice() {
    let node = Node::start();
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        let ann = node.person(&format!("ann{n}@example.com")).await;
        let etag = ann.get_me().await.unwrap()["user"]["etag"].clone();
        let first = rename(&ann, wire, "Ann B.", &etag, "r1").await.unwrap();
        let again = rename(&ann, wire, "Ann B.", &etag, "r1").await.unwrap();
        assert_eq!(first, again, "{wire:?}");
        let other = rename(&ann, wire, "Ann C.", &Value::Null, "r1").await.unwrap_err();
        assert_eq!(other.reason, "REQUEST_ID_REUSED", "{wire:?}");
    }
}

#[tokio::test]
async fn masks_and_values_are_checked() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let long = "x".repeat(81);
    for (mask, name, reason) in [
        ("", "Ann", "FIELDS_INVALID"),
        ("email", "Ann", "FIELDS_INVALID"),
        ("profile.shoeSize", "Ann", "MASK_INVALID"),
        ("profile", long.as_str(), "PROFILE_INVALID"),
    ] {
        for wire in Wire::ALL {
            let ask = json!({ "name": "apps/platform/me", "user": { "profile": { "displayName": name } }, "updateMask": mask });
            let refused = ann.on(wire).call("MeService/UpdateMe", ask).await.unwrap_err();
            assert_eq!((refused.code, refused.reason.as_str()), (3, reason), "{mask} {wire:?}");
        }
    }
}

#[tokio::test]
async fn a_session_ended_elsewhere_ends_here() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let elsewhere = ann.refresh().await.unwrap();
    let ask = json!({ "parent": "apps/platform", "identifier": { "email": "ann@example.com" }, "check": { "password": crate::node::PASSWORD }, "deviceName": "Phone" });
    let phone = Person::of(node.anyone(), &node.anyone().call("AuthService/SignIn", ask).await.unwrap());
    let listed = phone.call("MeService/ListMySessions", json!({ "parent": "apps/platform/me" })).await.unwrap();
    let sessions = listed["sessions"].as_array().unwrap();
    assert_eq!(
        (sessions.len(), &sessions[0]["deviceName"], &sessions[0]["current"], &sessions[1]["current"]),
        (2, &json!("Phone"), &json!(true), &Value::Null)
    );

    phone.call("MeService/RevokeMySession", json!({ "name": sessions[1]["name"] })).await.unwrap();
    phone.call("MeService/RevokeMySession", json!({ "name": sessions[1]["name"] })).await.expect("ending what is over is no error");
    assert_eq!(elsewhere.get_me().await.unwrap_err().reason, "SESSION_ENDED");
    assert_eq!(elsewhere.refresh().await.err().unwrap().reason, "SESSION_ENDED");
    assert!(phone.get_me().await.is_ok());
}

#[tokio::test]
async fn nobody_ends_somebody_elses_session() {
    let node = Node::start();
    let (ann, ben) = (node.person("ann@example.com").await, node.person("ben@example.com").await);
    let id = ann.session.rsplit('/').next().unwrap();
    for wire in Wire::ALL {
        let name = |id: &str| json!({ "name": format!("apps/platform/me/sessions/{id}") });
        let mut foreign = ben.on(wire).call("MeService/RevokeMySession", name(id)).await.unwrap_err();
        let absent = ben.on(wire).call("MeService/RevokeMySession", name("ses_none")).await.unwrap_err();
        foreign.call_id.clone_from(&absent.call_id);
        foreign.message = foreign.message.replace(id, "ses_none");
        assert_eq!((absent.reason.as_str(), &foreign), ("NOT_FOUND", &absent), "{wire:?}");
    }
    assert!(ann.get_me().await.is_ok());
}

#[tokio::test]
async fn a_changed_password_ends_everything_but_the_session_it_answers() {
    let node = Node::start();
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        let email = format!("ann{n}@example.com");
        let ann = node.person(&email).await;
        let elsewhere = sign_in(&node, &email, crate::node::PASSWORD).await.unwrap();
        let change =
            |current: &str| json!({ "name": "apps/platform/me", "currentPassword": current, "newPassword": "a quite new passphrase" });
        let wrong = ann.on(wire).call("MeService/ChangePassword", change("not my password")).await.unwrap_err();
        assert_eq!(wrong.reason, "CREDENTIALS_INVALID", "{wire:?}");
        let weak = json!({ "name": "apps/platform/me", "currentPassword": crate::node::PASSWORD, "newPassword": "password" });
        let weak = ann.on(wire).call("MeService/ChangePassword", weak).await.unwrap_err();
        assert_eq!((weak.reason.as_str(), weak.fields.as_slice()), ("PASSWORD_WEAK", ["new_password".to_owned()].as_slice()));
        let answer = ann.on(wire).call("MeService/ChangePassword", change(crate::node::PASSWORD)).await.unwrap();
        let renewed = Person::of(node.anyone(), &answer);
        assert!(renewed.get_me().await.is_ok() && renewed.refresh().await.is_ok(), "{wire:?}");
        for old in [&ann, &elsewhere] {
            assert!(is_revoked(&old.get_me().await.unwrap_err()), "{wire:?}");
            assert!(is_revoked(&old.refresh().await.err().unwrap()), "{wire:?}");
        }
        assert_eq!(sign_in(&node, &email, crate::node::PASSWORD).await.err().unwrap().reason, "CREDENTIALS_INVALID");
        assert!(sign_in(&node, &email, "a quite new passphrase").await.is_ok());
    }
}

#[tokio::test]
async fn all_other_sessions_end_with_one_call() {
    let node = Node::start();
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        let email = format!("ann{n}@example.com");
        let ann = node.person(&email).await;
        let elsewhere = sign_in(&node, &email, crate::node::PASSWORD).await.unwrap();
        let answer = ann.on(wire).call("MeService/RevokeMyOtherSessions", json!({ "parent": "apps/platform/me" })).await.unwrap();
        let renewed = Person::of(node.anyone(), &answer);
        assert!(renewed.get_me().await.is_ok(), "{wire:?}");
        let listed = renewed.on(wire).call("MeService/ListMySessions", json!({ "parent": "apps/platform/me" })).await.unwrap();
        let states: Vec<&Value> = listed["sessions"].as_array().unwrap().iter().map(|session| &session["state"]).collect();
        assert_eq!(states, ["SESSION_STATE_ACTIVE", "SESSION_STATE_ENDED", "SESSION_STATE_ENDED"], "{wire:?}");
        for old in [&ann, &elsewhere] {
            assert!(is_revoked(&old.get_me().await.unwrap_err()), "{wire:?}");
        }
    }
}

async fn sign_in(node: &Node, email: &str, password: &str) -> Result<Person, crate::wires::Failure> {
    let ask = json!({ "parent": "apps/platform", "identifier": { "email": email }, "check": { "password": password } });
    Ok(Person::of(node.anyone(), &node.anyone().call("AuthService/SignIn", ask).await?))
}
