//! Who is let in, in which tenant, and what is told to whoever is not.

use http::Request;
use rpc::Body;
use tonic::Code;

use crate::sample::{Sample, bytes};
use crate::wire::{Answer, ask, by, call, framed, named, string_field, with};

const NOTE: &str = "apps/acme/notes/n1";

/// What became of a call: what the handler saw, or the reason of the refusal.
fn outcome(answer: &Answer) -> String {
    if answer.code() == Code::Ok { answer.text().split(' ').take(2).collect::<Vec<_>>().join(" ") } else { answer.reason() }
}

fn own(method: &str) -> Request<Body> {
    ask(method, b"")
}

fn enter(parent: &str, target: &str) -> Request<Body> {
    ask("Enter", &[string_field(1, parent), string_field(2, target)].concat())
}

#[tokio::test]
async fn decisions() {
    let sample = Sample::new();
    let table = [
        // Nobody, and credentials that prove nothing.
        (own("Own"), "CREDENTIAL_MISSING"),
        (by("expired", own("Own")), "TOKEN_EXPIRED"),
        (with(own("Own"), "authorization", "Bearer nonsense"), "CREDENTIAL_MALFORMED"),
        (with(by("ann", own("Own")), "x-mozaiks-api-key", "mzk_live_acme_1"), "CREDENTIALS_AMBIGUOUS"),
        (by("ann", by("ann", own("Own"))), "CREDENTIALS_AMBIGUOUS"),
        (with(own("Own"), "x-mozaiks-app-key", "mzk_live_acme_1"), "CREDENTIAL_UNSUPPORTED"),
        // Open to anyone: the tenant is that of the name, a well-formed bearer is not looked at.
        (named("Look", NOTE), "acme nobody"),
        (by("expired", named("Look", NOTE)), "acme nobody"),
        (by("stranger", named("Prove", NOTE)), "acme nobody"),
        (with(named("Look", NOTE), "authorization", "Bearer nonsense"), "CREDENTIAL_MALFORMED"),
        (named("LookById", "acme"), "acme nobody"),
        (named("LookById", "acme/users"), "NAME_INVALID"),
        (own("Look"), "FIELDS_INVALID"),
        (ask("Look", &[string_field(1, NOTE), string_field(1, "apps/other/notes/n1")].concat()), "NOT_FOUND"),
        // Kinds of caller, permissions, planes, freshness.
        (by("ann", own("Own")), "acme usr_ann"),
        (by("guest", own("Own")), "PERMISSION_MISSING"),
        (by("robot", own("Create")), "CALLER_REFUSED"),
        (by("ann", own("Create")), "acme usr_ann"),
        (by("ann", own("Serve")), "CALLER_REFUSED"),
        (by("robot", own("Serve")), "acme usr_robot"),
        (by("ann", own("Operate")), "PLANE_REFUSED"),
        (by("operator", own("Operate")), "platform usr_operator"),
        (by("ann", own("Fresh")), "STEP_UP_REQUIRED"),
        (by("ann", own("Strong")), "STEP_UP_REQUIRED"),
        // Names.
        (by("guest", named("GetNote", "apps/other/notes/n1")), "PERMISSION_MISSING"),
        (by("ann", named("GetNote", "apps/other/notes/n1")), "NOT_FOUND"),
        (by("ann", named("GetNote", "apps/-/notes/n1")), "NAME_INVALID"),
        (by("ann", named("GetNote", "apps/acme/notes/-")), "NAME_INVALID"),
        (by("ann", named("GetNote", "apps/acme/users/usr_1")), "NAME_INVALID"),
        (by("ann", named("GetNote", "apps/acme")), "NAME_INVALID"),
        (by("ann", own("GetNote")), "NOT_FOUND"),
        (by("ann", ask("GetNote", b"\x0a\x7fshort")), "BODY_INVALID"),
        (by("ann", ask("UpdateNote", &nested(1, NOTE))), "acme usr_ann"),
        (by("ann", ask("UpdateNote", &nested(1, "apps/other/notes/n1"))), "NOT_FOUND"),
        (by("ann", ask("UpdateNote", &[string_field(2, NOTE), string_field(2, "apps/other")].concat())), "NOT_FOUND"),
        // One's own.
        (by("ann", named("Mine", "apps/acme/me")), "acme usr_ann"),
        (by("ann", named("Mine", "apps/acme/me/sessions/ses_1")), "acme usr_ann"),
        (by("ann", named("Mine", "apps/acme/users/usr_ann")), "acme usr_ann"),
        (by("ann", named("Mine", "apps/acme/users/usr_bob")), "NOT_FOUND"),
        (by("ann", named("Mine", "apps/acme/notes/n1")), "NOT_FOUND"),
        (by("ann", named("Mine", "apps/other/me")), "NOT_FOUND"),
        (by("visitor", named("Mine", "apps/acme/me")), "NOT_FOUND"),
        // Entering: the parent is one's own app, the target any.
        (by("ann", enter("apps/acme", "apps/other")), "acme usr_ann"),
        (by("ann", enter("apps/other", "apps/acme")), "NOT_FOUND"),
        (by("ann", enter("apps/acme", "apps/-")), "NAME_INVALID"),
        (by("visitor", own("Enter")), "HOME_REQUIRED"),
        (by("visitor", ask("Enter", &string_field(2, "apps/other"))), "HOME_REQUIRED"),
    ];
    for (request, expected) in table {
        let asked = format!("{} {:?}", request.uri().path(), request.headers().get("authorization"));
        assert_eq!(outcome(&call(&sample.service, request).await), expected, "{asked}");
    }
}

