//! `InstallationService`, and what else operators see.

use serde_json::{Value, json};

use crate::identity::operators::operator;
use crate::node::Node;
use crate::wires::Wire;

#[tokio::test]
async fn an_operator_sees_the_installation_and_all_its_apps() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    for id in ["aaa", "bbb"] {
        node.app(&ann, id).await;
    }
    let operator = operator(&node).await;
    for wire in Wire::ALL {
        let caller = operator.on(wire).to(&node.admin);
        let seen = caller.call("InstallationService/GetInstallation", json!({})).await.unwrap();
        assert_eq!(
            (&seen["installation"]["publicUrl"], &seen["installation"]["selfService"]),
            (&json!(crate::node::PUBLIC_URL), &json!(true))
        );
        let listed = caller.call("AppsService/ListAllApps", json!({})).await.unwrap();
        let names: Vec<&Value> = listed["apps"].as_array().unwrap().iter().map(|app| &app["name"]).collect();
        assert_eq!(names, ["apps/aaa", "apps/bbb", "apps/platform"], "{wire:?}");
        let denied = ann.on(wire).to(&node.admin).call("AppsService/ListAllApps", json!({})).await.unwrap_err();
        assert_eq!((denied.code, denied.reason.as_str()), (7, "PERMISSION_MISSING"), "{wire:?}");
    }
}
