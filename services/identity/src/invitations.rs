//! Invitations to a staff team: a membership without a subject, and a secret that is computed, never stored.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use kernel::{Cx, Error, Kind, Result, id};
use storage::{Change, Seen, taken};
use subtle::ConstantTimeEq as _;

use crate::domain::app::App;
use crate::domain::email::Email;
use crate::domain::membership::{INVITATION_SECONDS, Invited, Membership, State};
use crate::domain::team::Team;
use crate::events;
use crate::records::STAFF;
use crate::state::{Core, user_name};

/// What an invitation's text begins with.
const PREFIX: &str = "mzi_";

/// An invitation as somebody handed it in: which membership, and the secret.
pub(crate) struct Invitation {
    membership: String,
    secret: Vec<u8>,
}

impl Invitation {
    /// Reads `mzi_{membership}_{secret}`; empty = none. Errors: `INVITATION_DEAD`.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>> {
        if text.is_empty() {
            return Ok(None);
        }
        let (membership, secret) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')).ok_or_else(dead)?;
        let secret = BASE64_URL_SAFE_NO_PAD.decode(secret).map_err(|_| dead())?;
        Ok(Some(Self { membership: membership.to_owned(), secret }))
    }

    /// The membership that it offers.
    pub(crate) fn membership(&self) -> &str {
        &self.membership
    }
}

impl Core {
    /// Makes an invitation to own the app of `cx` and to hold these roles in its staff. The text is told once.
    pub(crate) async fn invite(&self, cx: &Cx, app: &Seen<App>, roles: &[&str]) -> Result<String> {
        let now = self.clock.now();
        let id = id::fresh("mbr", now);
        let ends_at = now.plus_seconds(INVITATION_SECONDS).micros();
        let invited = Invited { email_norm: None, by: cx.actor(), generation: 1, ends_at };
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let membership = Membership::invited(STAFF, roles, true, invited, now);
        let event = events::membership_changed(cx, "identity.membership.invited", (&id, None), events::doer(cx));
        let seen = self.store.insert(cx, &id, Change::of(membership).event(event)).await?;
        let secret = BASE64_URL_SAFE_NO_PAD.encode(self.invitation_secret(cx, app, &seen)?);
        Ok(format!("{PREFIX}{id}.{secret}"))
    }

    /// The invited membership behind an invitation that still counts. Errors: `INVITATION_DEAD`.
    async fn check_invitation(&self, cx: &Cx, app: &Seen<App>, invitation: &Invitation) -> Result<Seen<Membership>> {
        let seen = self.store.get::<Membership>(cx, &invitation.membership).await?.ok_or_else(dead)?;
        let secret = self.invitation_secret(cx, app, &seen)?;
        if !bool::from(secret.as_slice().ct_eq(&invitation.secret)) {
            return Err(dead());
        }
        Ok(seen)
    }

    /// Whether this account may redeem it. Errors: `INVITATION_DEAD`, `INVITATION_EMAIL_MISMATCH`.
    pub(crate) async fn check_open(&self, cx: &Cx, app: &Seen<App>, invitation: &Invitation, account: (&str, &Email)) -> Result<()> {
        let seen = self.check_invitation(cx, app, invitation).await?;
        self.redeemed(cx, &seen, account).map(drop)
    }

    /// Spends it on the account of this id and address: one write at the version read. Answers the membership when this
    /// call made it, and none when the account had it before. Errors: `INVITATION_DEAD`, `INVITATION_EMAIL_MISMATCH`.
    pub(crate) async fn redeem(
        &self,
        cx: &Cx,
        app: &Seen<App>,
        invitation: &Invitation,
        account: (&str, &Email),
    ) -> Result<Option<Seen<Membership>>> {
        let mut seat = 1;
        loop {
            let seen = self.check_invitation(cx, app, invitation).await?;
            let Some(redeemed) = self.redeemed(cx, &seen, account)? else { return Ok(None) };
            let event =
                events::membership_changed(cx, "identity.membership.accepted", (&seen.id, redeemed.subject.as_deref()), events::doer(cx));
            match self.store.replace(cx, &seen, Change::of(Membership { seat, ..redeemed }).event(event)).await {
                Err(error) if taken(&error) == Some("team_seat") => seat += 1,
                Err(error) if error.kind() == Kind::Stale => {}
                written => return written.map(Some),
            }
        }
    }

    /// The membership after this account has redeemed it; none when it has already.
    fn redeemed(&self, cx: &Cx, seen: &Seen<Membership>, account: (&str, &Email)) -> Result<Option<Membership>> {
        let subject = user_name(cx.tenant(), account.0);
        if seen.body.state == State::Active && seen.body.subject.as_ref() == Some(&subject) {
            return Ok(None);
        }
        seen.body.accepted(&subject, cx.tenant().as_str(), &account.1.norm, self.clock.now()).map(Some)
    }

    /// Opens an invitation again that was spent on an account which did not come to be.
    pub(crate) async fn give_back(&self, cx: &Cx, spent: &Seen<Membership>) -> Result<()> {
        let offer = Membership { state: State::Invited, subject: None, home: None, seat: 0, ..spent.body.clone() };
        let event = events::membership_changed(cx, "identity.membership.changed", (&spent.id, None), events::doer(cx));
        match self.store.replace(cx, spent, Change::of(offer).event(event)).await {
            // The same account's own repeat came first.
            Err(error) if error.kind() == Kind::Stale => Ok(()),
            replaced => replaced.map(drop),
        }
    }

    /// What follows for somebody whose membership counts: they are an owner, and the app is listed among theirs.
    pub(crate) async fn join_staff(&self, cx: &Cx, user: &str) -> Result<()> {
        self.appoint(cx, &user_name(cx.tenant(), user)).await?;
        self.hold(cx, user, cx.tenant()).await
    }

    /// Lists a person, whose membership carries the flag, among the owners of the staff team.
    async fn appoint(&self, cx: &Cx, subject: &str) -> Result<()> {
        let now = self.clock.now();
        loop {
            let written = match self.store.get::<Team>(cx, STAFF).await? {
                Some(team) if team.body.owners.iter().any(|owner| owner == subject) => return Ok(()),
                Some(team) => {
                    let owners = team.body.owners.iter().cloned().chain([subject.to_owned()]).collect();
                    let appointed = Team { owners, updated_at: now.micros(), ..team.body.clone() };
                    let event = events::staff_changed(cx, "identity.team.owners_changed", events::doer(cx));
                    self.store.replace(cx, &team, Change::of(appointed).event(event)).await
                }
                None => {
                    let event = events::staff_changed(cx, "identity.team.created", events::doer(cx));
                    self.store.insert(cx, STAFF, Change::of(Team::staff(vec![subject.to_owned()], now)).event(event)).await
                }
            };
            match written {
                Err(race) if matches!(race.kind(), Kind::Stale | Kind::Exists) => {}
                written => return written.map(drop),
            }
        }
    }

    fn invitation_secret(&self, cx: &Cx, app: &Seen<App>, seen: &Seen<Membership>) -> Result<[u8; 20]> {
        let document = format!("{}/teams/{STAFF}/memberships/{}", cx.tenant().name(), seen.id);
        Ok(self.data_key(cx.tenant(), &app.body)?.mac(
            "invitation",
            &document,
            seen.body.invited.as_ref().map_or(0, |invited| invited.generation),
        ))
    }
}

fn dead() -> Error {
    Error::refused("INVITATION_DEAD", "this invitation does not exist, is used or has expired")
}
