//! How an app comes to be: a row of inserts under derived ids, so that a repeat finishes what an interrupted try began.
//! Intent, claim, app, signing key, staff team, membership, holding, confirmation.

use kernel::{Cx, Error, Kind, Result, Tenant, id};
use storage::{Change, Record, Seen};

use crate::domain::app::{App, Mode, random_id};
use crate::domain::membership::Membership;
use crate::domain::team::Team;
use crate::events;
use crate::records::{APP, Claim, ClaimState, Holding, Intent, STAFF};
use crate::registration::request_id_reused;
use crate::state::{Core, random, user_name};

/// An app as it is wished for.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Empty = any.
    pub(crate) app_id: String,
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) mode: Mode,
    pub(crate) request_id: String,
}

impl Wish {
    fn digest(&self) -> String {
        let mode = if self.mode == Mode::Test { "test" } else { "live" };
        hex(&id::digest(&[&self.app_id, &self.display_name, &self.description, mode]))
    }

    fn is_repeatable(&self) -> bool {
        !self.request_id.is_empty()
    }
}

impl Core {
    /// Makes an app owned by the caller, or finishes making it. Answers the context inside it.
    /// Errors: `APP_INVALID`, `APP_ID_INVALID`, `APP_ID_TAKEN`, `REQUEST_ID_REUSED`.
    pub(crate) async fn found(&self, cx: &Cx, wish: &Wish) -> Result<(Cx, Seen<App>)> {
        let app = App::created(&wish.display_name, &wish.description, wish.mode, self.clock.now())?;
        let intent = self.intend(cx, wish).await?;
        let tenant = Tenant::parse(&intent.body.app_id)?;
        let claim = match self.claim(cx, &tenant, wish).await {
            Err(error) if error.reason() == "APP_ID_TAKEN" => {
                self.withdraw(cx, &intent).await?;
                return Err(error);
            }
            claim => claim?,
        };
        let inside = cx.enter(tenant)?;
        let mut seen = self.furnish(&inside, app).await?;
        if claim.body.state == ClaimState::Claimed {
            seen = self.as_wished(&inside, seen, wish).await?;
        }
        self.first_owner(cx, &inside).await?;
        self.confirm(cx, claim).await?;
        Ok((inside, seen))
    }

    /// An app that an interrupted try made under another wish becomes what is wished for now.
    async fn as_wished(&self, inside: &Cx, seen: Seen<App>, wish: &Wish) -> Result<Seen<App>> {
        let now = self.clock.now();
        let described = seen.body.described(&["display_name", "description"], &wish.display_name, &wish.description, now)?;
        let next = App { mode: wish.mode, updated_at: seen.body.updated_at, ..described };
        if next == seen.body {
            return Ok(seen);
        }
        self.store.replace(inside, &seen, Change::of(next)).await
    }

    /// What every app has before anybody is in it: its document with a data key, and a signing key.
    pub(crate) async fn furnish(&self, inside: &Cx, app: App) -> Result<Seen<App>> {
        let sealed = self.master.wrap(&inside.tenant().name(), &random::<32>()?, &random()?)?;
        let change = Change::of(App { data_key: sealed, ..app }).event(events::app_created(inside));
        let seen = self.ensure(inside, APP, change).await?;
        self.ensure_signing_key(inside, &seen.body).await?;
        Ok(seen)
    }

    /// Inserts a document that no try of ours but an earlier one can have inserted.
    async fn ensure<T: Record>(&self, cx: &Cx, id: &str, change: Change<T>) -> Result<Seen<T>> {
        match self.store.insert(cx, id, change).await {
            Err(taken) if taken.kind() == Kind::Exists => self.store.get(cx, id).await?.ok_or(taken),
            inserted => inserted,
        }
    }

