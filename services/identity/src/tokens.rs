//! `TokensService`: access tokens beyond those of a sign-in.

use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::tokens_service_server::TokensService;
use kernel::{Cx, Error, Result};
use rpc::Open;
use storage::Seen;
use tonic::{Request, Response, Status};

use crate::domain::session::Session;
use crate::issue::Grant;
use crate::state::{Core, app_of, timestamp};

/// The resource.
pub(crate) struct Tokens(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl TokensService for Tokens {
    async fn enter_app(&self, request: Request<pb::EnterAppRequest>) -> Result<Response<pb::EnterAppResponse>, Status> {
        let (cx, ask) = request.open()?;
        let target = app_of(&ask.target)?;
        let inside = cx.enter(target)?;
        let absent = || Error::not_found(&ask.target);
        let standing = self.0.standing(&inside, cx.caller()?).await?.ok_or_else(absent)?;
        let app = self.0.app(&inside).await?;
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
