//! Who answers a request: the first match of preflight, RPC path, REST rule, health, shell; otherwise nothing is here.
//! Must not read bodies or know how a wire spells anything.

use std::sync::Arc;

use api::mozaiks::options::v1::Plane;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method as Verb, Request, Response, StatusCode};
use http_body_util::Full;
use kernel::Error;
use rpc::{Body, CallId, Deadline, Hub, Mark, Method, Schema};
use tokio::sync::watch;
use tonic::Code;
use tracing::{error, info};

use crate::address::{self, Net};
use crate::call::{self, Call, Reply, Visit};
use crate::cors::Origins;
use crate::openapi::Document;
use crate::refuse::{self, Refusal};
use crate::rules::{Found, Rule, Rules, template};
use crate::session::{self, Sessions};
use crate::shell::{self, Bootstrap};
use crate::stability::Notices;
use crate::wires::{RPC_TYPES, Wire, grpc, grpc_web, rest};
use crate::{Admin, assets, headers, openapi};

/// Everything that requests are answered from.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) schema: Arc<Schema>,
    pub(crate) rules: Rules,
    pub(crate) sessions: Sessions,
    pub(crate) notices: Notices,
    pub(crate) document: Document,
    pub(crate) origins: Origins,
    pub(crate) proxies: Vec<Net>,
    pub(crate) hub: Hub,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) bootstrap: Bootstrap,
}

type Outcome = Result<Response<Body>, Refusal>;

/// What a request is for.
enum Target<'a> {
    /// A path of an RPC; none when there is no such method here.
    Rpc(Option<&'a Method>),
    /// A REST rule, and the segments of the path as it matched them.
    Rest(&'a Rule, Vec<&'a str>),
    /// A path of REST rules for other verbs.
    Verbs(Vec<Verb>),
    /// Whatever is no call.
    Page,
}

impl Target<'_> {
    fn method(&self) -> Option<&Method> {
        match self {
            Self::Rpc(method) => *method,
            Self::Rest(rule, _) => Some(&rule.method),
            Self::Verbs(_) | Self::Page => None,
        }
    }
}

impl Front {
    /// Answers in the caller's protocol, whatever happens.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let peer = head.extensions.get::<rpc::Peer>().map(|peer| peer.0);
        let address = address::client(peer, &head.headers, &self.proxies);
        let (wire, knows_codec) = Wire::of(&head.headers);
        let visit = Visit { wire, knows_codec, call_id: CallId::of(&head.headers), address, head };
        let mut response = match self.origins.preflight(&visit.head) {
            Some(answer) => answer,
            None => {
                let served = rpc::caught(self.serve(&visit, body)).await;
                let mut response = served.unwrap_or_else(|panic| refused(panic.into(), &visit));
                self.origins.expose(&visit.head, response.headers_mut());
                response
            }
        };
        headers::finish(response.headers_mut(), visit.call_id.header());
        if visit.head.method == Verb::HEAD {
            *response.body_mut() = Body::empty();
        }
        response
    }

    async fn serve(&self, visit: &Visit, body: Body) -> Response<Body> {
        let target = self.target(visit);
        let method = target.as_ref().ok().and_then(Target::method);
        let notices = method.and_then(|method| self.notices.on(method));
        if let (Some(method), Some(_)) = (method, notices) {
            method.mark(Mark::Deprecated);
        }
        let outcome = match target {
            Ok(target) => self.route(visit, target, body).await,
            Err(refusal) => Err(refusal),
        };
        let mut response = outcome.unwrap_or_else(|refusal| refused(refusal, visit));
        if let Some(notices) = notices {
            response.headers_mut().extend(notices.clone());
        }
        response
    }

    fn target<'a>(&'a self, visit: &'a Visit) -> Result<Target<'a>, Refusal> {
        headers::check(&visit.head)?;
        let path = visit.head.uri.path();
        let method = self.schema.method(path).filter(|method| offers(method, visit));
        if method.is_some() || visit.wire != Wire::Rest {
            return Ok(Target::Rpc(method.map(Arc::as_ref)));
        }
        if path.starts_with("/api/") {
            template::check(path)?;
        }
        Ok(match self.rules.find(path, &visit.head.method) {
            Found::Rule(rule, segments) if offers(&rule.method, visit) => Target::Rest(rule, segments),
            Found::Verbs(verbs) => Target::Verbs(verbs),
            Found::Rule(..) | Found::Nothing => Target::Page,
        })
    }

    async fn route(&self, visit: &Visit, target: Target<'_>, body: Body) -> Outcome {
        match target {
            Target::Rpc(method) => self.rpc(visit, method, body).await,
            Target::Rest(rule, segments) => {
                let mut deadline = deadline(visit, &rule.method)?;
                let call = deadline.enforce(rest::inward(visit, rule, &segments, body)).await?;
                rest::outward(visit, &self.rules, rule, self.send(visit, call, Some(deadline)).await?).await
            }
            Target::Verbs(verbs) => other_verb(visit, &verbs),
            Target::Page => self.page(visit),
        }
    }

    async fn rpc(&self, visit: &Visit, method: Option<&Method>, body: Body) -> Outcome {
        let content = |text| Refusal::from(Error::unsupported("CONTENT_TYPE_UNSUPPORTED", text));
        if visit.head.method != Verb::POST {
            return Err(Refusal::from(Error::unsupported("VERB_NOT_ALLOWED", "calls are POST"))
                .with(header::ALLOW, HeaderValue::from_static("POST")));
        }
        if visit.wire == Wire::Rest {
            let types = HeaderValue::from_static(RPC_TYPES);
            return Err(content("this is an RPC path").with(HeaderName::from_static("accept-post"), types));
        }
        if !visit.knows_codec {
            return Err(content("the only codec is proto"));
        }
        let method = method.ok_or_else(|| Error::unsupported("METHOD_UNKNOWN", "there is no such method"))?;
        if visit.wire == Wire::Grpc {
            let call = grpc::inward(visit, method, body)?;
            return Ok(grpc::outward(self.send(visit, call, None).await?));
        }
        let call = grpc_web::inward(visit, method, body)?;
        Ok(grpc_web::outward(visit, self.send(visit, call, None).await?))
    }

    /// `deadline`: where the call runs against one already. Of a call that the peer reads, it is the peer's alone.
    async fn send(&self, visit: &Visit, call: Call<'_>, mut deadline: Option<Deadline>) -> Result<Reply, Refusal> {
        let is_asked = visit.head.headers.contains_key(session::MODE);
        let session = if is_asked { self.sessions.open(visit, call.method, &self.origins)? } else { None };
        if deadline.is_none() && (session.is_some() || call.headers.contains_key(headers::GRPC_TIMEOUT)) {
            deadline = Some(Deadline::of(call.method, &call.headers)?);
        }
        call::send(&self.hub, session, call, deadline).await
    }

    fn page(&self, visit: &Visit) -> Outcome {
        let path = visit.head.uri.path();
        if !matches!(visit.head.method, Verb::GET | Verb::HEAD) {
            return Err(Error::route_unknown().into());
        }
        match path {
            "/healthz" => Ok(plain("ok\n")),
            "/readyz" if *self.ready.borrow() => Ok(plain("ready\n")),
            "/readyz" => Err(Error::unavailable("NOT_READY", "not ready yet").into()),
            openapi::PATH => Ok(self.document.answer(&visit.head.headers)),
            path if is_navigation(visit, path) => Ok(shell::document(self.bootstrap.on(is_admin(visit)))),
            path => assets::find(path).ok_or_else(|| Error::route_unknown().into()),
        }
    }
}

