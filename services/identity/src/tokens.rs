//! `TokensService`: access tokens beyond those of a sign-in.

use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::tokens_service_server::TokensService;
use kernel::{Cx, Error, Kind, Result};
use rpc::Open;
use storage::Seen;
use tonic::{Request, Response, Status};

use crate::domain::app::State;
use crate::domain::session::Session;
use crate::introspection::{Introspection, Proven};
use crate::issue::Grant;
use crate::state::{Core, app_of, session_name, timestamp, user_name};

/// What staff may still do in a deleted app.
const KEPT_PERMISSIONS: [&str; 2] = ["identity.apps.delete", "identity.apps.read"];

/// The resource.
pub(crate) struct Tokens(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl TokensService for Tokens {
    async fn enter_app(&self, request: Request<pb::EnterAppRequest>) -> Result<Response<pb::EnterAppResponse>, Status> {
        let (cx, ask) = request.open()?;
        let target = app_of(&ask.target)?;
        let inside = cx.enter(target)?;
        let absent = || Error::not_found(&ask.target);
        let mut standing = self.0.standing(&inside, cx.caller()?).await?.ok_or_else(absent)?;
        let app = self.0.app(&inside).await?;
        if app.body.state == State::Deleted {
            // What is left to do in a deleted app: look at it and take the deletion back.
            standing.permissions.retain(|held| KEPT_PERMISSIONS.contains(&held.as_str()));
        }
        let session = self.session(&cx).await?;
        let grant = Grant { session: &session, permissions: standing.permissions.clone() };
        let access = self.0.access_token(&inside, &app, grant).await?;
        Ok(Response::new(pb::EnterAppResponse {
            access_token: access.token,
            access_expire_time: timestamp(access.ends.micros()),
            permissions: standing.permissions,
            roles: standing.roles,
        }))
    }

    async fn introspect_token(
        &self,
        request: Request<pb::IntrospectTokenRequest>,
    ) -> Result<Response<pb::IntrospectTokenResponse>, Status> {
        let (cx, ask) = request.open()?;
        let inactive = pb::IntrospectTokenResponse::default();
        let answer = match Introspection(self.0.clone()).introspect(&ask.token).await {
            Ok(proven) if proven.verified.tenant == *cx.tenant() => show(proven),
            Ok(_) => inactive,
            Err(error) if matches!(error.kind(), Kind::Unauthenticated | Kind::Refused) => inactive,
            Err(error) => return Err(error.into()),
        };
        Ok(Response::new(answer))
    }
}

fn show(proven: Proven) -> pb::IntrospectTokenResponse {
    let Proven { verified, ends } = proven;
    let subject = verified.subject;
    pb::IntrospectTokenResponse {
        active: true,
        subject: user_name(&subject.home, &subject.id),
        session: subject.session.map(|session| session_name(&subject.home, &session)).unwrap_or_default(),
        permissions: verified.permissions,
        expire_time: timestamp(ends.micros()),
    }
}

impl Tokens {
    /// The caller's own session, from which the new token descends.
    async fn session(&self, cx: &Cx) -> Result<Seen<Session>> {
        let caller = cx.caller()?;
        let home = cx.enter(caller.home.clone())?;
        let none = || Error::unauthenticated("SESSION_ENDED", "the session has ended; sign in again");
        let id = caller.session.as_deref().ok_or_else(none)?;
        self.0.store.get::<Session>(&home, id).await?.ok_or_else(none)
    }
}
