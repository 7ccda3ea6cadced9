//! `AuthService`.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::node::{Node, PASSWORD, Person};
use crate::wires::{Answer, Caller, Wire};

fn sign_in(email: &str, password: &str) -> Value {
    json!({ "parent": "apps/platform", "identifier": { "email": email }, "check": { "password": password } })
}

fn reason(answer: &Answer) -> &str {
    answer.as_ref().map_or_else(|failure| failure.reason.as_str(), |_| "OK")
}

/// The same call many times at once.
async fn at_once(caller: &Caller, method: &str, asks: Vec<Value>) -> Vec<Answer> {
    let calls = asks.into_iter().map(|ask| {
        let (caller, method) = (caller.clone(), method.to_owned());
        tokio::spawn(async move { caller.call(&method, ask).await })
    });
    let mut answers = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn registers_signs_in_refreshes_and_signs_out_on_every_wire() {
    let node = Node::start();
    for wire in Wire::ALL {
        let anyone = node.anyone().on(wire);
        let email = format!("{wire:?}@example.com");
        let register = json!({ "parent": "apps/platform", "email": email, "password": PASSWORD, "profile": { "displayName": "Ann" } });
        let ann = Person::of(anyone.clone(), &anyone.call("AuthService/Register", register).await.unwrap());
        assert_eq!(ann.get_me().await.unwrap()["user"]["email"], json!(email));

        let again = Person::of(anyone.clone(), &anyone.call("AuthService/SignIn", sign_in(&email, PASSWORD)).await.unwrap());
        let fresh = again.refresh().await.unwrap();
        assert_eq!((fresh.session.as_str(), fresh.name.as_str()), (again.session.as_str(), ann.name.as_str()));
        let out = json!({ "parent": "apps/platform", "refreshToken": fresh.refresh_token });
        anyone.call("AuthService/SignOut", out.clone()).await.unwrap();
        anyone.call("AuthService/SignOut", out).await.unwrap();
        assert_eq!(fresh.get_me().await.unwrap_err().reason, "SESSION_ENDED", "{wire:?}");
        assert_eq!(fresh.refresh().await.err().unwrap().reason, "SESSION_ENDED", "{wire:?}");
        assert!(ann.get_me().await.is_ok(), "other sessions live on");
    }
}

#[tokio::test]
async fn unknown_address_and_wrong_password_answer_alike() {
    let node = Node::start();
    node.person("ann@example.com").await;
    for wire in Wire::ALL {
        let anyone = node.anyone().on(wire);
        let mut wrong = anyone.call("AuthService/SignIn", sign_in("ann@example.com", "wrong password")).await.unwrap_err();
        let unknown = anyone.call("AuthService/SignIn", sign_in("nobody@example.com", "wrong password")).await.unwrap_err();
        wrong.call_id.clone_from(&unknown.call_id);
        assert_eq!((unknown.reason.as_str(), &wrong), ("CREDENTIALS_INVALID", &unknown), "{wire:?}");
    }
}

#[tokio::test]
async fn ten_wrong_passwords_in_a_row_delay_and_never_lock() {
    let node = Node::start();
    node.person("ann@example.com").await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(node.anyone().call("AuthService/SignIn", sign_in("ann@example.com", "wrong password")).await);
    }
    let reasons: Vec<&str> = answers.iter().map(reason).collect();
    assert_eq!(reasons[..4], ["CREDENTIALS_INVALID"; 4]);
    assert!(reasons[5..].iter().all(|reason| *reason == "TRY_LATER"), "{reasons:?}");
    assert!((1..=10).contains(&answers[9].as_ref().unwrap_err().retry_after_seconds.unwrap()));
    let right = node.anyone().call("AuthService/SignIn", sign_in("ann@example.com", PASSWORD)).await;
    assert_eq!(reason(&right), "TRY_LATER", "a right password waits like a wrong one");
    node.advance_seconds(301);
    node.anyone().call("AuthService/SignIn", sign_in("ann@example.com", PASSWORD)).await.unwrap();
}

#[tokio::test]
async fn guesses_at_once_learn_no_more_than_guesses_in_a_row() {
    let node = Node::start();
    node.person("ann@example.com").await;
    let asks = (0..64).map(|n| sign_in("ann@example.com", if n == 40 { PASSWORD } else { "wrong password" })).collect();
    let answers = at_once(&node.anyone(), "AuthService/SignIn", asks).await;
    let wrong = answers.iter().filter(|answer| reason(answer) == "CREDENTIALS_INVALID").count();
    assert!(wrong <= 10, "{wrong} guesses were judged");
    let others: HashSet<&str> = answers.iter().map(reason).collect();
    // The right one is judged only if it comes among the first; all others that are not judged wait.
    assert!(others.is_subset(&HashSet::from(["CREDENTIALS_INVALID", "TRY_LATER", "OK"])), "{others:?}");
}

