//! How an app comes to be: a row of inserts under derived ids, so that whoever comes later finishes what an interrupted try
//! began: the caller's repeat, or the scheduler. Intent, claim, app, signing key, staff team, membership, holding, confirmation.

use api::mozaiks::common::v1::{Subject, SubjectKind};
use fail::fail_point;
use kernel::{Cx, Error, Kind, Result, Tenant, id};
use serde::{Deserialize, Serialize};
use storage::{Change, Record, Seen};

use crate::domain::app::{App, Mode, random_id};
use crate::domain::membership::Membership;
use crate::domain::team::Team;
use crate::domain::user::User;
use crate::events;
use crate::records::{APP, Claim, ClaimState, Holding, Intent, STAFF};
use crate::registration::request_id_reused;
use crate::state::{Core, random, session_name, user_name};

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

/// What the claim of an app keeps until the app is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) mode: Mode,
    pub(crate) founder: Founder,
}

/// Who makes an app, and in which call. Nobody: the system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Founder {
    pub(crate) home: String,
    pub(crate) user: String,
    pub(crate) session: String,
    pub(crate) call_id: String,
}

impl Founder {
    fn of(cx: &Cx) -> Result<Self> {
        let caller = cx.caller()?;
        let (home, user) = (caller.home.as_str().to_owned(), caller.id.clone());
        Ok(Self { home, user, session: caller.session.clone().unwrap_or_default(), call_id: cx.call_id().to_owned() })
    }

    /// As events name them, whoever finishes the work.
    pub(crate) fn subject(&self, inside: &Cx) -> Subject {
        let Ok(home) = Tenant::parse(&self.home) else { return Subject { kind: SubjectKind::System.into(), ..Subject::default() } };
        Subject {
            name: user_name(&home, &self.user),
            kind: SubjectKind::User.into(),
            home: if home == *inside.tenant() { String::new() } else { home.name() },
            session: if self.session.is_empty() { String::new() } else { session_name(&home, &self.session) },
        }
    }
}

impl Wish {
    fn digest(&self) -> String {
        let mode = if self.mode == Mode::Test { "test" } else { "live" };
        hex(&id::digest(&[&self.app_id, &self.display_name, &self.description, mode]))
    }

    fn is_repeatable(&self) -> bool {
        !self.request_id.is_empty()
    }

    fn draft(&self, cx: &Cx) -> Result<Draft> {
        let (display_name, description) = (self.display_name.clone(), self.description.clone());
        Ok(Draft { display_name, description, mode: self.mode, founder: Founder::of(cx)? })
    }
}

impl Core {
    /// Makes an app owned by the caller, or finishes making it. Answers the context inside it.
    /// Errors: `APP_INVALID`, `APP_ID_INVALID`, `APP_ID_TAKEN`, `REQUEST_ID_REUSED`.
    pub(crate) async fn found(&self, cx: &Cx, wish: &Wish) -> Result<(Cx, Seen<App>)> {
        App::created(&wish.display_name, &wish.description, wish.mode, self.clock.now())?;
        let intent = self.intend(cx, wish).await?;
        fail_point!("identity::founding::after_intent", |_| std::process::abort());
        let tenant = Tenant::parse(&intent.body.app_id)?;
        let claim = match self.claim(cx, &tenant, wish).await {
            Err(error) if error.reason() == "APP_ID_TAKEN" => {
                self.withdraw(cx, &intent).await?;
                return Err(error);
            }
            claim => claim?,
        };
        fail_point!("identity::founding::after_claim", |_| std::process::abort());
        let inside = cx.enter(tenant)?;
        let seen = match &claim.body.draft {
            Some(draft) if claim.body.state == ClaimState::Claimed => self.build(cx, &inside, (&claim, draft)).await?,
            _ => self.app(&inside).await?,
        };
        Ok((inside, seen))
    }

    /// What the scheduler does about a claim that nobody confirmed: finishes the app, or gives it up when its founder is gone.
    pub(crate) async fn resume_founding(&self, cx: &Cx, id: &str) -> Result<()> {
        let Some(claim) = self.store.get::<Claim>(cx, id).await? else { return Ok(()) };
        let (state, draft) = (claim.body.state, claim.body.draft.clone());
        let Some(draft) = draft.filter(|_| state == ClaimState::Claimed) else { return Ok(()) };
        let inside = cx.enter(Tenant::parse(&claim.body.app_id)?)?;
        let home = cx.enter(Tenant::parse(&draft.founder.home)?)?;
        let founder = self.store.get::<User>(&home, &draft.founder.user).await?;
        if founder.is_some_and(|founder| founder.body.may_sign_in()) {
            return self.build(cx, &inside, (&claim, &draft)).await.map(drop);
        }
        if let Some(half) = self.store.get::<App>(&inside, APP).await?.filter(|half| half.body.is_there()) {
            self.store.replace(&inside, &half, Change::of(half.body.purging(self.clock.now()))).await?;
            fail_point!("identity::founding::after_purging", |_| std::process::abort());
        }
        let abandoned = Claim { state: ClaimState::Abandoned, draft: None, ..claim.body.clone() };
        self.store.replace(cx, &claim, Change::of(abandoned)).await?;
        fail_point!("identity::founding::after_abandoned", |_| std::process::abort());
        Ok(())
    }

