//! `MeService`: the caller's own account and sessions. Who is meant comes from the token alone.

use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::me_service_server::MeService;
use kernel::{Cx, Error, Etag, Name, Page, Result, id};
use rpc::Open;
use storage::{Change, Find, Once, Seen, Target};
use tonic::{Request, Response, Status};

use crate::auth::profile;
use crate::domain::session::{EndReason, Session};
use crate::domain::user::{State, User};
use crate::state::{Core, timestamp, user_name};

/// The resource.
pub(crate) struct Me(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl MeService for Me {
    async fn get_me(&self, request: Request<pb::GetMeRequest>) -> Result<Response<pb::GetMeResponse>, Status> {
        let (cx, _) = request.open()?;
        let user = self.0.user(&cx, &cx.caller()?.id).await?;
        let permissions = cx.permissions().to_vec();
        Ok(Response::new(pb::GetMeResponse { user: Some(show(&cx, &user)), permissions }))
    }

    async fn update_me(&self, request: Request<pb::UpdateMeRequest>) -> Result<Response<pb::UpdateMeResponse>, Status> {
        let (cx, ask) = request.open()?;
        let user = ask.user.unwrap_or_default();
        let mask = ask.update_mask.unwrap_or_default();
        let profile = profile(user.profile.unwrap_or_default());
        let digest =
            id::digest(&[&mask.paths.join(","), &profile.display_name, &profile.given_name, &profile.family_name, &profile.locale]);
        let (once, etag) = (Once::of(&ask.request_id, digest)?, Etag::parse(&user.etag)?);
        let caller = &cx.caller()?.id;
        let target = Target { id: caller, name: &user_name(cx.tenant(), caller) };
        let now = self.0.clock.now();
        let saved = self
            .0
            .store
            .change::<User>(&cx, target, once, etag, |user| Ok(Change::of(user.with_profile(&mask.paths, &profile, now)?)))
            .await?;
        Ok(Response::new(pb::UpdateMeResponse { user: Some(show(&cx, &saved)) }))
    }

    async fn list_my_sessions(&self, request: Request<pb::ListMySessionsRequest>) -> Result<Response<pb::ListMySessionsResponse>, Status> {
        let (cx, ask) = request.open()?;
        let page = Page::of(ask.page_size, ask.page_token)?;
        let prefix = vec![cx.caller()?.id.as_str().into()];
        let question = Find { index: "user_created", prefix, range: None, descending: true, page: &page };
        let found = self.0.store.find::<Session>(&cx, question).await?;
        let sessions = found.items.iter().map(|session| self.show_session(&cx, session)).collect();
        Ok(Response::new(pb::ListMySessionsResponse { sessions, next_page_token: found.next_token }))
    }

    async fn revoke_my_session(
        &self,
        request: Request<pb::RevokeMySessionRequest>,
    ) -> Result<Response<pb::RevokeMySessionResponse>, Status> {
        let (cx, ask) = request.open()?;
        let name = Name::parse(&ask.name)?;
        let session = self.0.store.get::<Session>(&cx, name.id_in("me/sessions")?).await?;
        let caller = &cx.caller()?.id;
        let mine = session.filter(|session| session.body.user == *caller).ok_or_else(|| Error::not_found(&ask.name))?;
        self.0.end(&cx, &mine, EndReason::Revoked).await?;
        Ok(Response::new(pb::RevokeMySessionResponse {}))
    }
}

impl Me {
    fn show_session(&self, cx: &Cx, seen: &Seen<Session>) -> pb::Session {
        let session = &seen.body;
        let over = session.is_over(self.0.clock.now());
        let current = cx.subject().and_then(|subject| subject.session.as_deref()) == Some(seen.id.as_str());
        pb::Session {
            name: format!("{}/me/sessions/{}", cx.tenant().name(), seen.id),
            user: user_name(cx.tenant(), &session.user),
            state: if over { pb::SessionState::Ended } else { pb::SessionState::Active }.into(),
            device_name: session.device_name.clone(),
            current,
            create_time: timestamp(session.created_at),
            refresh_time: timestamp(session.rotated_at),
            idle_expire_time: timestamp(session.idle_ends_at),
            expire_time: timestamp(session.ends_at),
        }
    }
}

fn show(cx: &Cx, seen: &Seen<User>) -> pb::User {
    let user = &seen.body;
    pb::User {
        name: user_name(cx.tenant(), &seen.id),
        state: match user.state {
            State::Active => pb::UserState::Active,
            State::Disabled => pb::UserState::Disabled,
        }
        .into(),
        email: user.email.address.clone(),
        email_verified: user.email.verified_at.is_some(),
        profile: Some(pb::Profile {
            display_name: user.profile.display_name.clone(),
            given_name: user.profile.given_name.clone(),
            family_name: user.profile.family_name.clone(),
            locale: user.profile.locale.clone(),
        }),
        create_time: timestamp(user.created_at),
        update_time: timestamp(user.updated_at),
        etag: seen.etag().to_string(),
    }
}
