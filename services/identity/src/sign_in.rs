//! Signing in with a password: guard, equal work, guard again, and one session made from what was satisfied.

use std::net::IpAddr;

use api::mozaiks::identity::v1 as pb;
use kernel::{Cx, Error, Kind, Page, Result, Time, id};
use storage::{Change, Find, Once, Remembered, Seen};

use crate::domain::app::App;
use crate::domain::email::Email;
use crate::domain::guard::Guard;
use crate::domain::password::Password;
use crate::domain::session::{Device, EndReason, Epochs, Satisfied, Session};
use crate::domain::user::User;
use crate::events;
use crate::registration::request_id_reused;
use crate::sources::Try;
use crate::state::{Core, random, session_name};

/// A person's wish to sign in.
pub(crate) struct Attempt {
    pub(crate) email: Email,
    pub(crate) password: Option<Password>,
    pub(crate) device: Device,
    pub(crate) request_id: String,
    /// Where the call comes from, as far as that is known.
    pub(crate) address: Option<IpAddr>,
    /// What an earlier sign-in on this device gave it.
    pub(crate) device_token: String,
}

/// Through which door somebody comes in: on what, and in which call.
pub(crate) struct Door<'a> {
    pub(crate) device: &'a Device,
    pub(crate) request_id: &'a str,
    /// Failed tries before this one, since the last that was right.
    pub(crate) failures: u32,
}

/// Somebody who has just come in.
pub(crate) struct Arrival {
    pub(crate) session: Seen<Session>,
    /// Remembers the device.
    pub(crate) device_token: String,
}

/// What one try is held against.
struct Budget<'a> {
    /// Id of the guard: that of the account, or of a device it knows.
    guard: String,
    /// The network's own; none for a device that is known.
    network: Option<Try<'a>>,
    /// Whose account it is, if anybody's.
    user: Option<String>,
}

impl Core {
    /// Checks address and password and opens a session.
    /// Errors: `CREDENTIALS_INVALID`, `TRY_LATER`, `HASHING_BUSY`, `REQUEST_ID_REUSED`.
    pub(crate) async fn sign_in(&self, cx: &Cx, app: &Seen<App>, attempt: Attempt) -> Result<Arrival> {
        let user = self.user_by_email(cx, &attempt.email).await?;
        let known = match &user {
            Some(user) => self.known_device(cx, app, user, &attempt.device_token)?,
            None => None,
        };
        let mut budget = self.budget(cx, &attempt.email.norm, known.as_deref(), attempt.address).await?;
        budget.user = user.as_ref().map(|user| user.id.clone());

        let phc = user.as_ref().filter(|user| user.body.may_sign_in()).and_then(|user| user.body.password.as_ref());
        let phc = phc.map(|stored| stored.phc.clone());
        let Some(password) = attempt.password else { return self.count_failure(cx, budget).await };
        let verdict = self.pool.verify(cx.tenant(), password.clone(), phc).await?;
        let Some(user) = user.filter(|_| verdict.ok) else { return self.count_failure(cx, budget).await };
        let failures = self.settle_success(cx, budget).await?;
        if verdict.rehash {
            self.rehash(cx, &user, password).await?;
        }
        let door = Door { device: &attempt.device, request_id: &attempt.request_id, failures };
        let session = self.open_session(cx, app, &user, door).await?;
        Ok(Arrival { session, device_token: self.remember_device(cx, app, &user, known)? })
    }

    /// Whoever is known shows the password once more; failures count as those of signing in do.
    /// Errors: `CREDENTIALS_INVALID`, `TRY_LATER`, `HASHING_BUSY`.
    pub(crate) async fn prove(&self, cx: &Cx, user: &Seen<User>, password: Option<Password>, address: Option<IpAddr>) -> Result<()> {
        let mut budget = self.budget(cx, &user.body.email.norm, None, address).await?;
        budget.user = Some(user.id.clone());
        let Some(password) = password else { return self.count_failure(cx, budget).await };
        let phc = user.body.password.as_ref().map(|stored| stored.phc.clone());
        if !self.pool.verify(cx.tenant(), password, phc).await?.ok {
            return self.count_failure(cx, budget).await;
        }
        self.settle_success(cx, budget).await.map(drop)
    }

