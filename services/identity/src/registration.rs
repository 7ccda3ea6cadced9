//! Making an account: the address decides by a unique index, an invitation by one write, the password by its hash.

use kernel::{Cx, Error, Kind, Result, id};
use storage::{Change, Once, Remembered, Seen};

use crate::domain::app::App;
use crate::domain::email::Email;
use crate::domain::password::Password;
use crate::domain::session::{Device, Session};
use crate::domain::user::{Profile, User};
use crate::events;
use crate::invitations::Invitation;
use crate::sign_in::Door;
use crate::state::Core;

/// A person's wish for an account.
pub(crate) struct Registration {
    pub(crate) email: Email,
    pub(crate) password: Password,
    pub(crate) profile: Profile,
    pub(crate) invitation: Option<Invitation>,
    pub(crate) device: Device,
    pub(crate) request_id: String,
}

impl Registration {
    /// What a repeat must ask for again. The password is compared by its hash, not here.
    fn once(&self) -> Result<Option<Once>> {
        Once::of(&self.request_id, self.profile.digest(&[&self.email.address]))
    }
}

impl Core {
    /// Makes the account and signs the person in.
    /// Errors: `EMAIL_TAKEN`, `REGISTRATION_CLOSED`, `INVITATION_DEAD`, `HASHING_BUSY`, `REQUEST_ID_REUSED`.
    pub(crate) async fn register(&self, cx: &Cx, app: &Seen<App>, wish: Registration) -> Result<Seen<Session>> {
        if !self.config.registration_open && wish.invitation.is_none() {
            return Err(Error::refused("REGISTRATION_CLOSED", "people join this app by invitation only"));
        }
        let id = match wish.request_id.as_str() {
            "" => id::fresh("usr", self.clock.now()),
            request => id::derived("usr", &[cx.tenant().as_str(), &cx.actor(), "Register", request]),
        };
        let user = match self.store.get::<User>(cx, &id).await? {
            Some(user) => self.registered_before(cx, user, &wish).await?,
            None => self.new_account(cx, app, &id, &wish).await?,
        };
        if let Some(invitation) = &wish.invitation {
            self.accept(cx, app, invitation, &user).await?;
        }
        self.open_session(cx, app, &user, Door { device: &wish.device, request_id: &wish.request_id }).await
    }

    async fn new_account(&self, cx: &Cx, app: &Seen<App>, id: &str, wish: &Registration) -> Result<Seen<User>> {
        if let Some(invitation) = &wish.invitation {
            self.check_open(cx, app, invitation, &wish.email).await?;
        }
        // Before the costly hash; the index decides again below.
        if self.user_by_email(cx, &wish.email).await?.is_some_and(|user| user.id != id) {
            return Err(email_taken("email"));
        }
        let phc = self.pool.hash(cx.tenant(), wish.password.clone()).await?;
        let user = User::made(wish.email.clone(), Some(phc), wish.profile.clone(), self.clock.now());
        let change = Change::of(user).once(wish.once()?).event(events::user_created(cx, id));
        match self.store.insert(cx, id, change).await {
            Err(error) if error.kind() == Kind::Exists => match self.store.get(cx, id).await? {
                Some(user) => self.registered_before(cx, user, wish).await,
                None => Err(email_taken("email")),
            },
            inserted => inserted,
        }
    }

    /// The account that the repeated request made, if it is the same request with the same password.
    async fn registered_before(&self, cx: &Cx, user: Seen<User>, wish: &Registration) -> Result<Seen<User>> {
        if wish.once()?.is_some_and(|once| user.remembers(&once) == Remembered::Other) {
            return Err(request_id_reused());
        }
        let phc = user.body.password.as_ref().map(|stored| stored.phc.clone());
        let verdict = self.pool.verify(cx.tenant(), wish.password.clone(), phc).await?;
        if verdict.ok && user.body.may_sign_in() { Ok(user) } else { Err(request_id_reused()) }
    }
}

/// Somebody has the address. `field` is where it stands in the request.
pub(crate) fn email_taken(field: &str) -> Error {
    Error::exists("EMAIL_TAKEN", "an account with this address exists").field(field, "is taken")
}

/// A request id came again with another request.
pub(crate) fn request_id_reused() -> Error {
    Error::refused("REQUEST_ID_REUSED", "the request id was used for another request")
}
