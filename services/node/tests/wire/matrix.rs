//! The tenant isolation matrix: everything of another app that a call can bring along, tried on every RPC and every wire.
//! What is called is read from the contracts. Whatever is tried changes nothing in the other app and tells nothing of it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::contract_rpcs::{Place, Rpc, at};
use crate::faults::tell;
use crate::node::{Node, PASSWORD, Person};
use crate::wires::{Answer, Caller, Wire};

/// What is tried, each on every RPC to which it applies, and how many calls that is at least: contracts only grow.
const VARIANTS: [(&str, usize); 13] = [
    ("crossed name", 176),
    ("deleted app", 244),
    ("ended session", 232),
    ("entered elsewhere", 208),
    ("expired token", 696),
    ("foreign name", 928),
    ("foreign page token", 20),
    ("foreign request id", 28),
    ("foreign secret", 32),
    ("forged token", 1624),
    ("nobody", 232),
    ("own name", 36),
    ("paused app", 244),
];
const TRANSPORTS: usize = 3;
const ABSENT_USER: &str = "usr_00000000-0000-7000-8000-000000000000";
const ABSENT_SESSION: &str = "ses_00000000-0000-7000-8000-000000000000";

/// An app with its people.
struct Home {
    app: &'static str,
    owner: Person,
    operator: Person,
    /// The owner inside the app.
    staff: Caller,
    customer: Person,
    /// Where the owner lives.
    outside: Place,
    /// Where the customer lives.
    inside: Place,
    /// Somebody else in the same app.
    beside: Place,
}

impl Home {
    /// `people` have an address of this app each.
    async fn made(node: &Node, owner: &Person, operator: &Person, (app, people): (&'static str, usize)) -> Self {
        let staff = node.app(owner, app).await;
        let email = |n: usize| format!("{n}@{app}.example.com");
        let customer = node.person_of(app, &email(0)).await;
        let (outside, inside) = (place(owner, ""), place(&customer, &email(0)));
        let mut beside = inside.clone();
        for n in 1..people {
            beside = place(&node.person_of(app, &email(n)).await, &email(n));
            sign_in(node, app, &email(0)).await;
        }
        Self { app, owner: owner.clone(), operator: operator.clone(), staff, customer, outside, inside, beside }
    }

    /// Whoever an RPC is for, and where the names of their call lie.
    fn rightful(&self, rpc: &Rpc) -> (Caller, &Place) {
        match (rpc.says("plane"), rpc.says("tenancy")) {
            _ if rpc.is_open() => (self.customer.on(Wire::Grpc).without_bearer(), &self.inside),
            ("PLANE_OPERATOR", _) => (self.operator.on(Wire::Grpc), &self.outside),
            ("PLANE_APP", _) => (self.staff.clone(), &self.inside),
            (_, "TENANCY_NAME") => (self.customer.on(Wire::Grpc), &self.inside),
            _ => (self.owner.on(Wire::Grpc), &self.outside),
        }
    }

    fn everybody(&self) -> [Caller; 3] {
        [self.customer.on(Wire::Grpc), self.staff.clone(), self.owner.on(Wire::Grpc)]
    }
}

fn place(person: &Person, email: &str) -> Place {
    let id = |name: &str| name.rsplit('/').next().unwrap().to_owned();
    Place {
        app: id(&person.app),
        user: id(&person.name),
        session: id(&person.session),
        email: email.to_owned(),
        refresh_token: person.refresh_token.clone(),
        token: person.on(Wire::Grpc).token(),
    }
}

async fn sign_in(node: &Node, app: &str, email: &str) -> Person {
    let ask = json!({ "parent": format!("apps/{app}"), "identifier": { "email": email }, "check": { "password": PASSWORD } });
    Person::of(node.anyone(), &node.anyone().call("AuthService/SignIn", ask).await.unwrap())
}

fn invitation(node: &Node) -> String {
    let link = String::from_utf8(node.shell(&["operator", "invite"]).stdout).unwrap();
    link.trim().split_once('=').unwrap().1.to_owned()
}

async fn operator(node: &Node, email: &str) -> Person {
    let ask = json!({ "parent": "apps/platform", "email": email, "password": PASSWORD, "invitation": invitation(node) });
    Person::of(node.anyone(), &node.anyone().call("AuthService/Register", ask).await.unwrap())
}

struct Matrix {
    node: Node,
    rpcs: Vec<Rpc>,
    /// Whose people try.
    ours: Home,
    /// Of whom nothing may change and nothing may be told.
    theirs: Home,
    tried: Mutex<BTreeMap<&'static str, usize>>,
}

impl Matrix {
    async fn made() -> Self {
        let node = Node::start();
        let (ann, ben) = (node.person("ann@example.com").await, node.person("ben@example.com").await);
        let ours = Home::made(&node, &ann, &operator(&node, "one@example.com").await, ("aleph", 2)).await;
        let theirs = Home::made(&node, &ben, &operator(&node, "two@example.com").await, ("beth", 2)).await;
        node.app(&ben, "beth-two").await;
        Self { node, rpcs: Rpc::all(), ours, theirs, tried: Mutex::default() }
    }

