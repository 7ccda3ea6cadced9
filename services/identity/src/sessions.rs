//! `SessionsService`: the sessions of an app's people, for its staff.

use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::sessions_service_server::SessionsService;
use kernel::{Cx, Error, Name, Page, Result, Time};
use rpc::Open;
use storage::{Find, Seen};
use tonic::{Request, Response, Status};

use crate::domain::session::{EndReason, Session};
use crate::state::{Core, timestamp, user_name};

/// The resource.
pub(crate) struct Sessions(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl SessionsService for Sessions {
    async fn get_session(&self, request: Request<pb::GetSessionRequest>) -> Result<Response<pb::GetSessionResponse>, Status> {
        let (cx, ask) = request.open()?;
        let session = self.read(&cx, &ask.name).await?;
        Ok(Response::new(pb::GetSessionResponse { session: Some(self.show(&cx, &session)) }))
    }

    async fn list_sessions(&self, request: Request<pb::ListSessionsRequest>) -> Result<Response<pb::ListSessionsResponse>, Status> {
        let (cx, ask) = request.open()?;
        let page = Page::of(ask.page_size, ask.page_token)?;
        let (index, prefix) = match ask.user.as_str() {
            "" => ("created", vec![]),
            user => ("user_created", vec![Name::parse(user)?.id_in("users")?.into()]),
        };
        let found = self.0.store.find::<Session>(&cx, Find { index, prefix, range: None, descending: true, page: &page }).await?;
        let sessions = found.items.iter().map(|session| self.show(&cx, session)).collect();
        Ok(Response::new(pb::ListSessionsResponse { sessions, next_page_token: found.next_token }))
    }

    async fn revoke_session(&self, request: Request<pb::RevokeSessionRequest>) -> Result<Response<pb::RevokeSessionResponse>, Status> {
        let (cx, ask) = request.open()?;
        let session = self.read(&cx, &ask.name).await?;
        self.0.end(&cx, &session, EndReason::Revoked).await?;
        let session = self.read(&cx, &ask.name).await?;
        Ok(Response::new(pb::RevokeSessionResponse { session: Some(self.show(&cx, &session)) }))
    }
}

impl Sessions {
    async fn read(&self, cx: &Cx, name: &str) -> Result<Seen<Session>> {
        let found = self.0.store.get::<Session>(cx, Name::parse(name)?.id_in("sessions")?).await?;
        found.ok_or_else(|| Error::not_found(name))
    }

    fn show(&self, cx: &Cx, session: &Seen<Session>) -> pb::Session {
        show(cx, &cx.tenant().name(), session, self.0.clock.now())
    }
}

/// A session as callers see it, named below `parent`.
pub(crate) fn show(cx: &Cx, parent: &str, seen: &Seen<Session>, now: Time) -> pb::Session {
    let session = &seen.body;
    let current = cx.subject().and_then(|subject| subject.session.as_deref()) == Some(seen.id.as_str());
    pb::Session {
        name: format!("{parent}/sessions/{}", seen.id),
        user: user_name(cx.tenant(), &session.user),
        state: if session.is_over(now) { pb::SessionState::Ended } else { pb::SessionState::Active }.into(),
        device_name: session.device_name.clone(),
        current,
        create_time: timestamp(session.created_at),
        refresh_time: timestamp(session.rotated_at),
        idle_expire_time: timestamp(session.idle_ends_at),
        expire_time: timestamp(session.ends_at),
    }
}
