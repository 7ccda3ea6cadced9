//! The service of the bench: constant answers of identity's contract, under its own package and under one whose messages no
//! typed codec knows.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use api::mozaiks::identity::v1 as pb;
use http::Response;
use kernel::{Clock, Credential, Result, Subject, SubjectKind, Tenant, Time, Verified};
use rpc::{Body, BoxFuture, Http, Schema, Service, Stack, Verifier};
use tonic::server::{Grpc, NamedService};
use tonic::service::Routes;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// The package of identity, and one of the same length beside it.
pub const TYPED: &str = "mozaiks.identity.v1";
pub const DYNAMIC: &str = "mozaiks.identity.x1";

const USER_ID: &str = "usr_0198f1c2-7a4b-7c3d-8e5f-a1b2c3d4e5f6";

/// The contracts, with identity under this package.
pub fn schema(package: &str) -> Arc<Schema> {
    let mut set = api::DESCRIPTORS.to_vec();
    for at in 0..=set.len() - TYPED.len() {
        if set[at..].starts_with(TYPED.as_bytes()) {
            set[at..at + TYPED.len()].copy_from_slice(package.as_bytes());
        }
    }
    Arc::new(Schema::read(&set).unwrap())
}

/// tonic's own, with nothing before it.
pub fn routes() -> Routes {
    let routes = Routes::new(Constant::<Methods>::default()).add_service(Constant::<Me<true>>::default());
    routes.add_service(Constant::<Me<false>>::default()).prepare()
}

/// Behind the stack of a service.
pub fn behind_stack(schema: Arc<Schema>) -> Http {
    let stack = Stack { schema, verifier: Arc::new(Known), clock: Clock::system() };
    stack.wrap(Service { name: "identity", routes: routes() })
}

/// Knows whoever comes, at once.
struct Known;

impl Verifier for Known {
    fn verify<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, Result<Verified>> {
        let tenant = Tenant::platform();
        let subject = Subject { id: USER_ID.to_owned(), kind: SubjectKind::User, home: tenant.clone(), session: None };
        let verified = Verified { tenant, subject, permissions: Vec::new(), aal: 1, auth_time: Time::default() };
        Box::pin(std::future::ready(Ok(verified)))
    }
}

/// One method of one service.
trait Method: Send + Sync + 'static {
    const SERVICE: &'static str;
    type Ask: prost::Message + Default + 'static;
    type Answer: prost::Message + Default + 'static;
    fn answer() -> Self::Answer;
}

/// What tonic generates for a service, for this method alone: it stays the same when a service gets another one.
struct Constant<M>(PhantomData<M>);

impl<M> Default for Constant<M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<M> Clone for Constant<M> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<M: Method> NamedService for Constant<M> {
    const NAME: &'static str = M::SERVICE;
}

impl<M: Method> tower::Service<http::Request<Body>> for Constant<M> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = service_fn(|_: Request<M::Ask>| async { Ok::<_, Status>(tonic::Response::new(M::answer())) });
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(method, request).await) })
    }
}

struct Methods;

impl Method for Methods {
    const SERVICE: &'static str = "mozaiks.identity.v1.AuthService";
    type Ask = pb::ListSignInMethodsRequest;
    type Answer = pb::ListSignInMethodsResponse;

    fn answer() -> Self::Answer {
        pb::ListSignInMethodsResponse { methods: vec![pb::SignInMethod::Password.into()], registration_open: true }
    }
}

struct Me<const IS_TYPED: bool>;

impl<const IS_TYPED: bool> Method for Me<IS_TYPED> {
    const SERVICE: &'static str = if IS_TYPED { "mozaiks.identity.v1.MeService" } else { "mozaiks.identity.x1.MeService" };
    type Ask = pb::UpdateMeRequest;
    type Answer = pb::UpdateMeResponse;

    fn answer() -> Self::Answer {
        let made = api::wkt::Timestamp::from_micros(1_700_000_000_123_456);
        let user = pb::User {
            name: format!("apps/platform/users/{USER_ID}"),
            state: pb::UserState::Active.into(),
            email: "ann@example.com".into(),
            profile: Some(pb::Profile { display_name: "Ann Example".into(), ..pb::Profile::default() }),
            create_time: Some(made),
            update_time: Some(made),
            etag: "\"1-5f3a9c0b7d21e684\"".into(),
            ..pb::User::default()
        };
        pb::UpdateMeResponse { user: Some(user) }
    }
}