    fn those(&self, chosen: impl Fn(&Rpc) -> bool) -> Vec<&Rpc> {
        self.rpcs.iter().filter(|rpc| chosen(rpc)).collect()
    }

    /// RPCs that need a credential.
    fn closed(&self) -> Vec<&Rpc> {
        self.those(|rpc| !rpc.is_open())
    }

    /// Everything of the other app that its own staff can see.
    async fn seen(&self) -> Vec<Value> {
        let (app, size) = (format!("apps/{}", self.theirs.app), 1000);
        let mut seen = vec![self.theirs.owner.call("AppsService/ListApps", json!({})).await.unwrap()];
        for (method, ask) in [
            ("AppsService/GetApp", json!({ "name": app })),
            ("UsersService/ListUsers", json!({ "parent": app, "pageSize": size })),
            ("SessionsService/ListSessions", json!({ "parent": app, "pageSize": size })),
            ("SigningKeysService/ListSigningKeys", json!({ "parent": app })),
        ] {
            seen.push(self.theirs.staff.call(method, ask).await.unwrap());
        }
        seen
    }

    /// One call by the admin door, which serves everything that there is.
    async fn call(&self, variant: &'static str, rpc: &Rpc, caller: Caller, ask: &Value) -> Answer {
        *self.tried.lock().unwrap().entry(variant).or_default() += 1;
        let answer = caller.to(&self.node.admin).call(&rpc.label(), ask.clone()).await;
        let taint = format!("@{}.", self.theirs.app);
        assert!(!format!("{answer:?}").contains(&taint), "{variant}: {} tells of another app: {answer:?}", rpc.label());
        answer
    }

    /// The same call with two names, each beside its request: no answer may tell which of the two was asked for.
    async fn alike(&self, variant: &'static str, rpc: &Rpc, caller: &Caller, asked: &[(Value, String); 2]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for wire in Wire::ALL {
            let mut pair = Vec::new();
            for (ask, name) in asked {
                pair.push(self.call(variant, rpc, caller.clone().on(wire), ask).await.map_err(|mut failure| {
                    failure.call_id.clear();
                    failure.message = failure.message.replace(name, "(asked)");
                    failure
                }));
            }
            // What is made has an id of its own each time.
            let same = pair[0] == pair[1] || (rpc.idempotency().is_empty() && pair.iter().all(Result::is_ok));
            assert!(same, "{variant}: {} {wire:?} {}: {pair:?}", rpc.label(), asked[0].1);
            answers.extend(pair);
        }
        answers
    }

