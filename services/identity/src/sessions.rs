//! `SessionsService`: the sessions of an app's people, for its staff.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::sessions_service_server::SessionsService;
use kernel::{Cx, Error, Kind, Name, Page, Result};
use rpc::Open;
use storage::{Find, Seen};
use tonic::{Request, Response, Status};

use crate::domain::session::{EndReason, Present, Session};
use crate::state::{Core, timestamp, user_name};

/// The resource.
pub(crate) struct Sessions(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl SessionsService for Sessions {
    async fn get_session(&self, request: Request<pb::GetSessionRequest>) -> Result<Response<pb::GetSessionResponse>, Status> {
        let (cx, ask) = request.open()?;
        let session = self.read(&cx, &ask.name).await?;
        Ok(Response::new(pb::GetSessionResponse { session: self.show(&cx, &[session]).await?.pop() }))
    }

    async fn list_sessions(&self, request: Request<pb::ListSessionsRequest>) -> Result<Response<pb::ListSessionsResponse>, Status> {
        let (cx, ask) = request.open()?;
        let page = Page::of(ask.page_size, ask.page_token)?;
        let (index, prefix) = match ask.user.as_str() {
            "" => ("created", vec![]),
            user => ("user_created", vec![Name::parse(user)?.id_in("users")?.into()]),
        };
        let found = self.0.store.find::<Session>(&cx, Find { index, prefix, range: None, descending: true, page: &page }).await?;
        let sessions = self.show(&cx, &found.items).await?;
        Ok(Response::new(pb::ListSessionsResponse { sessions, next_page_token: found.next_token }))
    }

    async fn revoke_session(&self, request: Request<pb::RevokeSessionRequest>) -> Result<Response<pb::RevokeSessionResponse>, Status> {
        let (cx, ask) = request.open()?;
        let session = self.read(&cx, &ask.name).await?;
        self.0.end(&cx, &session, EndReason::Revoked).await?;
        let session = self.read(&cx, &ask.name).await?;
        Ok(Response::new(pb::RevokeSessionResponse { session: self.show(&cx, &[session]).await?.pop() }))
    }
}

impl Sessions {
    async fn read(&self, cx: &Cx, name: &str) -> Result<Seen<Session>> {
        let found = self.0.store.get::<Session>(cx, Name::parse(name)?.id_in("sessions")?).await?;
        found.ok_or_else(|| Error::not_found(name))
    }

    async fn show(&self, cx: &Cx, sessions: &[Seen<Session>]) -> Result<Vec<pb::Session>> {
        self.0.show_sessions(cx, &cx.tenant().name(), sessions).await
    }
}

impl Core {
    /// Sessions as callers see them, named below `parent`. Whether one is alive is read from its person too, once each.
    pub(crate) async fn show_sessions(&self, cx: &Cx, parent: &str, sessions: &[Seen<Session>]) -> Result<Vec<pb::Session>> {
        let (app, now) = (self.app(cx).await?, self.clock.now());
        let mut people: HashMap<&str, Option<Present>> = HashMap::new();
        let mut shown = Vec::with_capacity(sessions.len());
        for session in sessions {
            let present = match people.entry(&session.body.user) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => *unknown.insert(self.present(cx, &app, &session.body).await.map(Some).or_else(gone)?),
            };
            // A paused app keeps its sessions.
            let alive = present.is_some_and(|present| session.body.alive(&Present { app_active: true, ..present }, now).is_ok());
            shown.push(show(cx, parent, session, alive));
        }
        Ok(shown)
    }
}

/// Nobody has the session any more.
fn gone(error: Error) -> Result<Option<Present>> {
    if error.kind() == Kind::Unauthenticated { Ok(None) } else { Err(error) }
}

fn show(cx: &Cx, parent: &str, seen: &Seen<Session>, alive: bool) -> pb::Session {
    let session = &seen.body;
    let current = cx.subject().and_then(|subject| subject.session.as_deref()) == Some(seen.id.as_str());
    pb::Session {
        name: format!("{parent}/sessions/{}", seen.id),
        user: user_name(cx.tenant(), &session.user),
        state: if alive { pb::SessionState::Active } else { pb::SessionState::Ended }.into(),
        device_name: session.device_name.clone(),
        current,
        create_time: timestamp(session.created_at),
        refresh_time: timestamp(session.rotated_at),
        idle_expire_time: timestamp(session.idle_ends_at),
        expire_time: timestamp(session.ends_at),
    }
}