/// The end of this call, as the service would reckon it: for what is read here.
fn deadline(visit: &Visit, method: &Method) -> Result<Deadline, Refusal> {
    let asked = headers::timeout(&visit.head.headers)?.map(|asked| (headers::GRPC_TIMEOUT, asked));
    Ok(Deadline::of(method, &asked.into_iter().collect())?)
}

/// Operators are served on the admin listener alone; packages that are not ours never.
fn offers(method: &Method, visit: &Visit) -> bool {
    let is_operator = method.access.as_ref().is_some_and(|access| access.plane() == Plane::Operator);
    !method.area.is_empty() && (!is_operator || is_admin(visit))
}

fn is_admin(visit: &Visit) -> bool {
    visit.head.extensions.get::<Admin>().is_some()
}

fn is_navigation(visit: &Visit, path: &str) -> bool {
    let accepts =
        visit.head.headers.get_all(header::ACCEPT).iter().any(|value| value.as_bytes().windows(9).any(|part| part == b"text/html"));
    let is_file = path.rsplit('/').next().is_some_and(|last| last.contains('.'));
    path == "/" || (accepts && !is_file && path != "/api" && !path.starts_with("/api/"))
}

fn plain(text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(text.into())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A known path with a verb it has no rule for: `options` reads which it has, the others are refused with the list.
fn other_verb(visit: &Visit, verbs: &[Verb]) -> Outcome {
    let mut names: Vec<&str> = verbs.iter().map(Verb::as_str).chain(["OPTIONS"]).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.sort_unstable();
    names.dedup();
    let allow = HeaderValue::try_from(names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"));
    if visit.head.method != Verb::OPTIONS {
        return Err(Refusal::from(Error::unsupported("VERB_NOT_ALLOWED", "the path is not for this verb")).with(header::ALLOW, allow));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, allow);
    Ok(response)
}

fn refused(refusal: Refusal, visit: &Visit) -> Response<Body> {
    log(&refusal, visit);
    let conditional = visit.head.headers.contains_key(header::IF_MATCH);
    // A verb is refused before the wire is known: whoever does not POST does not speak gRPC.
    let wire = if visit.head.method == Verb::POST { visit.wire } else { Wire::Rest };
    refuse::answer(refusal, wire, visit.call_id.as_str(), conditional)
}

/// Once, where it was made: a failure that a peer answered has no source here and is in the peer's log. A refusal says its
/// reason alone, since its message may repeat what the caller wrote.
fn log(refusal: &Refusal, visit: &Visit) {
    let Some(cause) = std::error::Error::source(&*refusal.status) else { return };
    let reason = kernel::error_info(&refusal.status).unwrap_or_default();
    match refusal.status.code() {
        Code::Internal => error!(call_id = visit.call_id.as_str(), wire = ?visit.wire, reason, ?cause, "failed"),
        _ => info!(call_id = visit.call_id.as_str(), wire = ?visit.wire, reason, "refused"),
    }
}