    /// A credential that is worth nothing, on every RPC that needs one, with names of ours and of theirs.
    async fn refused(&self, variant: &'static str, caller: &Caller, expected: (i32, &str)) {
        let before = self.seen().await;
        for rpc in self.closed() {
            for place in [&self.ours.inside, &self.theirs.inside] {
                for wire in Wire::ALL {
                    let failure = self.call(variant, rpc, caller.clone().on(wire), &rpc.whole_ask(place)).await.unwrap_err();
                    let label = rpc.label();
                    assert_eq!((failure.code, failure.reason.as_str()), expected, "{variant}: {label} {wire:?} {}", place.app);
                }
            }
            assert_eq!(before, self.seen().await, "{variant}: {}", rpc.label());
        }
    }

    /// Each name in turn is one of theirs, the others are ours.
    async fn foreign_names(&self) {
        let (variant, before) = ("foreign name", self.seen().await);
        let nowhere = Place { app: "nowhere".into(), ..self.theirs.inside.clone() };
        // What makes an app or asks for the whole installation is not confined to a name.
        for rpc in self.those(|rpc| !rpc.is_open() && !["TENANCY_CREATES", "TENANCY_INSTALLATION"].contains(&rpc.says("tenancy"))) {
            let (rightful, home) = self.ours.rightful(rpc);
            for field in rpc.names() {
                let asked = [&self.theirs.inside, &nowhere].map(|elsewhere| {
                    let (mut ask, name) = (rpc.whole_ask(home), elsewhere.name(&field.shape));
                    *at(&mut ask, &field.path) = json!(name);
                    (ask, name)
                });
                for answer in self.alike(variant, rpc, &rightful, &asked).await {
                    let failure = answer.unwrap_err();
                    assert_eq!((failure.code, failure.reason.as_str()), (5, "NOT_FOUND"), "{} {:?}", rpc.label(), field.path);
                }
                for caller in self.ours.everybody() {
                    for answer in self.alike(variant, rpc, &caller, &asked).await {
                        let code = answer.unwrap_err().code;
                        assert!([5, 7].contains(&code), "{} {:?} {code}", rpc.label(), field.path);
                    }
                }
            }
            assert_eq!(before, self.seen().await, "{variant}: {}", rpc.label());
        }
    }

    /// Something of theirs under our app, something of ours under theirs, and something of somebody else's in our own.
    async fn crossed_names(&self) {
        let (variant, before) = ("crossed name", self.seen().await);
        let (ours, theirs) = (&self.ours.inside, &self.theirs.inside);
        let under_ours = |user: &str, session: &str| Place { user: user.into(), session: session.into(), ..ours.clone() };
        let under = |app: &str| Place { app: app.into(), ..ours.clone() };
        for rpc in self.closed() {
            let caller = self.ours.rightful(rpc).0;
            let of_caller = rpc.says("within") == "WITHIN_SELF";
            let absent = under_ours(ABSENT_USER, ABSENT_SESSION);
            let mut pairs = vec![[under_ours(&theirs.user, &theirs.session), absent.clone()], [under(self.theirs.app), under("nowhere")]];
            pairs.extend(of_caller.then(|| [self.ours.beside.clone(), absent]));
            for field in rpc.names().into_iter().filter(|field| field.shape.matches('*').count() > 1) {
                for places in pairs.clone() {
                    let asked = places.map(|place| {
                        let (mut ask, name) = (rpc.whole_ask(ours), place.name(&field.shape));
                        *at(&mut ask, &field.path) = json!(name);
                        (ask, name)
                    });
                    let answers = self.alike(variant, rpc, &caller, &asked).await;
                    let refused = |answer: &Answer| answer.as_ref().is_err_and(|failure| failure.code == 5);
                    assert!(!of_caller || answers.iter().all(refused), "{} {asked:?}: {answers:?}", rpc.label());
                }
            }
            assert_eq!(before, self.seen().await, "{variant}: {}", rpc.label());
        }
    }