#[tokio::test]
async fn ten_thousand_wrong_passwords_are_cheap_and_harm_nobody_else() {
    let node = Node::start();
    node.person("ann@example.com").await;
    node.person("ben@example.com").await;
    let mut judged = 0;
    for _ in 0..40 {
        let asks = (0..250).map(|_| sign_in("ann@example.com", "wrong password")).collect();
        let answers = at_once(&node.anyone(), "AuthService/SignIn", asks).await;
        judged += answers.iter().filter(|answer| reason(answer) == "CREDENTIALS_INVALID").count();
        // Which of those that come at once are judged is a race; no other waits for a hash.
        assert!(answers.iter().all(|answer| ["CREDENTIALS_INVALID", "TRY_LATER"].contains(&reason(answer))));
        node.anyone().call("AuthService/SignIn", sign_in("ben@example.com", PASSWORD)).await.unwrap();
    }
    assert!(judged <= 10, "{judged} of 10,000 guesses were judged");
}

#[tokio::test]
async fn one_address_is_one_account_however_many_ask_at_once() {
    let node = Node::start();
    let ask = |n: usize| json!({ "parent": "apps/platform", "email": (if n.is_multiple_of(2) { "Ann@Example.com" } else { " ann@example.COM " }), "password": PASSWORD });
    let answers = at_once(&node.anyone(), "AuthService/Register", (0..64).map(ask).collect()).await;
    let reasons: Vec<&str> = answers.iter().map(reason).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == "OK").count(), 1, "{reasons:?}");
    assert!(reasons.iter().all(|reason| ["OK", "EMAIL_TAKEN", "HASHING_BUSY"].contains(reason)), "{reasons:?}");
}

#[tokio::test]
async fn a_refresh_by_64_moves_one_generation() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let ask = json!({ "parent": "apps/platform", "refreshToken": ann.refresh_token });
    let answers = at_once(&node.anyone(), "AuthService/RefreshSession", vec![ask; 64]).await;
    let tokens: HashSet<String> = answers.iter().map(|answer| answer.as_ref().unwrap()["session"]["refreshToken"].to_string()).collect();
    assert_eq!(tokens.len(), 1, "all hold the same token");
    assert!(!tokens.contains(&json!(ann.refresh_token).to_string()), "and it is a new one");
}

#[tokio::test]
async fn an_old_refresh_token_ends_the_session() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let second = ann.refresh().await.unwrap();
    let third = second.refresh().await.unwrap();
    assert_eq!(ann.refresh().await.err().unwrap().reason, "REFRESH_REUSED");
    assert_eq!(third.refresh().await.err().unwrap().reason, "SESSION_ENDED", "the end is kept although the call failed");
    assert_eq!(third.get_me().await.unwrap_err().reason, "SESSION_ENDED");
}

#[tokio::test]
async fn a_lost_refresh_answer_is_given_again_but_not_for_ever() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let second = ann.refresh().await.unwrap();
    node.advance_seconds(60);
    assert_eq!(ann.refresh().await.unwrap().refresh_token, second.refresh_token);
    node.advance_seconds(61);
    assert_eq!(ann.refresh().await.err().unwrap().reason, "REFRESH_REUSED");
}

#[tokio::test]
async fn tokens_end_by_the_clock() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    node.advance_seconds(5 * 60 + 61);
    assert_eq!(ann.get_me().await.unwrap_err().reason, "TOKEN_EXPIRED");
    let fresh = ann.refresh().await.unwrap();
    assert!(fresh.get_me().await.is_ok());
    node.advance_seconds(31 * 60);
    assert_eq!(fresh.refresh().await.err().unwrap().reason, "SESSION_ENDED", "idle for 30 minutes");
}

#[tokio::test]
async fn a_repeated_request_makes_nothing_twice_and_another_body_is_refused() {
    let node = Node::start();
    for wire in Wire::ALL {
        let anyone = node.anyone().on(wire);
        let email = format!("{wire:?}@example.com");
        let ask = |email: &str, password: &str| json!({ "parent": "apps/platform", "email": email, "password": password, "requestId": format!("{wire:?}-1") });
        let first = Person::of(anyone.clone(), &anyone.call("AuthService/Register", ask(&email, PASSWORD)).await.unwrap());
        let again = Person::of(anyone.clone(), &anyone.call("AuthService/Register", ask(&email, PASSWORD)).await.unwrap());
        assert_eq!((first.name, first.session), (again.name, again.session), "{wire:?}");
        let other = anyone.call("AuthService/Register", ask("other@example.com", PASSWORD)).await;
        assert_eq!(reason(&other), "REQUEST_ID_REUSED", "{wire:?}");
        let other = anyone.call("AuthService/Register", ask(&email, "another password 1")).await;
        assert_eq!(reason(&other), "REQUEST_ID_REUSED", "{wire:?}");
    }
}

