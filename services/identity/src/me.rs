//! `MeService`: the caller's own account and sessions. Who is meant comes from the token alone.

use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::me_service_server::MeService;
use kernel::{Error, Etag, Name, Page, Result};
use rpc::Open;
use storage::{Change, Find, Once, Target};
use tonic::{Request, Response, Status};

use crate::auth::{address, password, profile};
use crate::domain::email::Email;
use crate::domain::password::Password;
use crate::domain::session::{EndReason, Session};
use crate::domain::user::User;
use crate::events;
use crate::state::{Core, user_name};
use crate::users::show;

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
        let (once, etag) = (Once::of(&ask.request_id, profile.digest(&mask.paths))?, Etag::parse(&user.etag)?);
        let caller = &cx.caller()?.id;
        let target = Target { id: caller, name: &user_name(cx.tenant(), caller) };
        let now = self.0.clock.now();
        let saved = self
            .0
            .store
            .change::<User>(&cx, target, once, etag, |user| {
                let next = user.with_profile(&mask.paths, &profile, now)?;
                let event = events::user_changed(&cx, "identity.user.updated", caller, &next);
                Ok(Change::of(next).event(event))
            })
            .await?;
        Ok(Response::new(pb::UpdateMeResponse { user: Some(show(&cx, &saved)) }))
    }

    async fn list_my_sessions(&self, request: Request<pb::ListMySessionsRequest>) -> Result<Response<pb::ListMySessionsResponse>, Status> {
        let (cx, ask) = request.open()?;
        let page = Page::of(ask.page_size, ask.page_token)?;
        let prefix = vec![cx.caller()?.id.as_str().into()];
        let question = Find { index: "user_created", prefix, range: None, descending: true, page: &page };
        let found = self.0.store.find::<Session>(&cx, question).await?;
        let mine = format!("{}/me", cx.tenant().name());
        let sessions = self.0.show_sessions(&cx, &mine, &found.items).await?;
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

    async fn change_password(&self, request: Request<pb::ChangePasswordRequest>) -> Result<Response<pb::ChangePasswordResponse>, Status> {
        let address = address(&request);
        let (cx, ask) = request.open()?;
        let app = self.0.app(&cx).await?;
        let user = self.0.user(&cx, &cx.caller()?.id).await?;
        let email = Email { address: user.body.email.address.clone(), norm: user.body.email.norm.clone() };
        let chosen = password(&ask.new_password, &email, cx.tenant()).map_err(of_the_new)?;
        self.0.prove(&cx, &user, Password::presented(&ask.current_password), address).await?;
        let phc = self.0.pool.hash(cx.tenant(), chosen).await?;
        let next = user.body.with_password(phc, self.0.clock.now());
        let session = self.0.renew(&cx, &app, &user, (next, "identity.user.password_changed")).await?;
        Ok(Response::new(pb::ChangePasswordResponse { session: Some(session) }))
    }

    async fn revoke_my_other_sessions(
        &self,
        request: Request<pb::RevokeMyOtherSessionsRequest>,
    ) -> Result<Response<pb::RevokeMyOtherSessionsResponse>, Status> {
        let (cx, _) = request.open()?;
        let app = self.0.app(&cx).await?;
        let user = self.0.user(&cx, &cx.caller()?.id).await?;
        let next = (user.body.cut(self.0.clock.now()), "identity.user.sessions_cut");
        let session = self.0.renew(&cx, &app, &user, next).await?;
        Ok(Response::new(pb::RevokeMyOtherSessionsResponse { session: Some(session) }))
    }
}

/// What is wrong with a chosen password is wrong with the field it stands in.
fn of_the_new(error: Error) -> Error {
    let what = error.fields().iter().map(|(_, what)| what.as_str()).next().unwrap_or_else(|| error.message());
    Error::invalid("PASSWORD_WEAK", error.message()).field("new_password", what)
}