    /// Our owner's token for another app of theirs, used on this one.
    async fn entered_elsewhere(&self) {
        let (variant, before) = ("entered elsewhere", self.seen().await);
        let elsewhere = self.node.app(&self.ours.owner, "aleph-two").await;
        let nowhere = Place { app: "nowhere".into(), ..self.ours.inside.clone() };
        for rpc in self.those(|rpc| !rpc.is_open() && ["TENANCY_NAME", "TENANCY_ENTERS"].contains(&rpc.says("tenancy"))) {
            let asked = [&self.ours.inside, &nowhere].map(|place| (rpc.whole_ask(place), format!("apps/{}", place.app)));
            for answer in self.alike(variant, rpc, &elsewhere, &asked).await {
                let code = answer.as_ref().map_or_else(|failure| failure.code, |_| 0);
                assert!([5, 7].contains(&code), "{} {answer:?}", rpc.label());
            }
        }
        assert_eq!(before, self.seen().await, "{variant}");
    }

    /// Their token of the next page of the same question.
    async fn foreign_page_tokens(&self) {
        let (variant, before) = ("foreign page token", self.seen().await);
        for rpc in self.those(|rpc| rpc.has("page_token")) {
            let (caller, place) = self.theirs.rightful(rpc);
            let mut ask = rpc.whole_ask(place);
            ask["pageSize"] = json!(1);
            let page = caller.to(&self.node.admin).call(&rpc.label(), ask).await.unwrap();
            let token = page["nextPageToken"].as_str().unwrap_or_else(|| panic!("{} has one page: {page}", rpc.label()));
            let (caller, place) = self.ours.rightful(rpc);
            let mut ask = rpc.whole_ask(place);
            ask["pageSize"] = json!(1);
            ask["pageToken"] = json!(token);
            for wire in Wire::ALL {
                let failure = self.call(variant, rpc, caller.clone().on(wire), &ask).await.unwrap_err();
                assert_eq!((failure.code, failure.reason.as_str()), (3, "PAGE_TOKEN"), "{} {wire:?}", rpc.label());
            }
        }
        assert_eq!(before, self.seen().await, "{variant}");
    }

    /// A request id that they have used means nothing with us.
    async fn foreign_request_ids(&self) {
        let variant = "foreign request id";
        for rpc in self.those(|rpc| rpc.has("request_id")) {
            for wire in Wire::ALL {
                let id = json!(format!("{wire:?}-{}", rpc.method.name()));
                let (caller, place) = self.theirs.rightful(rpc);
                let mut ask = rpc.whole_ask(place);
                ask["requestId"] = id.clone();
                caller.on(wire).call(&rpc.label(), ask).await.unwrap();
                let before = self.seen().await;
                let (caller, place) = self.ours.rightful(rpc);
                let mut ask = rpc.whole_ask(place);
                ask["requestId"] = id;
                let answer = self
                    .call(variant, rpc, caller.clone().on(wire), &ask)
                    .await
                    .unwrap_or_else(|failure| panic!("{} {failure:?}", rpc.label()));
                assert!(!answer.to_string().contains(&format!("apps/{}", self.theirs.app)), "{} {answer}", rpc.label());
                assert_eq!(before, self.seen().await, "{variant}: {}", rpc.label());
            }
        }
    }

    /// What they could show for themselves, shown in our app, and ours in theirs.
    async fn foreign_secrets(&self) {
        let (variant, before, unused) = ("foreign secret", self.seen().await, invitation(&self.node));
        for rpc in &self.rpcs {
            let secrets = [
                ("refreshToken", vec![&self.theirs.inside.refresh_token], "CREDENTIAL_MALFORMED"),
                ("token", vec![&self.theirs.inside.token, &self.theirs.outside.token, &self.ours.outside.token], ""),
                ("invitation", vec![&unused], "INVITATION_DEAD"),
            ];
            for (field, values, reason) in secrets {
                let knows = rpc.method.input().get_field_by_json_name(field).is_some();
                for (value, wire) in values.into_iter().filter(|_| knows).flat_map(|value| Wire::ALL.map(|wire| (value, wire))) {
                    let (caller, place) = self.ours.rightful(rpc);
                    let mut ask = rpc.whole_ask(place);
                    ask[field] = json!(value);
                    match self.call(variant, rpc, caller.clone().on(wire), &ask).await {
                        Err(failure) => assert_eq!(failure.reason, reason, "{} {wire:?}", rpc.label()),
                        Ok(answer) => assert_eq!((reason, answer), ("", json!({})), "{} {wire:?}", rpc.label()),
                    }
                }
            }
        }
        for rpc in self.those(|rpc| rpc.says("caller") == "CALLER_PROOF") {
            for wire in Wire::ALL {
                let place = Place { refresh_token: self.ours.inside.refresh_token.clone(), ..self.theirs.inside.clone() };
                let failure = self.call(variant, rpc, self.node.anyone().on(wire), &rpc.whole_ask(&place)).await.unwrap_err();
                assert_eq!((failure.code, failure.reason.as_str()), (16, "CREDENTIAL_MALFORMED"), "{} {wire:?}", rpc.label());
            }
        }
        assert_eq!(before, self.seen().await, "{variant}");
    }