    /// Lets a try begin: within the budget of its network and account, or within that of a device which the account knows.
    /// Errors: `TRY_LATER`.
    async fn budget(&self, cx: &Cx, norm: &str, device: Option<&str>, address: Option<IpAddr>) -> Result<Budget<'_>> {
        let now = self.clock.now();
        let budget = match device {
            Some(device) => Budget { guard: account_key(&[norm, device]), network: None, user: None },
            None => {
                let network = self.sources.begin(address, (cx.tenant().as_str(), norm), true, now)?;
                Budget { guard: account_key(&[norm]), network: Some(network), user: None }
            }
        };
        self.guard(cx, &budget.guard).await?.map_or(Ok(()), |guard| guard.body.open(now))?;
        Ok(budget)
    }

    /// Changes a person so that everything they are signed in with ends, but for a new session of the caller, which is
    /// opened under the new epoch first. `next` is the person then and the kind of the event. Errors: `ACCOUNT_CHANGED` when somebody else changed the person meanwhile.
    pub(crate) async fn renew(&self, cx: &Cx, app: &Seen<App>, user: &Seen<User>, next: (User, &'static str)) -> Result<pb::SessionTokens> {
        let (next, kind) = next;
        let ended = || Error::unauthenticated("SESSION_ENDED", "the session has ended; sign in again");
        let id = cx.caller()?.session.as_deref().ok_or_else(ended)?;
        let old = self.store.get::<Session>(cx, id).await?.ok_or_else(ended)?;
        let device = Device { name: old.body.device_name, remember: old.body.remember };
        let mut after = user.clone();
        after.body = next;
        let successor = self.open_session(cx, app, &after, Door { device: &device, request_id: "", failures: 0 }).await?;
        let change = Change::of(after.body.clone()).event(events::user_changed(cx, kind, &user.id, &after.body));
        match self.store.replace(cx, user, change).await {
            Ok(_) => {
                let device_token = self.remember_device(cx, app, &after, None)?;
                Ok(pb::SessionTokens { device_token, ..self.session_tokens(cx, app, &successor).await? })
            }
            Err(error) => {
                self.end(cx, &successor, EndReason::Cut).await?;
                let changed = || Error::stale("ACCOUNT_CHANGED", "the account has changed meanwhile; try again");
                Err(if is_race(&error) { changed() } else { error })
            }
        }
    }

    /// Keeps a right password under the present cost. A concurrent change of the password wins.
    async fn rehash(&self, cx: &Cx, user: &Seen<User>, password: Password) -> Result<()> {
        let phc = self.pool.hash(cx.tenant(), password).await?;
        match self.store.replace(cx, user, Change::of(user.body.rehashed(phc))).await {
            Err(race) if is_race(&race) => Ok(()),
            replaced => replaced.map(drop),
        }
    }

    /// Somebody proved to be `user`: opens a session, or finds the one that the repeated request opened.
    pub(crate) async fn open_session(&self, cx: &Cx, app: &Seen<App>, user: &Seen<User>, door: Door<'_>) -> Result<Seen<Session>> {
        let Door { device, request_id, failures } = door;
        let now = self.clock.now();
        let remember = if device.remember { "remember" } else { "" };
        let once = Once::of(request_id, id::digest(&[&user.id, remember, &device.name]))?;
        let id = match once {
            Some(_) => id::derived("ses", &[cx.tenant().as_str(), &user.id, "SignIn", request_id]),
            None => id::fresh("ses", now),
        };
        let key = self.data_key(cx.tenant(), &app.body)?.seal(&session_name(cx.tenant(), &id), "key", &random::<32>()?, &random()?)?;
        let epochs = Epochs { installation: self.installation().await?.body.epoch, app: app.body.epoch, user: user.body.epoch };
        let session = Session::opened(Satisfied::password(&user.id, cx.tenant().as_str(), now), epochs, device, key, now);
        let change = Change::of(session).once(once.clone()).event(events::session_created(cx, &id, &user.id, failures));
        match (self.store.insert(cx, &id, change).await, once) {
            (Err(taken), Some(once)) if taken.kind() == Kind::Exists => self.opened_before(cx, &id, &once, now).await,
            (inserted, _) => inserted,
        }
    }

    async fn opened_before(&self, cx: &Cx, id: &str, once: &Once, now: Time) -> Result<Seen<Session>> {
        let ended = || Error::unauthenticated("SESSION_ENDED", "the session of this request is over; sign in again");
        let session = self.store.get::<Session>(cx, id).await?.ok_or_else(ended)?;
        if session.remembers(once) == Remembered::Other {
            return Err(request_id_reused());
        }
        if session.body.is_over(now) { Err(ended()) } else { Ok(session) }
    }

    pub(crate) async fn user_by_email(&self, cx: &Cx, email: &Email) -> Result<Option<Seen<User>>> {
        let page = Page { size: 1, token: String::new() };
        let question = Find { index: "email", prefix: vec![email.norm.as_str().into()], range: None, descending: false, page: &page };
        Ok(self.store.find::<User>(cx, question).await?.items.into_iter().next())
    }

    async fn guard(&self, cx: &Cx, account: &str) -> Result<Option<Seen<Guard>>> {
        self.store.get::<Guard>(cx, account).await
    }

    /// Counts a failure before it is told. While the guard is closed nothing is counted and right and wrong answer alike,
    /// so that many guesses at once learn no more than as many in a row.
    async fn count_failure<T>(&self, cx: &Cx, mut budget: Budget<'_>) -> Result<T> {
        loop {
            let now = self.clock.now();
            let written = match self.guard(cx, &budget.guard).await? {
                None => self.store.insert(cx, &budget.guard, told(cx, Guard::first(now), budget.user.as_deref())).await,
                Some(guard) => {
                    guard.body.open(now)?;
                    self.store.replace(cx, &guard, told(cx, guard.body.failed(now), budget.user.as_deref())).await
                }
            };
            match written {
                Err(race) if is_race(&race) => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    budget.network.iter_mut().for_each(|network| network.failed(now));
                    return Err(Error::unauthenticated("CREDENTIALS_INVALID", "address or password is wrong"));
                }
            }
        }
    }

    /// A right password counts only while the guard is open at the very version that it clears. Answers the failures before.
    async fn settle_success(&self, cx: &Cx, mut budget: Budget<'_>) -> Result<u32> {
        let mut failures = 0;
        while let Some(guard) = self.guard(cx, &budget.guard).await?.filter(|guard| guard.body.failures > 0) {
            guard.body.open(self.clock.now())?;
            match self.store.replace(cx, &guard, Change::of(Guard { failures: 0, next_at: None, ..guard.body.clone() })).await {
                Err(race) if is_race(&race) => {}
                replaced => {
                    replaced?;
                    failures = guard.body.failures;
                    break;
                }
            }
        }
        budget.network.iter_mut().for_each(Try::succeeded);
        Ok(failures)
    }
}

/// A guard after a failure, with what others are told of it.
fn told(cx: &Cx, guard: Guard, user: Option<&str>) -> Change<Guard> {
    let (failed, closed) = (guard.is_told(), guard.has_just_closed());
    let event = |kind| events::auth_failed(cx, kind, user, guard.failures);
    let events = [(failed, "identity.auth.failed"), (closed, "identity.auth.throttled")];
    let events: Vec<_> = events.into_iter().filter(|(told, _)| *told).map(|(_, kind)| event(kind)).collect();
    events.into_iter().fold(Change::of(guard), Change::event)
}

fn is_race(error: &Error) -> bool {
    matches!(error.kind(), Kind::Stale | Kind::Exists | Kind::NotFound)
}

/// Under which failures of an address are counted, whether or not anybody has it; with a device, those of that device.
fn account_key(parts: &[&str]) -> String {
    let digest = id::digest(&[&["guard"][..], parts].concat());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