    /// Remembers which app a request id means. Without one the answer is forgotten with the call.
    async fn intend(&self, cx: &Cx, wish: &Wish) -> Result<Seen<Intent>> {
        let app_id = if wish.app_id.is_empty() { random_id(random()?) } else { wish.app_id.clone() };
        if Tenant::parse(&app_id)?.is_reserved() {
            return Err(id_taken(&app_id));
        }
        let request = if wish.is_repeatable() { wish.request_id.clone() } else { hex(&random::<16>()?) };
        let id = id::derived("int", &[cx.tenant().as_str(), &cx.actor(), "CreateApp", &request]);
        let intent = Intent { app_id, digest: wish.digest(), created_at: self.clock.now().micros() };
        let seen = self.ensure(cx, &id, Change::of(intent)).await?;
        if seen.body.digest != wish.digest() {
            return Err(request_id_reused());
        }
        Ok(seen)
    }

    /// Takes the id for ever, unless somebody has it.
    async fn claim(&self, cx: &Cx, tenant: &Tenant, wish: &Wish) -> Result<Seen<Claim>> {
        let directory = cx.enter(Tenant::system())?;
        let now = self.clock.now().micros();
        let claim = Claim {
            state: ClaimState::Claimed,
            app_id: tenant.as_str().to_owned(),
            by: cx.actor(),
            digest: wish.digest(),
            created_at: now,
        };
        match self.store.insert(&directory, tenant.as_str(), Change::of(claim)).await {
            Err(taken) if taken.kind() == Kind::Exists => {}
            inserted => return inserted,
        }
        let seen = self.store.get::<Claim>(&directory, tenant.as_str()).await?.ok_or_else(|| id_taken(tenant.as_str()))?;
        let (own, same) = (seen.body.by == cx.actor(), seen.body.digest == wish.digest());
        match seen.body.state {
            ClaimState::Claimed if own && same => Ok(seen),
            // Interrupted, and now wished for otherwise.
            ClaimState::Claimed if own => {
                let other = Claim { digest: wish.digest(), ..seen.body.clone() };
                self.store.replace(&directory, &seen, Change::of(other)).await
            }
            ClaimState::Confirmed if own && same && wish.is_repeatable() => Ok(seen),
            _ => Err(id_taken(tenant.as_str())),
        }
    }

    /// A refused id leaves the request id free for another try.
    async fn withdraw(&self, cx: &Cx, intent: &Seen<Intent>) -> Result<()> {
        match self.store.remove(cx, intent, storage::Removal::new()).await {
            Err(gone) if matches!(gone.kind(), Kind::NotFound | Kind::Stale) => Ok(()),
            removed => removed,
        }
    }

    async fn first_owner(&self, cx: &Cx, inside: &Cx) -> Result<()> {
        let caller = cx.caller()?;
        let owner = user_name(&caller.home, &caller.id);
        self.ensure(inside, STAFF, Change::of(Team::staff(vec![owner.clone()], self.clock.now()))).await?;
        let id = id::derived("mbr", &[inside.tenant().as_str(), STAFF, &owner]);
        let membership = Membership::owner(STAFF, &owner, caller.home.as_str(), self.clock.now());
        self.ensure(inside, &id, Change::of(membership)).await?;
        self.hold(cx, &caller.id, inside.tenant()).await
    }

    /// Lists an app among those a person is staff of. `home` is a context in that person's app.
    pub(crate) async fn hold(&self, home: &Cx, user: &str, app: &Tenant) -> Result<()> {
        let holding = Holding { user: user.to_owned(), app_id: app.as_str().to_owned() };
        self.ensure(home, &Holding::id(user, app.as_str()), Change::of(holding)).await?;
        Ok(())
    }

    async fn confirm(&self, cx: &Cx, claim: Seen<Claim>) -> Result<()> {
        if claim.body.state == ClaimState::Confirmed {
            return Ok(());
        }
        let directory = cx.enter(Tenant::system())?;
        let confirmed = Claim { state: ClaimState::Confirmed, ..claim.body.clone() };
        match self.store.replace(&directory, &claim, Change::of(confirmed)).await {
            // A parallel repeat confirmed it.
            Err(error) if error.kind() == Kind::Stale => Ok(()),
            replaced => replaced.map(drop),
        }
    }
}

fn id_taken(app_id: &str) -> Error {
    let error = Error::exists("APP_ID_TAKEN", format!("the app id {app_id} is taken"));
    error.field("app_id", "is taken")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