    /// An app whose door is shut: its people, and whoever comes to its door.
    async fn shut(&self, variant: &'static str, app: &'static str, method: &str, reason: &'static str) {
        let home = Home::made(&self.node, &self.ours.owner, &self.ours.operator, (app, 1)).await;
        let ask = json!({ "name": format!("apps/{app}"), "reason": "for a while", "confirm": app });
        let known = crate::wires::method_of(method).input();
        let ask: Value = ask
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| known.get_field_by_json_name(key).is_some())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        home.staff.call(method, ask).await.unwrap();
        self.refused(variant, &home.customer.on(Wire::Grpc), (9, reason)).await;
        for rpc in self.those(|rpc| rpc.is_open() && rpc.idempotency().is_empty()) {
            for wire in Wire::ALL {
                let failure = self.call(variant, rpc, self.node.anyone().on(wire), &rpc.whole_ask(&home.inside)).await.unwrap_err();
                assert_eq!((failure.code, failure.reason.as_str()), (9, reason), "{} {wire:?}", rpc.label());
            }
        }
    }

    /// Access tokens that nobody issued, made from those of theirs and of ours; and a token of another kind.
    async fn forged(&self) -> Vec<String> {
        let (ours, theirs) = (&self.ours.inside.token, &self.theirs.inside.token);
        let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
        let (mine, other) = (parts(ours), parts(theirs));
        let decoded = |part: &str| serde_json::from_slice::<Value>(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let header = decoded(&other[0]);
        let kid = header["kid"].as_str().unwrap().to_owned();
        let keys = self.node.anyone().call("SigningKeysService/GetJwks", json!({ "appId": self.theirs.app })).await.unwrap();
        let public = BASE64_URL_SAFE_NO_PAD.decode(keys["keys"][0]["x"].as_str().unwrap()).unwrap();
        // PKCS #8 of an Ed25519 key (RFC 8410) that is nobody's.
        let nobodys = [&b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..], &[7; 32]].concat();
        let signed = |algorithm, key: &EncodingKey, claims: &Value| {
            let header = Header { typ: Some("at+jwt".into()), kid: Some(kid.clone()), ..Header::new(algorithm) };
            jsonwebtoken::encode(&header, claims, key).unwrap()
        };
        let mut claims = decoded(&other[1]);
        let own_key = signed(Algorithm::EdDSA, &EncodingKey::from_ed_der(&nobodys), &claims);
        let public_as_secret = signed(Algorithm::HS256, &EncodingKey::from_secret(&public), &claims);
        claims["aud"] = json!("another");
        let other_audience = signed(Algorithm::EdDSA, &EncodingKey::from_ed_der(&nobodys), &claims);
        let none = BASE64_URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "typ": "at+jwt", "kid": kid }).to_string());
        vec![
            self.theirs.inside.refresh_token.clone(),
            format!("{}.{}.{}", other[0], other[1], mine[2]),
            format!("{}.{}.{}", mine[0], other[1], mine[2]),
            format!("{none}.{}.{}", other[1], other[2]),
            own_key,
            public_as_secret,
            other_audience,
        ]
    }

    /// That the refusals above are about tenants: with names of their own the same requests go through.
    async fn own_names_are_let_in(&self) {
        for (n, rpc) in self.rpcs.iter().enumerate() {
            let app: &'static str = Box::leak(format!("own-{n}").into_boxed_str());
            let home = Home::made(&self.node, &self.ours.owner, &self.ours.operator, (app, 1)).await;
            let (caller, place) = home.rightful(rpc);
            let mut ask = rpc.whole_ask(place);
            if rpc.has("target") {
                ask["target"] = json!(format!("apps/{app}"));
            }
            let answer = self.call("own name", rpc, caller, &ask).await;
            let reason = answer.as_ref().map_or_else(|failure| failure.reason.as_str(), |_| "");
            // What is not deleted cannot be taken back, which only the rule behind the access check can know.
            let expected = match rpc.label().as_str() {
                "AppsService/UndeleteApp" => "APP_NOT_DELETED",
                "UsersService/UndeleteUser" => "USER_NOT_DELETED",
                _ => "",
            };
            assert_eq!(reason, expected, "{} {answer:?}", rpc.label());
        }
    }
}

