//! The servers of the bench: the same constant answers behind ever more of our layers. Each runs in a process of its own.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use api::mozaiks::identity::v1 as pb;
use http::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use kernel::{Clock, Credential, Result, Subject, SubjectKind, Tenant, Time, Verified};
use rpc::{Body, BoxFuture, Caps, Http, Hub, Listener, Schema, Service, Stack, Verifier};
use tokio::net::TcpListener;
use tonic::server::{Grpc, NamedService};
use tonic::service::Routes;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use tower::{Layer as _, service_fn};

/// How much stands before the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// tonic's routes on hyper, nothing else.
    Bare,
    /// The same under tonic-web.
    TonicWeb,
    /// tonic's routes on our listener.
    Listener,
    /// Our listener and the stack of a service.
    Stack,
    /// Our listener, the gateway, and the stack in the same process.
    Gateway,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Bare, Self::TonicWeb, Self::Listener, Self::Stack, Self::Gateway];

    /// The hidden argument under which a process plays this role.
    pub fn argument(self) -> String {
        format!("--serve-{self:?}")
    }
}

/// Serves until stdin is closed. The first line on stdout is the address.
pub fn serve(role: Role) {
    rpc::log("info").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.spawn(async move {
        match role {
            Role::Bare => bare(routes()).await,
            Role::TonicWeb => bare(tonic_web::GrpcWebLayer::new().layer(routes())).await,
            Role::Listener => ours(Http::new(routes())).await,
            Role::Stack => ours(behind_stack()).await,
            Role::Gateway => ours(behind_gateway()).await,
        }
    });
    let _ = std::io::stdin().read(&mut [0]);
}

/// hyper with its own defaults.
async fn bare<S>(service: S)
where
    S: tower::Service<http::Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    say(listener.local_addr().unwrap());
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Our listener with the limits of the product.
async fn ours(service: Http) {
    let listener = Listener::bind("127.0.0.1:0", Caps::default()).await.unwrap();
    say(listener.address());
    listener.serve(service, std::future::pending()).await;
}

fn say(address: std::net::SocketAddr) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{address}").and_then(|()| out.flush()).unwrap();
}

fn routes() -> Routes {
    Routes::new(Constant::<Methods>::default()).add_service(Constant::<Me>::default()).prepare()
}

/// The contracts of the product.
pub fn schema() -> Arc<Schema> {
    Arc::new(Schema::read(api::DESCRIPTORS).unwrap())
}

/// The constant answers behind the stack of a service.
pub fn behind_stack() -> Http {
    let stack = Stack { schema: schema(), verifier: Arc::new(Known), clock: Clock::system() };
    stack.wrap(Service { name: "identity", routes: routes() })
}

fn behind_gateway() -> Http {
    let hub = Hub::new();
    hub.install("identity", behind_stack());
    let config = gateway::Config { secure_cookies: false, ..gateway::Config::default() };
    let (_, ready) = tokio::sync::watch::channel(true);
    gateway::start(gateway::Start { config, schema: schema(), hub, ready }).unwrap()
}

/// Knows whoever comes, at once.
struct Known;

impl Verifier for Known {
    fn verify<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, Result<Verified>> {
        Box::pin(std::future::ready(Ok(known())))
    }
}

/// Whoever calls.
pub fn known() -> Verified {
    let tenant = Tenant::platform();
    let subject = Subject { id: USER_ID.to_owned(), kind: SubjectKind::User, home: tenant.clone(), session: None };
    Verified { tenant, subject, permissions: Vec::new(), aal: 1, auth_time: Time::default() }
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
        methods()
    }
}

struct Me;

impl Method for Me {
    const SERVICE: &'static str = "mozaiks.identity.v1.MeService";
    type Ask = pb::GetMeRequest;
    type Answer = pb::GetMeResponse;

    fn answer() -> Self::Answer {
        me()
    }
}

const USER_ID: &str = "usr_0198f1c2-7a4b-7c3d-8e5f-a1b2c3d4e5f6";

/// What `ListSignInMethods` answers.
pub fn methods() -> pb::ListSignInMethodsResponse {
    pb::ListSignInMethodsResponse { methods: vec![pb::SignInMethod::Password.into()], registration_open: true }
}

/// Who is called in `GetMe`; the product is asked for the same person.
pub const EMAIL: &str = "ann@example.com";
/// What they call themselves.
pub const DISPLAY_NAME: &str = "Ann Example";

/// What `GetMe` answers.
pub fn me() -> pb::GetMeResponse {
    let made = api::wkt::Timestamp::from_micros(1_700_000_000_123_456);
    let user = pb::User {
        name: format!("apps/platform/users/{USER_ID}"),
        state: pb::UserState::Active.into(),
        email: EMAIL.into(),
        profile: Some(pb::Profile { display_name: DISPLAY_NAME.into(), ..pb::Profile::default() }),
        create_time: Some(made),
        update_time: Some(made),
        etag: "\"1-5f3a9c0b7d21e684\"".into(),
        ..pb::User::default()
    };
    pb::GetMeResponse { user: Some(user), permissions: Vec::new() }
}
