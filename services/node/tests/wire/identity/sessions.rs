//! `SessionsService`.

use serde_json::json;

use crate::node::Node;
use crate::wires::Wire;

#[tokio::test]
async fn staff_sees_and_ends_the_sessions_of_its_people() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let shop = node.app(&ann, "shop").await;
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        let cara = node.person_of("shop", &format!("cara{n}@example.com")).await;
        let staff = shop.clone().on(wire);
        let listed = staff.call("SessionsService/ListSessions", json!({ "parent": "apps/shop", "user": cara.name })).await.unwrap();
        assert_eq!((&listed["sessions"][0]["name"], listed["sessions"].as_array().unwrap().len()), (&json!(cara.session), 1), "{wire:?}");
        let all = staff.call("SessionsService/ListSessions", json!({ "parent": "apps/shop" })).await.unwrap();
        assert_eq!(all["sessions"].as_array().unwrap().len(), n + 1, "{wire:?}");
        let got = staff.call("SessionsService/GetSession", json!({ "name": cara.session })).await.unwrap();
        assert_eq!((&got["session"]["state"], &got["session"]["user"]), (&json!("SESSION_STATE_ACTIVE"), &json!(cara.name)));
        for _ in 0..2 {
            let ended = staff.call("SessionsService/RevokeSession", json!({ "name": cara.session })).await.unwrap();
            assert_eq!(ended["session"]["state"], json!("SESSION_STATE_ENDED"), "{wire:?}");
        }
        assert_eq!(cara.get_me().await.unwrap_err().reason, "SESSION_ENDED", "{wire:?}");
        assert_eq!(cara.refresh().await.err().unwrap().reason, "SESSION_ENDED", "{wire:?}");
    }
}
