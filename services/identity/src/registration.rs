//! Making an account: the address decides by a unique index, an invitation by one write, the password by its hash.

use std::net::IpAddr;

use kernel::{Cx, Error, Kind, Result, id};
use storage::{Change, Once, Remembered, Seen};

use crate::domain::app::App;
use crate::domain::email::Email;
use crate::domain::password::Password;
use crate::domain::session::Device;
use crate::domain::user::{Profile, User};
use crate::events;
use crate::invitations::Invitation;
use crate::sign_in::{Arrival, Door};
use crate::state::Core;

/// A person's wish for an account.
pub(crate) struct Registration {
    pub(crate) email: Email,
    pub(crate) password: Password,
    pub(crate) profile: Profile,
    pub(crate) invitation: Option<Invitation>,
    pub(crate) device: Device,
    pub(crate) request_id: String,
    /// Where the call comes from, as far as that is known.
    pub(crate) address: Option<IpAddr>,
}

impl Registration {
    /// What a repeat must ask for again. The password is compared by its hash, not here.
    fn once(&self) -> Result<Option<Once>> {
        let invitation = self.invitation.as_ref().map_or("", Invitation::membership);
        Once::of(&self.request_id, self.profile.digest(&[&self.email.address, invitation]))
    }
}

impl Core {
    /// Makes the account and signs the person in.
    /// Errors: `EMAIL_TAKEN`, `REGISTRATION_CLOSED`, `INVITATION_DEAD`, `HASHING_BUSY`, `TRY_LATER`, `REQUEST_ID_REUSED`.
    pub(crate) async fn register(&self, cx: &Cx, app: &Seen<App>, wish: Registration) -> Result<Arrival> {
        if !self.config.registration_open && wish.invitation.is_none() {
            return Err(Error::refused("REGISTRATION_CLOSED", "people join this app by invitation only"));
        }
        let id = match wish.request_id.as_str() {
            "" => id::fresh("usr", self.clock.now()),
            request => id::derived("usr", &[cx.tenant().as_str(), &cx.actor(), "Register", request]),
        };
        let before = self.store.get::<User>(cx, &id).await?;
        let account = (cx.tenant().as_str(), wish.email.norm.as_str());
        let mut network = self.sources.begin(wish.address, account, false, self.clock.now())?;
        let user = match (before, &wish.invitation) {
            (Some(user), _) => self.registered_before(cx, user, &wish).await,
            (None, Some(invitation)) => self.invited_account(cx, app, &id, (&wish, invitation)).await,
            (None, None) => self.new_account(cx, &id, &wish).await,
        };
        if user.as_ref().is_err_and(|error| error.reason() == "EMAIL_TAKEN") {
            // Whoever asks for one address after another learns who has an account here.
            network.failed(self.clock.now());
        }
        let user = user?;
        if let Some(invitation) = &wish.invitation {
            // Also for an account that was there: only its own invitation makes it staff, and a parallel repeat that failed
            // may have given that back.
            self.redeem(cx, app, invitation, (&id, &wish.email)).await?;
            self.join_staff(cx, &id).await?;
        }
        let door = Door { device: &wish.device, request_id: &wish.request_id, failures: 0 };
        let session = self.open_session(cx, app, &user, door).await?;
        Ok(Arrival { session, device_token: self.remember_device(cx, app, &user, None)? })
    }

    /// The invitation is spent before the account is made: of many who hand it in, one gets in. When no account comes of
    /// it, it is given back.
    async fn invited_account(&self, cx: &Cx, app: &Seen<App>, id: &str, ask: (&Registration, &Invitation)) -> Result<Seen<User>> {
        let (wish, invitation) = ask;
        self.check_open(cx, app, invitation, (id, &wish.email)).await?;
        self.check_free(cx, id, &wish.email).await?;
        let spent = self.redeem(cx, app, invitation, (id, &wish.email)).await?;
        match self.new_account(cx, id, wish).await {
            Err(error) => {
                if let Some(spent) = spent {
                    self.give_back(cx, &spent).await?;
                }
                Err(error)
            }
            made => made,
        }
    }

    /// Before the costly hash; the index decides again at the insert. Errors: `EMAIL_TAKEN`.
    async fn check_free(&self, cx: &Cx, id: &str, email: &Email) -> Result<()> {
        let owner = self.user_by_email(cx, email).await?;
        if owner.is_some_and(|user| user.id != id) { Err(email_taken("email")) } else { Ok(()) }
    }

    async fn new_account(&self, cx: &Cx, id: &str, wish: &Registration) -> Result<Seen<User>> {
        self.check_free(cx, id, &wish.email).await?;
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
        let other = wish.once()?.is_some_and(|once| user.remembers(&once) == Remembered::Other);
        if other || user.body.email.norm != wish.email.norm || !user.body.may_sign_in() {
            return Err(request_id_reused());
        }
        // Like any other guess at this password.
        match self.prove(cx, &user, Some(wish.password.clone()), wish.address).await {
            Err(wrong) if wrong.reason() == "CREDENTIALS_INVALID" => Err(request_id_reused()),
            proven => proven.map(|()| user),
        }
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
