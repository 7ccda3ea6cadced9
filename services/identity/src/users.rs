//! `UsersService`: the people of an app, for its staff.

use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::users_service_server::UsersService;
use kernel::{Cx, Error, Etag, Kind, Name, Page, Result, id};
use rpc::Open;
use storage::{Change, Find, Once, Remembered, Seen, Target};
use tonic::{Request, Response, Status};

use crate::auth::{password, profile};
use crate::domain::email::Email;
use crate::domain::password::Password;
use crate::domain::user::{State, User};
use crate::events;
use crate::registration::{email_taken, request_id_reused};
use crate::state::{Core, timestamp, user_name};

/// The resource.
pub(crate) struct Users(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl UsersService for Users {
    async fn create_user(&self, request: Request<pb::CreateUserRequest>) -> Result<Response<pb::CreateUserResponse>, Status> {
        let (cx, ask) = request.open()?;
        let user = self.create(&cx, ask).await?;
        Ok(Response::new(pb::CreateUserResponse { user: Some(show(&cx, &user)) }))
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Result<Response<pb::GetUserResponse>, Status> {
        let (cx, ask) = request.open()?;
        let user = self.0.user(&cx, Name::parse(&ask.name)?.id_in("users")?).await?;
        Ok(Response::new(pb::GetUserResponse { user: Some(show(&cx, &user)) }))
    }

    async fn list_users(&self, request: Request<pb::ListUsersRequest>) -> Result<Response<pb::ListUsersResponse>, Status> {
        let (cx, ask) = request.open()?;
        let page = Page::of(ask.page_size, ask.page_token)?;
        let question = Find { index: "created", prefix: vec![], range: None, descending: true, page: &page };
        let found = self.0.store.find::<User>(&cx, question).await?;
        let users = found.items.iter().filter(|user| user.body.is_there()).map(|user| show(&cx, user)).collect();
        Ok(Response::new(pb::ListUsersResponse { users, next_page_token: found.next_token }))
    }

    async fn update_user(&self, request: Request<pb::UpdateUserRequest>) -> Result<Response<pb::UpdateUserResponse>, Status> {
        let (cx, ask) = request.open()?;
        let (user, mask) = (ask.user.unwrap_or_default(), ask.update_mask.unwrap_or_default());
        let profile = profile(user.profile.unwrap_or_default());
        let once = Once::of(&ask.request_id, profile.digest(&mask.paths))?;
        let now = self.0.clock.now();
        let way = ("identity.user.updated", once, user.etag.as_str());
        let saved = self.change(&cx, &user.name, way, |user| user.with_profile(&mask.paths, &profile, now)).await?;
        Ok(Response::new(pb::UpdateUserResponse { user: Some(show(&cx, &saved)) }))
    }

    async fn disable_user(&self, request: Request<pb::DisableUserRequest>) -> Result<Response<pb::DisableUserResponse>, Status> {
        let (cx, ask) = request.open()?;
        check_other(&cx, &ask.name)?;
        let now = self.0.clock.now();
        let saved = self.change(&cx, &ask.name, ("identity.user.disabled", None, &ask.etag), |user| user.disabled(now)).await?;
        Ok(Response::new(pb::DisableUserResponse { user: Some(show(&cx, &saved)) }))
    }

    async fn enable_user(&self, request: Request<pb::EnableUserRequest>) -> Result<Response<pb::EnableUserResponse>, Status> {
        let (cx, ask) = request.open()?;
        let now = self.0.clock.now();
        let saved = self.change(&cx, &ask.name, ("identity.user.enabled", None, &ask.etag), |user| user.enabled(now)).await?;
        Ok(Response::new(pb::EnableUserResponse { user: Some(show(&cx, &saved)) }))
    }

    async fn delete_user(&self, request: Request<pb::DeleteUserRequest>) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let (cx, ask) = request.open()?;
        check_other(&cx, &ask.name)?;
        self.0.check_not_last_owner(cx.tenant(), Name::parse(&ask.name)?.id_in("users")?).await?;
        let now = self.0.clock.now();
        let saved = self.change(&cx, &ask.name, ("identity.user.deleted", None, &ask.etag), |user| Ok(user.deleted(now))).await?;
        Ok(Response::new(pb::DeleteUserResponse { user: Some(show(&cx, &saved)) }))
    }

    async fn undelete_user(&self, request: Request<pb::UndeleteUserRequest>) -> Result<Response<pb::UndeleteUserResponse>, Status> {
        let (cx, ask) = request.open()?;
        let now = self.0.clock.now();
        let saved = self.change(&cx, &ask.name, ("identity.user.undeleted", None, &ask.etag), |user| user.undeleted(now)).await?;
        Ok(Response::new(pb::UndeleteUserResponse { user: Some(show(&cx, &saved)) }))
    }
}

impl Users {
    /// Changes a person. `way` is the kind of the event, the request id, if any, and the etag.
    async fn change(
        &self,
        cx: &Cx,
        name: &str,
        way: (&'static str, Option<Once>, &str),
        rule: impl Fn(&User) -> Result<User> + Send + Sync,
    ) -> Result<Seen<User>> {
        let (kind, once, etag) = way;
        let parsed = Name::parse(name)?;
        let target = Target { id: parsed.id_in("users")?, name };
        let change = |user: &User| {
            let next = Some(user).filter(|user| user.is_there()).map_or_else(|| Err(Error::not_found(name)), &rule)?;
            let event = (next != *user).then(|| events::user_changed(cx, kind, target.id, &next));
            Ok(event.into_iter().fold(Change::of(next), Change::event))
        };
        self.0.store.change::<User>(cx, target, once, Etag::parse(etag)?, change).await
    }

    /// Makes an account, or finds the one that the repeated request made.
    async fn create(&self, cx: &Cx, ask: pb::CreateUserRequest) -> Result<Seen<User>> {
        let wished = ask.user.unwrap_or_default();
        let email = Email::parse(&wished.email)?;
        let profile = profile(wished.profile.unwrap_or_default()).read("user.profile")?;
        let password = if ask.password.is_empty() { None } else { Some(password(&ask.password, &email, cx.tenant())?) };
        let once = Once::of(&ask.request_id, profile.digest(&[&email.address]))?;
        let id = match once {
            Some(_) => id::derived("usr", &[cx.tenant().as_str(), &cx.actor(), "CreateUser", &ask.request_id]),
            None => id::fresh("usr", self.0.clock.now()),
        };
        if let Some(before) = self.0.store.get::<User>(cx, &id).await? {
            return self.same(cx, before, once, password).await;
        }
        let phc = match password.clone() {
            Some(password) => Some(self.0.pool.hash(cx.tenant(), password).await?),
            None => None,
        };
        let user = User::made(email, phc, profile, self.0.clock.now());
        let change = Change::of(user).once(once.clone()).event(events::user_created(cx, &id));
        match self.0.store.insert(cx, &id, change).await {
            Err(error) if error.kind() == Kind::Exists => match self.0.store.get::<User>(cx, &id).await? {
                Some(before) => self.same(cx, before, once, password).await,
                None => Err(email_taken("user.email")),
            },
            inserted => inserted,
        }
    }

    /// The account that the repeated request made, if it asked for the same.
    async fn same(&self, cx: &Cx, before: Seen<User>, once: Option<Once>, password: Option<Password>) -> Result<Seen<User>> {
        let phc = before.body.password.as_ref().map(|stored| stored.phc.clone());
        let same_password = match password {
            Some(password) => self.0.pool.verify(cx.tenant(), password, phc).await?.ok,
            None => phc.is_none(),
        };
        let other = once.is_some_and(|once| before.remembers(&once) == Remembered::Other);
        if other || !same_password { Err(request_id_reused()) } else { Ok(before) }
    }
}

/// Nobody puts themselves out by staff's means. Errors: `OWN_ACCOUNT`.
fn check_other(cx: &Cx, name: &str) -> Result<()> {
    let caller = cx.caller()?;
    let own = || Error::refused("OWN_ACCOUNT", "nobody disables or deletes their own account this way");
    if name == user_name(&caller.home, &caller.id) { Err(own()) } else { Ok(()) }
}

/// The person as callers see them.
pub(crate) fn show(cx: &Cx, seen: &Seen<User>) -> pb::User {
    let user = &seen.body;
    let profile = user.profile.clone();
    pb::User {
        name: user_name(cx.tenant(), &seen.id),
        state: match user.state {
            State::Active => pb::UserState::Active,
            State::Disabled => pb::UserState::Disabled,
            State::Deleted | State::Purging | State::Purged => pb::UserState::Deleted,
        }
        .into(),
        email: user.email.address.clone(),
        email_verified: user.email.verified_at.is_some(),
        profile: Some(pb::Profile {
            display_name: profile.display_name,
            given_name: profile.given_name,
            family_name: profile.family_name,
            locale: profile.locale,
        }),
        create_time: timestamp(user.created_at),
        update_time: timestamp(user.updated_at),
        etag: seen.etag().to_string(),
        delete_time: user.deleted_at.and_then(timestamp),
        purge_time: user.purge_at().and_then(|until| timestamp(until.micros())),
    }
}
