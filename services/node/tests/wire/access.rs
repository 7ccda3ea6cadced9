//! Every RPC there is, called by people who may not. What is called is read from the contracts.

use crate::contract_rpcs::Rpc;
use crate::node::Node;
use crate::wires::{Answer, Caller, Wire};

/// Calls that may leave the caller's own tenant. A new one stands here only after a review.
const LEAVING: [(&str, &str); 5] = [
    ("AppsService/CreateApp", "TENANCY_CREATES"),
    ("AppsService/ListApps", "TENANCY_ENTERS"),
    ("AppsService/ListAllApps", "TENANCY_INSTALLATION"),
    ("InstallationService/GetInstallation", "TENANCY_INSTALLATION"),
    ("TokensService/EnterApp", "TENANCY_ENTERS"),
];

/// By the admin door, which serves everything that there is.
async fn call(rpc: &Rpc, node: &Node, caller: &Caller, wire: Wire, app: &str) -> Answer {
    caller.clone().to(&node.admin).on(wire).call(&rpc.label(), rpc.ask(app)).await
}

#[test]
fn only_listed_calls_leave_their_tenant() {
    let leaves = |rpc: &Rpc| !["TENANCY_NAME", "TENANCY_CALLER"].contains(&rpc.access["tenancy"].as_str().unwrap());
    let found: Vec<(String, String)> =
        Rpc::all().iter().filter(|rpc| leaves(rpc)).map(|rpc| (rpc.label(), rpc.access["tenancy"].as_str().unwrap().to_owned())).collect();
    let listed: Vec<(String, String)> = LEAVING.iter().map(|(rpc, tenancy)| ((*rpc).to_owned(), (*tenancy).to_owned())).collect();
    assert_eq!(found, listed);
}

#[tokio::test]
async fn nobody_gets_in_without_a_token() {
    let node = Node::start();
    let mut tried = 0;
    for rpc in Rpc::all().iter().filter(|rpc| !rpc.is_open()) {
        for wire in Wire::ALL {
            let failure = call(rpc, &node, &node.anyone(), wire, "platform").await.unwrap_err();
            assert_eq!((failure.code, failure.reason.as_str()), (16, "CREDENTIAL_MISSING"), "{} {wire:?}", rpc.label());
            tried += 1;
        }
    }
    assert!(tried >= 8 * 4, "{tried} calls");
}

#[tokio::test]
async fn a_broken_credential_is_refused_even_where_none_is_needed() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await.on(Wire::Grpc);
    let token = ann.token();
    let cut = &token[..token.len() - 2];
    for rpc in &Rpc::all() {
        for wire in Wire::ALL {
            for broken in ["", "a b", "{}"] {
                let caller = node.anyone().with("authorization", &format!("Bearer {broken}"));
                let failure = call(rpc, &node, &caller, wire, "platform").await.unwrap_err();
                assert_eq!((failure.code, failure.reason.as_str()), (16, "CREDENTIAL_MALFORMED"), "{} {wire:?} {broken}", rpc.label());
            }
            let two = ann.clone().with("x-mozaiks-api-key", "mzk_live_shop_x");
            let failure = call(rpc, &node, &two, wire, "platform").await.unwrap_err();
            assert_eq!((failure.code, failure.reason.as_str()), (16, "CREDENTIALS_AMBIGUOUS"), "{} {wire:?}", rpc.label());
            if !rpc.is_open() {
                let failure = call(rpc, &node, &node.anyone().bearer(cut), wire, "platform").await.unwrap_err();
                assert_eq!((failure.code, failure.reason.as_str()), (16, "CREDENTIAL_MALFORMED"), "{} {wire:?}", rpc.label());
            }
        }
    }
}

#[tokio::test]
async fn without_the_permission_the_answer_is_no() {
    let node = Node::start();
    let owner = node.person("owner@example.com").await;
    node.app(&owner, "shop").await;
    let customer = node.person_of("shop", "cara@example.com").await.on(Wire::Grpc);
    let mut tried = 0;
    for rpc in Rpc::all().iter().filter(|rpc| rpc.access["permission"].is_string()) {
        for wire in Wire::ALL {
            let failure = call(rpc, &node, &customer, wire, "shop").await.unwrap_err();
            let reason = if rpc.access["plane"] == "PLANE_OPERATOR" { "PLANE_REFUSED" } else { "PERMISSION_MISSING" };
            assert_eq!((failure.code, failure.reason.as_str()), (7, reason), "{} {wire:?}", rpc.label());
            tried += 1;
        }
    }
    assert!(tried >= 2 * 4, "{tried} calls");
}

#[tokio::test]
async fn a_foreign_name_answers_as_an_absent_one() {
    let node = Node::start();
    let owner = node.person("owner@example.com").await;
    let shop = node.app(&owner, "shop").await;
    node.app(&owner, "other").await;
    let mut tried = 0;
    for rpc in Rpc::all().iter().filter(|rpc| !rpc.is_open() && !rpc.ask("shop").as_object().unwrap().is_empty()) {
        for caller in [&shop, &owner.on(Wire::Grpc)] {
            for wire in Wire::ALL {
                let mut foreign = call(rpc, &node, caller, wire, "other").await.unwrap_err();
                let absent = call(rpc, &node, caller, wire, "nowhere").await.unwrap_err();
                foreign.call_id.clone_from(&absent.call_id);
                foreign.message = foreign.message.replace("apps/other", "apps/nowhere");
                assert!(["NOT_FOUND", "PERMISSION_MISSING"].contains(&absent.reason.as_str()), "{} {wire:?} {absent:?}", rpc.label());
                assert_eq!(foreign, absent, "{} {wire:?}", rpc.label());
                tried += 1;
            }
        }
    }
    assert!(tried >= 6 * 2 * 4, "{tried} calls");
}

#[tokio::test]
async fn the_public_door_does_not_know_the_operators_calls() {
    let node = Node::start();
    let operators: Vec<Rpc> = Rpc::all().into_iter().filter(|rpc| rpc.access["plane"] == "PLANE_OPERATOR").collect();
    assert!(!operators.is_empty());
    for rpc in operators {
        for (wire, codes) in [(Wire::Grpc, [12]), (Wire::GrpcWeb, [12]), (Wire::Rest, [5])] {
            let failure = node.anyone().on(wire).call(&rpc.label(), rpc.ask("shop")).await.unwrap_err();
            assert!(codes.contains(&failure.code), "{} {wire:?} {failure:?}", rpc.label());
        }
    }
}

#[tokio::test]
async fn malformed_names_and_wildcards_are_refused() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await.on(Wire::Grpc);
    for rpc in Rpc::all().iter().filter(|rpc| !rpc.ask("shop").as_object().unwrap().is_empty()) {
        for bad in ["-", "UPPER", "no"] {
            let failure = call(rpc, &node, &ann, Wire::Grpc, bad).await.unwrap_err();
            assert!(["NAME_INVALID", "PERMISSION_MISSING"].contains(&failure.reason.as_str()), "{} {bad}: {failure:?}", rpc.label());
        }
    }
}