#[tokio::test]
async fn nothing_of_another_app_is_told_or_changed() {
    let mut matrix = Matrix::made().await;
    let began = std::time::Instant::now();
    matrix.foreign_names().await;
    matrix.crossed_names().await;
    matrix.entered_elsewhere().await;
    matrix.foreign_page_tokens().await;
    matrix.foreign_request_ids().await;
    matrix.foreign_secrets().await;
    matrix.shut("paused app", "gimel", "AppsService/PauseApp", "APP_PAUSED").await;
    matrix.shut("deleted app", "daleth", "AppsService/DeleteApp", "APP_DELETED").await;
    matrix.refused("nobody", &matrix.node.anyone(), (16, "CREDENTIAL_MISSING")).await;
    for token in matrix.forged().await {
        matrix.refused("forged token", &matrix.node.anyone().bearer(&token), (16, "CREDENTIAL_MALFORMED")).await;
    }
    let gone = sign_in(&matrix.node, "aleph", "1@aleph.example.com").await;
    let out = json!({ "parent": "apps/aleph", "refreshToken": gone.refresh_token });
    matrix.node.anyone().call("AuthService/SignOut", out).await.unwrap();
    matrix.refused("ended session", &gone.on(Wire::Grpc), (16, "SESSION_ENDED")).await;
    matrix.own_names_are_let_in().await;
    matrix.node.advance_seconds(5 * 60 + 61);
    matrix.theirs.owner = matrix.theirs.owner.refresh().await.unwrap();
    matrix.theirs.staff = matrix.theirs.owner.entering("beth").await;
    for caller in matrix.ours.everybody() {
        matrix.refused("expired token", &caller, (16, "TOKEN_EXPIRED")).await;
    }

    let tried = matrix.tried.lock().unwrap().clone();
    let (rpcs, calls) = (matrix.rpcs.len(), tried.values().sum::<usize>());
    tell(&format!("matrix rpcs={rpcs} calls={calls} seconds={:.1} {tried:?}", began.elapsed().as_secs_f32()));
    assert_eq!(tried.len(), VARIANTS.len(), "{tried:?}");
    assert!(VARIANTS.iter().all(|(variant, least)| tried[variant] >= *least), "{tried:?}");
    assert!(calls >= rpcs * VARIANTS.len() * TRANSPORTS, "{calls} calls for {rpcs} RPCs");
    assert!(!matrix.node.log().contains("@beth."), "the log tells who lives in an app");
    let metrics = matrix.node.anyone().to(&matrix.node.admin).on(Wire::Rest).send(http::Method::GET, "/metrics", "", vec![]).await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(!metrics.contains("aleph") && !metrics.contains("beth"), "metrics tell of an app: {metrics}");
    assert!(metrics.contains("# TYPE"), "no metrics, so this proves nothing: {metrics}");
}