    /// Everything from the claim to its confirmation. Each step leaves what it finds.
    async fn build(&self, cx: &Cx, inside: &Cx, claimed: (&Seen<Claim>, &Draft)) -> Result<Seen<App>> {
        let (claim, draft) = claimed;
        let app = App::created(&draft.display_name, &draft.description, draft.mode, self.clock.now())?;
        let seen = self.furnish(inside, app, &draft.founder).await?;
        let seen = self.as_wished(inside, seen, draft).await?;
        self.first_owner(cx, inside, &draft.founder).await?;
        self.confirm(cx, claim).await?;
        fail_point!("identity::founding::after_confirmation", |_| std::process::abort());
        Ok(seen)
    }

    /// An app that an interrupted try made under another wish becomes what is wished for now.
    async fn as_wished(&self, inside: &Cx, seen: Seen<App>, wish: &Draft) -> Result<Seen<App>> {
        let now = self.clock.now();
        let described = seen.body.described(&["display_name", "description"], &wish.display_name, &wish.description, now)?;
        let next = App { mode: wish.mode, updated_at: seen.body.updated_at, ..described };
        if next == seen.body {
            return Ok(seen);
        }
        self.store.replace(inside, &seen, Change::of(next)).await
    }

    /// What every app has before anybody is in it: its document with a data key, and a signing key.
    pub(crate) async fn furnish(&self, inside: &Cx, app: App, founder: &Founder) -> Result<Seen<App>> {
        let sealed = self.master.wrap(&inside.tenant().name(), &random::<32>()?, &random()?)?;
        let change = Change::of(App { data_key: sealed, ..app }).event(events::app_created(inside, founder));
        let seen = self.ensure(inside, APP, change).await?;
        fail_point!("identity::founding::after_app", |_| std::process::abort());
        self.ensure_signing_key(inside, &seen.body).await?;
        fail_point!("identity::founding::after_key", |_| std::process::abort());
        Ok(seen)
    }

    /// Inserts a document that no try of ours but an earlier one can have inserted.
    pub(crate) async fn ensure<T: Record>(&self, cx: &Cx, id: &str, change: Change<T>) -> Result<Seen<T>> {
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
            draft: Some(wish.draft(cx)?),
        };
        match self.store.insert(&directory, tenant.as_str(), Change::of(claim)).await {
            Err(taken) if taken.kind() == Kind::Exists => {}
            inserted => return inserted,
        }
        let seen = self.store.get::<Claim>(&directory, tenant.as_str()).await?.ok_or_else(|| id_taken(tenant.as_str()))?;
        let (own, same) = (seen.body.by == cx.actor(), seen.body.digest == wish.digest());
        match seen.body.state {
            ClaimState::Claimed if own && same && seen.body.draft.is_some() => Ok(seen),
            // Interrupted, and now wished for otherwise.
            ClaimState::Claimed if own => {
                let other = Claim { digest: wish.digest(), draft: Some(wish.draft(cx)?), ..seen.body.clone() };
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

    async fn first_owner(&self, cx: &Cx, inside: &Cx, founder: &Founder) -> Result<()> {
        let (home, now) = (Tenant::parse(&founder.home)?, self.clock.now());
        let owner = user_name(&home, &founder.user);
        let by = (founder.subject(inside), founder.call_id.clone());
        let team = Change::of(Team::staff(vec![owner.clone()], now));
        let created = events::staff_changed(inside, "identity.team.created", by.clone());
        self.ensure(inside, STAFF, team.event(created)).await?;
        fail_point!("identity::founding::after_team", |_| std::process::abort());
        let id = id::derived("mbr", &[inside.tenant().as_str(), STAFF, &owner]);
        let added = events::membership_changed(inside, "identity.membership.added", (&id, Some(&owner)), by);
        let membership = Change::of(Membership::owner(STAFF, &owner, home.as_str(), now));
        self.ensure(inside, &id, membership.event(added)).await?;
        fail_point!("identity::founding::after_membership", |_| std::process::abort());
        self.hold(&cx.enter(home)?, &founder.user, inside.tenant()).await?;
        fail_point!("identity::founding::after_holding", |_| std::process::abort());
        Ok(())
    }

    /// Lists an app among those a person is staff of. `home` is a context in that person's app.
    pub(crate) async fn hold(&self, home: &Cx, user: &str, app: &Tenant) -> Result<()> {
        let holding = Holding { user: user.to_owned(), app_id: app.as_str().to_owned() };
        self.ensure(home, &Holding::id(user, app.as_str()), Change::of(holding)).await?;
        Ok(())
    }

    async fn confirm(&self, cx: &Cx, claim: &Seen<Claim>) -> Result<()> {
        let directory = cx.enter(Tenant::system())?;
        let confirmed = Claim { state: ClaimState::Confirmed, draft: None, ..claim.body.clone() };
        match self.store.replace(&directory, claim, Change::of(confirmed)).await {
            // A parallel repeat, or the scheduler, confirmed it.
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