#[tokio::test]
async fn weak_passwords_and_broken_addresses_are_named() {
    let node = Node::start();
    for (email, password, reason, field) in [
        ("ann@example.com", "short", "PASSWORD_WEAK", "password"),
        ("ann@example.com", "password", "PASSWORD_WEAK", "password"),
        ("ann", PASSWORD, "EMAIL_INVALID", "email"),
        ("", PASSWORD, "FIELDS_INVALID", "email"),
    ] {
        for wire in Wire::ALL {
            let ask = json!({ "parent": "apps/platform", "email": email, "password": password });
            let failure = node.anyone().on(wire).call("AuthService/Register", ask).await.unwrap_err();
            assert_eq!(
                (failure.code, failure.reason.as_str(), failure.fields.as_slice()),
                (3, reason, [field.to_owned()].as_slice()),
                "{wire:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_same_person_in_two_apps_is_two_people() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    node.app(&ann, "shop").await;
    let customer = node.person_of("shop", "ann@example.com").await;
    assert_ne!(customer.name, ann.name);
    let crossed = json!({ "parent": "apps/platform", "refreshToken": customer.refresh_token });
    assert_eq!(reason(&node.anyone().call("AuthService/RefreshSession", crossed).await), "CREDENTIAL_MALFORMED");
    let methods = node.anyone().call("AuthService/ListSignInMethods", json!({ "parent": "apps/shop" })).await.unwrap();
    assert_eq!(methods["methods"], json!(["SIGN_IN_METHOD_PASSWORD"]));
    assert_eq!(reason(&node.anyone().call("AuthService/ListSignInMethods", json!({ "parent": "apps/nowhere" })).await), "NOT_FOUND");
}

#[tokio::test]
async fn a_repeated_registration_is_no_way_round_the_guard() {
    let node = Node::start();
    let ask = |password: &str| json!({ "parent": "apps/platform", "email": "ann@example.com", "password": password, "requestId": "r1" });
    node.anyone().call("AuthService/Register", ask(PASSWORD)).await.unwrap();
    let mut reasons = Vec::new();
    for _ in 0..8 {
        reasons.push(node.anyone().call("AuthService/Register", ask("another password 1")).await.unwrap_err().reason);
    }
    assert_eq!(reasons[0], "REQUEST_ID_REUSED");
    assert_eq!(reasons[7], "TRY_LATER", "{reasons:?}");
    assert_eq!(reason(&node.anyone().call("AuthService/Register", ask(PASSWORD)).await), "TRY_LATER");
}

#[tokio::test]
async fn a_forgotten_request_id_opens_no_other_address() {
    let node = Node::start();
    let ask = |email: &str| json!({ "parent": "apps/platform", "email": email, "password": PASSWORD, "requestId": "r1" });
    let ann = Person::of(node.anyone(), &node.anyone().call("AuthService/Register", ask("ann@example.com")).await.unwrap());
    for n in 0..17 {
        let change = json!({ "name": "apps/platform/me", "user": { "profile": { "displayName": "Ann" } }, "updateMask": "profile", "requestId": format!("u{n}") });
        ann.call("MeService/UpdateMe", change).await.unwrap();
    }
    assert_eq!(reason(&node.anyone().call("AuthService/Register", ask("other@example.com")).await), "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn many_failing_accounts_slow_their_network_and_no_known_device() {
    let node = Node::start();
    let ask = json!({ "parent": "apps/platform", "email": "ann@example.com", "password": PASSWORD });
    let device = node.anyone().call("AuthService/Register", ask).await.unwrap()["session"]["deviceToken"].clone();
    for n in 0..21 {
        let failed = node.anyone().call("AuthService/SignIn", sign_in(&format!("p{n}@example.com"), "wrong password")).await;
        assert_eq!(reason(&failed), "CREDENTIALS_INVALID", "{n}");
    }
    assert_eq!(reason(&node.anyone().call("AuthService/SignIn", sign_in("q@example.com", "wrong password")).await), "CREDENTIALS_INVALID");
    let slow = node.anyone().call("AuthService/SignIn", sign_in("ann@example.com", PASSWORD)).await;
    assert_eq!(reason(&slow), "TRY_LATER");
    assert!((1..=10).contains(&slow.unwrap_err().retry_after_seconds.unwrap()));
    let mut known = sign_in("ann@example.com", PASSWORD);
    known["deviceToken"] = device;
    node.anyone().call("AuthService/SignIn", known).await.unwrap();
    node.advance_seconds(10);
    node.anyone().call("AuthService/SignIn", sign_in("ann@example.com", PASSWORD)).await.unwrap();
}

#[tokio::test]
async fn a_known_device_has_its_own_budget_until_the_password_changes() {
    let node = Node::start();
    let register = json!({ "parent": "apps/platform", "email": "ann@example.com", "password": PASSWORD });
    let answer = node.anyone().call("AuthService/Register", register).await.unwrap();
    let (ann, device) = (Person::of(node.anyone(), &answer), answer["session"]["deviceToken"].clone());
    let known = |password: &str, device: &Value| {
        let mut ask = sign_in("ann@example.com", password);
        ask["deviceToken"] = device.clone();
        ask
    };
    for _ in 0..6 {
        let _ = node.anyone().call("AuthService/SignIn", sign_in("ann@example.com", "wrong password")).await;
    }
    assert_eq!(reason(&node.anyone().call("AuthService/SignIn", sign_in("ann@example.com", PASSWORD)).await), "TRY_LATER");
    for forged in [json!("mzd_usr_1.a.17.AAAA"), json!("nonsense"), json!(format!("{}x", device.as_str().unwrap()))] {
        assert_eq!(reason(&node.anyone().call("AuthService/SignIn", known(PASSWORD, &forged)).await), "TRY_LATER", "{forged}");
    }
    node.anyone().call("AuthService/SignIn", known(PASSWORD, &device)).await.unwrap();
    for n in 0..6 {
        let failed = node.anyone().call("AuthService/SignIn", known("wrong password", &device)).await;
        assert_eq!(reason(&failed), if n < 5 { "CREDENTIALS_INVALID" } else { "TRY_LATER" }, "{n}");
    }
    node.advance_seconds(60);
    let change = json!({ "name": "apps/platform/me", "currentPassword": PASSWORD, "newPassword": "another password 1" });
    ann.call("MeService/ChangePassword", change).await.unwrap();
    for _ in 0..6 {
        let _ = node.anyone().call("AuthService/SignIn", sign_in("ann@example.com", "wrong password")).await;
    }
    assert_eq!(reason(&node.anyone().call("AuthService/SignIn", known("another password 1", &device)).await), "TRY_LATER");
}

#[tokio::test]
async fn the_cookie_outlives_the_browser_only_for_who_asked_to_stay() {
    let node = Node::start();
    node.person("ann@example.com").await;
    for wire in Wire::ALL {
        let browser = node.anyone().on(wire).with("x-mozaiks-session", "cookie").with("x-mozaiks-client", "test");
        let browser = browser.with("sec-fetch-site", "same-origin");
        for stay in [true, false] {
            let mut ask = sign_in("ann@example.com", PASSWORD);
            ask["remember"] = json!(stay);
            let (raw, answer) = browser.call_raw("AuthService/SignIn", ask).await;
            let mut told = raw.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
            let (cookie, device) = (told.next().unwrap().to_owned(), told.next().unwrap());
            assert!(device.starts_with("mozaiks-device=mzd_") && device.contains("Max-Age=15552000") && device.contains("HttpOnly"));
            assert_eq!(answer.unwrap()["session"]["deviceToken"], Value::Null, "{wire:?}");
            let pair = cookie.split(';').next().unwrap();
            let refresh = json!({ "parent": "apps/platform" });
            let (raw, _) = browser.clone().with("cookie", pair).call_raw("AuthService/RefreshSession", refresh).await;
            for cookie in [cookie.as_str(), raw.headers["set-cookie"].to_str().unwrap()] {
                assert_eq!(cookie.contains("Max-Age=2592000"), stay, "{wire:?} {cookie}");
                assert_eq!(cookie.contains("Max-Age"), stay, "{wire:?} {cookie}");
            }
        }
    }
}

#[tokio::test]
async fn a_browser_that_was_here_before_is_known_by_its_own_cookie() {
    let node = Node::start();
    node.person("ann@example.com").await;
    for wire in Wire::ALL {
        let browser = node.anyone().on(wire).with("x-mozaiks-session", "cookie").with("x-mozaiks-client", "test");
        let browser = browser.with("sec-fetch-site", "same-origin");
        let (raw, _) = browser.call_raw("AuthService/SignIn", sign_in("ann@example.com", PASSWORD)).await;
        let device = raw.headers.get_all("set-cookie").iter().nth(1).unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
        for _ in 0..6 {
            let _ = node.anyone().call("AuthService/SignIn", sign_in("ann@example.com", "wrong password")).await;
        }
        let strange = browser.call("AuthService/SignIn", sign_in("ann@example.com", PASSWORD)).await;
        assert_eq!(reason(&strange), "TRY_LATER", "{wire:?}");
        let known = browser.with("cookie", &device).call("AuthService/SignIn", sign_in("ann@example.com", PASSWORD)).await;
        assert_eq!(reason(&known), "OK", "{wire:?}");
        node.advance_seconds(3_600);
        node.anyone().call("AuthService/SignIn", sign_in("ann@example.com", PASSWORD)).await.unwrap();
    }
}
