//! The first operator: an invitation from whoever holds the machine.

use serde_json::{Value, json};

use crate::node::{Node, PASSWORD, PUBLIC_URL, Person};

fn invitation(node: &Node) -> String {
    let output = node.shell(&["operator", "invite"]);
    assert!(output.status.success(), "{output:?}");
    let link = String::from_utf8(output.stdout).unwrap();
    assert!(link.starts_with(&format!("{PUBLIC_URL}/register#invitation=")), "{link}");
    link.trim().split_once('=').unwrap().1.to_owned()
}

fn register(email: &str, invitation: &str) -> Value {
    json!({ "parent": "apps/platform", "email": email, "password": PASSWORD, "invitation": invitation })
}

/// An operator of this node.
pub async fn operator(node: &Node) -> Person {
    let answer = node.anyone().call("AuthService/Register", register("op@example.com", &invitation(node))).await.unwrap();
    Person::of(node.anyone(), &answer)
}

#[tokio::test]
async fn an_invitation_makes_one_operator_once() {
    let node = Node::start();
    let invitation = invitation(&node);
    let operator =
        Person::of(node.anyone(), &node.anyone().call("AuthService/Register", register("op@example.com", &invitation)).await.unwrap());
    let permissions = operator.get_me().await.unwrap()["permissions"].to_string();
    assert!(permissions.contains("operator."), "{permissions}");
    let used = node.anyone().call("AuthService/Register", register("other@example.com", &invitation)).await.unwrap_err();
    assert_eq!((used.code, used.reason.as_str()), (9, "INVITATION_DEAD"));
    let ann = node.person("ann@example.com").await;
    assert!(!ann.get_me().await.unwrap()["permissions"].to_string().contains("operator."));
}

#[tokio::test]
async fn a_forged_or_late_invitation_is_dead() {
    let node = Node::start();
    let invitation = invitation(&node);
    let flipped = if invitation.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{flipped}", &invitation[..invitation.len() - 1]);
    for bad in ["nonsense", "mzi_mbr_1.AAAA", forged.as_str()] {
        let refused = node.anyone().call("AuthService/Register", register("op@example.com", bad)).await.unwrap_err();
        assert_eq!(refused.reason, "INVITATION_DEAD", "{bad}");
    }
    node.advance_seconds(7 * 24 * 3600 + 1);
    let late = node.anyone().call("AuthService/Register", register("op@example.com", &invitation)).await.unwrap_err();
    assert_eq!(late.reason, "INVITATION_DEAD");
}

#[tokio::test]
async fn one_invitation_lets_one_person_into_a_closed_installation() {
    let node = Node::start_with(&[("MOZAIKS_IDENTITY__REGISTRATION_OPEN", "false")]);
    let closed = node.anyone().call("AuthService/Register", register("ann@example.com", "")).await.unwrap_err();
    assert_eq!((closed.code, closed.reason.as_str()), (9, "REGISTRATION_CLOSED"));
    let invitation = invitation(&node);
    let calls: Vec<_> = (0..20)
        .map(|n| {
            let (caller, ask) = (node.anyone(), register(&format!("p{n}@example.com"), &invitation));
            tokio::spawn(async move { caller.call("AuthService/Register", ask).await.is_ok() })
        })
        .collect();
    let mut registered = 0;
    for call in calls {
        registered += usize::from(call.await.unwrap());
    }
    let mut accounts = 0;
    for n in 0..20 {
        let ask =
            json!({ "parent": "apps/platform", "identifier": { "email": format!("p{n}@example.com") }, "check": { "password": PASSWORD } });
        accounts += usize::from(node.anyone().call("AuthService/SignIn", ask).await.is_ok());
    }
    assert_eq!((registered, accounts), (1, 1));
}

#[tokio::test]
async fn an_invitation_that_led_to_no_account_can_be_used_again() {
    let node = Node::start();
    node.person("ann@example.com").await;
    let invitation = invitation(&node);
    let taken = node.anyone().call("AuthService/Register", register("ann@example.com", &invitation)).await.unwrap_err();
    assert_eq!(taken.reason, "EMAIL_TAKEN");
    node.anyone().call("AuthService/Register", register("op@example.com", &invitation)).await.unwrap();
}

#[tokio::test]
async fn an_invitation_is_made_for_an_installation_that_is_there() {
    let node = Node::start();
    let nowhere = node.folder.join("mistyped");
    let refused = std::process::Command::new(env!("CARGO_BIN_EXE_mozaiks"))
        .args(["operator", "invite", "--data-dir"])
        .arg(&nowhere)
        .output()
        .unwrap();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("no installation"), "{refused:?}");
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn a_repeat_with_another_invitation_makes_nobody_an_owner() {
    let node = Node::start();
    let ask = |invitation: &str| {
        let mut ask = register("ann@example.com", invitation);
        ask["requestId"] = json!("r1");
        ask
    };
    let ann = Person::of(node.anyone(), &node.anyone().call("AuthService/Register", ask("")).await.unwrap());
    for n in 0..17 {
        let user = json!({ "profile": { "displayName": "Ann" } });
        let change = json!({ "name": "apps/platform/me", "user": user, "updateMask": "profile", "requestId": format!("u{n}") });
        ann.call("MeService/UpdateMe", change).await.unwrap();
    }
    let forged = node.anyone().call("AuthService/Register", ask("mzi_mbr_none.AAAA")).await.unwrap_err();
    assert_eq!((forged.code, forged.reason.as_str()), (9, "INVITATION_DEAD"));
}

#[tokio::test]
async fn parallel_repeats_with_one_invitation_make_one_operator() {
    let node = Node::start();
    let mut ask = register("op@example.com", &invitation(&node));
    ask["requestId"] = json!("r1");
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let (caller, ask) = (node.anyone(), ask.clone());
            tokio::spawn(async move { caller.call("AuthService/Register", ask).await })
        })
        .collect();
    let mut names = std::collections::HashSet::new();
    for call in calls {
        match call.await.unwrap() {
            Ok(answer) => drop(names.insert(answer["session"]["user"].to_string())),
            // A repeat is a try at the password, and counts as failed until it is judged: while four are, others wait.
            Err(failure) => assert_eq!(failure.reason, "TRY_LATER", "{failure:?}"),
        }
    }
    assert_eq!(names.len(), 1);
    let answer = node.anyone().call("AuthService/Register", ask).await.unwrap();
    let permissions = Person::of(node.anyone(), &answer).get_me().await.unwrap()["permissions"].to_string();
    assert!(permissions.contains("operator."), "{permissions}");
}