fn nested(field: u8, name: &str) -> Vec<u8> {
    let inner = string_field(1, name);
    [vec![field << 3 | 2, u8::try_from(inner.len()).unwrap()], inner].concat()
}

#[tokio::test]
async fn only_methods_that_say_so_may_change_tenant() {
    let sample = Sample::new();
    for (request, enters) in
        [(by("ann", own("Own")), false), (by("ann", own("Create")), true), (by("ann", enter("apps/acme", "apps/other")), true)]
    {
        assert!(call(&sample.service, request).await.text().contains(&format!("enters={enters}")));
    }
}

#[tokio::test]
async fn a_context_that_comes_with_the_request_is_thrown_away() {
    let sample = Sample::new();
    let mut request = own("Own");
    request.extensions_mut().insert(kernel::Cx::system(kernel::Tenant::platform(), "forged"));
    assert_eq!(call(&sample.service, request).await.reason(), "CREDENTIAL_MISSING");
}

#[tokio::test]
async fn a_foreign_name_is_told_exactly_like_an_absent_one() {
    let sample = Sample::new();
    let mut answers = Vec::new();
    for app in ["acme", "evil"] {
        let request = with(by("ann", named("GetNote", &format!("apps/{app}/notes/n1"))), "x-request-id", "same-call");
        let answer = call(&sample.service, request).await;
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(app, "APP");
        let (message, details) = (told(answer.status.message().as_bytes()), told(answer.status.details()));
        let mut headers = answer.headers.clone();
        headers.remove("grpc-message");
        headers.remove("grpc-status-details-bin");
        answers.push((answer.http, headers, message, details, answer.messages));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].2, "apps/APP/notes/n1 was not found");
}

#[tokio::test]
async fn a_client_stream_stays_in_its_tenant() {
    let sample = Sample::new();
    let upload = |names: &[&str]| {
        let body = names.iter().flat_map(|name| framed(&string_field(1, name))).collect();
        by("ann", crate::wire::ask("Upload", b"").map(|_| bytes(body)))
    };
    let (first, second) = ("apps/acme/notes/n1", "apps/acme/notes/n2");
    assert_eq!(call(&sample.service, upload(&[first, second])).await.text(), "50 bytes");
    assert_eq!(call(&sample.service, upload(&["apps/other/notes/n1"])).await.reason(), "NOT_FOUND");
    assert_eq!(call(&sample.service, upload(&[first, "apps/other/notes/n1"])).await.reason(), "NOT_FOUND");
    assert_eq!(call(&sample.service, upload(&[first, "apps/-/notes/n1"])).await.reason(), "NAME_INVALID");
}
