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
