//! Sessions: made from what was satisfied and from nothing else, alive while times and epochs allow, over for ever after.

use kernel::{Error, Result, Time};
use serde::{Deserialize, Serialize};

use super::text::Form;

/// A session that is not refreshed ends after this time.
const IDLE_SECONDS: i64 = 30 * 60;
/// A session ends after this time in any case.
const ABSOLUTE_SECONDS: i64 = 10 * 3600;
/// "Stay signed in": both limits.
const REMEMBERED_SECONDS: i64 = 30 * 24 * 3600;
/// Longest device name, in characters.
const MAX_DEVICE_CHARS: usize = 80;

/// A session of one person. Instants in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Id of the person.
    pub(crate) user: String,
    /// App in which the person lives.
    pub(crate) home: String,
    pub(crate) state: State,
    pub(crate) end_reason: Option<EndReason>,
    /// What was proved, oldest first; never empty.
    pub(crate) checks: Vec<Check>,
    /// The epochs it was made under.
    pub(crate) born: Epochs,
    /// The generation of the refresh token that is good now, from 1.
    pub(crate) generation: i64,
    pub(crate) rotated_at: i64,
    /// Generations in a row whose token had to be given again because the answer was lost.
    pub(crate) redelivered: i64,
    /// The last of them.
    pub(crate) redelivered_generation: i64,
    /// The sealed key under which refresh tokens are computed.
    pub(crate) key: String,
    pub(crate) remember: bool,
    pub(crate) idle_ends_at: i64,
    pub(crate) ends_at: i64,
    pub(crate) device_name: String,
    pub(crate) created_at: i64,
}

/// Whether a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Active,
    Ended,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EndReason {
    /// The person signed out.
    SignedOut,
    /// The person ended it from another session.
    Revoked,
    /// An old refresh token was presented: theft is assumed.
    RefreshReused,
    /// Not refreshed in time, or too old.
    Expired,
    /// An epoch was raised: of the person, the app or the installation.
    Cut,
}

/// Something that was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) kind: CheckKind,
    pub(crate) at: i64,
}

/// How it was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CheckKind {
    Password,
}

/// Numbers that are raised to end everything that was issued under a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Epochs {
    pub(crate) installation: i64,
    pub(crate) app: i64,
    pub(crate) user: i64,
}

/// What a session is held against: the state of the world as just read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    pub(crate) epochs: Epochs,
    pub(crate) user_active: bool,
    pub(crate) app_active: bool,
}

/// All that policy asks of one person was proved. The only thing that a session can be made of.
#[derive(Debug)]
pub(crate) struct Satisfied {
    user: String,
    home: String,
    check: Check,
}

impl Satisfied {
    /// The policy of today: the right password of an active person is enough. To be called after a right password only.
    pub(crate) fn password(user: &str, home: &str, now: Time) -> Self {
        let check = Check { kind: CheckKind::Password, at: now.micros() };
        Self { user: user.to_owned(), home: home.to_owned(), check }
    }
}

/// On what, and for how long, somebody wants to be signed in.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) name: String,
    /// Stay signed in.
    pub(crate) remember: bool,
}

impl Device {
    /// Reads what the caller says. Errors: `DEVICE_NAME_INVALID` when the name is longer than 80 characters or contains
    /// control characters.
    pub(crate) fn read(name: &str, remember: bool) -> Result<Self> {
        let mut form = Form::default();
        let name = form.line("device_name", name, MAX_DEVICE_CHARS);
        form.finish("DEVICE_NAME_INVALID", "the device name is not valid")?;
        Ok(Self { name, remember })
    }
}

impl Session {
    /// A new session. `key` is the sealed key of its refresh tokens.
    pub(crate) fn opened(satisfied: Satisfied, born: Epochs, device: &Device, key: String, now: Time) -> Self {
        let (idle, absolute) = limits_seconds(device.remember);
        Self {
            user: satisfied.user,
            home: satisfied.home,
            state: State::Active,
            end_reason: None,
            checks: vec![satisfied.check],
            born,
            generation: 1,
            rotated_at: now.micros(),
            redelivered: 0,
            redelivered_generation: 0,
            key,
            remember: device.remember,
            idle_ends_at: now.plus_seconds(idle).micros(),
            ends_at: now.plus_seconds(absolute).micros(),
            device_name: device.name.clone(),
            created_at: now.micros(),
        }
    }

    /// Refuses a session that is over, was cut, or whose person or app is not active. Each cause alone is enough. One that was
    /// cut is told so before and after it is marked as ended, which comes late.
    /// Errors: `SESSION_ENDED`, `TOKEN_REVOKED`.
    pub(crate) fn alive(&self, present: &Present, now: Time) -> Result<()> {
        let ended = || Err(Error::unauthenticated("SESSION_ENDED", "the session is over; sign in again"));
        let revoked = || Err(Error::unauthenticated("TOKEN_REVOKED", "the session was revoked; sign in again"));
        match (self.state, self.end_reason) {
            (State::Ended, Some(EndReason::Cut)) => revoked(),
            (State::Ended, _) => ended(),
            (State::Active, _) if self.is_cut(&present.epochs) || !present.user_active || !present.app_active => revoked(),
            (State::Active, _) if self.is_over(now) => ended(),
            (State::Active, _) => Ok(()),
        }
    }

    /// Why a session that has not been marked as ended can never live again, if so.
    pub(crate) fn dead(&self, present: &Present, now: Time) -> Option<EndReason> {
        match self.state {
            State::Ended => None,
            State::Active if self.is_cut(&present.epochs) => Some(EndReason::Cut),
            State::Active => self.is_over(now).then_some(EndReason::Expired),
        }
    }

    /// Whether the session says of itself that it is over.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        self.state == State::Ended || now.micros() >= self.idle_ends_at || now.micros() >= self.ends_at
    }

    /// The session after its refresh token was traded for the next one.
    #[must_use]
    pub(crate) fn rotated(&self, now: Time) -> Self {
        let (idle, _) = limits_seconds(self.remember);
        // A generation that was used without having been given again breaks the row of lost answers.
        let redelivered = if self.redelivered_generation == self.generation { self.redelivered } else { 0 };
        let idle_ends_at = now.plus_seconds(idle).micros().min(self.ends_at);
        Self { generation: self.generation + 1, rotated_at: now.micros(), redelivered, idle_ends_at, ..self.clone() }
    }

    /// The session after the present token was given again because the answer seems to have been lost.
    #[must_use]
    pub(crate) fn redelivered(&self) -> Self {
        Self { redelivered: self.redelivered + 1, redelivered_generation: self.generation, ..self.clone() }
    }

    /// The session at its end. One that ended before keeps its first reason.
    #[must_use]
    pub(crate) fn ended(&self, reason: EndReason, now: Time) -> Self {
        if self.state == State::Ended {
            return self.clone();
        }
        let ends_at = self.ends_at.min(now.micros());
        Self { state: State::Ended, end_reason: Some(reason), ends_at, idle_ends_at: self.idle_ends_at.min(ends_at), ..self.clone() }
    }

    /// When the session was or will be over at the latest, in microseconds, if nobody refreshes it.
    pub(crate) fn over_at(&self) -> i64 {
        self.ends_at.min(self.idle_ends_at)
    }

    /// When the newest check was passed, in microseconds.
    pub(crate) fn auth_at(&self) -> i64 {
        self.checks.iter().map(|check| check.at).max().unwrap_or(self.created_at)
    }

    /// Authenticator assurance level: computed from the checks, never stored. 1 = one factor.
    pub(crate) fn aal(&self) -> i32 {
        i32::from(!self.checks.is_empty())
    }

    /// How the person proved to be themselves (RFC 8176).
    pub(crate) fn amr(&self) -> Vec<String> {
        let mut methods: Vec<&str> = self
            .checks
            .iter()
            .map(|check| match check.kind {
                CheckKind::Password => "pwd",
            })
            .collect();
        methods.dedup();
        methods.into_iter().map(str::to_owned).collect()
    }

    fn is_cut(&self, present: &Epochs) -> bool {
        self.born.installation < present.installation || self.born.app < present.app || self.born.user < present.user
    }
}

/// Idle and absolute limit.
fn limits_seconds(remember: bool) -> (i64, i64) {
    if remember { (REMEMBERED_SECONDS, REMEMBERED_SECONDS) } else { (IDLE_SECONDS, ABSOLUTE_SECONDS) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const START: Time = Time::from_seconds(1_000_000);
    const BORN: Epochs = Epochs { installation: 3, app: 5, user: 7 };
    const SAME: Present = Present { epochs: BORN, user_active: true, app_active: true };

    fn session(remember: bool) -> Session {
        let device = Device { name: "Laptop".to_owned(), remember };
        Session::opened(Satisfied::password("usr_1", "acme", START), BORN, &device, "sealed".to_owned(), START)
    }

    fn reason(result: Result<()>) -> &'static str {
        result.map_or_else(|error| error.reason(), |()| "alive")
    }

    #[test]
    fn opened_by_one_password_check() {
        let session = session(false);
        assert_eq!((session.generation, session.aal(), session.amr(), session.auth_at()), (1, 1, vec!["pwd".to_owned()], START.micros()));
        assert_eq!(reason(session.alive(&SAME, START)), "alive");
    }

    #[test]
    fn every_cause_alone_is_enough() {
        let raised = |installation, app, user| Present { epochs: Epochs { installation, app, user }, ..SAME };
        let cases = [
            (raised(4, 5, 7), "TOKEN_REVOKED", Some(EndReason::Cut)),
            (raised(3, 6, 7), "TOKEN_REVOKED", Some(EndReason::Cut)),
            (raised(3, 5, 8), "TOKEN_REVOKED", Some(EndReason::Cut)),
            (Present { user_active: false, ..SAME }, "TOKEN_REVOKED", None),
            (Present { app_active: false, ..SAME }, "TOKEN_REVOKED", None),
            (raised(2, 4, 6), "alive", None),
        ];
        for (present, expected, dead) in cases {
            assert_eq!(
                (reason(session(false).alive(&present, START)), session(false).dead(&present, START)),
                (expected, dead),
                "{present:?}"
            );
        }
        for cause in [EndReason::SignedOut, EndReason::Revoked, EndReason::RefreshReused] {
            let ended = session(true).ended(cause, START);
            assert_eq!((reason(ended.alive(&SAME, START)), ended.dead(&SAME, START)), ("SESSION_ENDED", None));
        }
    }

    #[test]
    fn a_cut_is_told_the_same_before_and_after_it_is_marked() {
        let present = Present { epochs: Epochs { user: 8, ..BORN }, ..SAME };
        for now in [START, START.plus_seconds(ABSOLUTE_SECONDS)] {
            let open = session(false);
            assert_eq!((reason(open.alive(&present, now)), open.dead(&present, now)), ("TOKEN_REVOKED", Some(EndReason::Cut)));
            assert_eq!(reason(open.ended(EndReason::Cut, now).alive(&present, now)), "TOKEN_REVOKED");
            assert_eq!(reason(open.ended(EndReason::SignedOut, START).alive(&present, now)), "SESSION_ENDED", "the first reason stays");
        }
    }

    #[test]
    fn ends_when_idle_and_in_any_case() {
        let idle = START.plus_seconds(IDLE_SECONDS);
        assert_eq!(reason(session(false).alive(&SAME, idle.plus_seconds(-1))), "alive");
        assert_eq!(reason(session(false).alive(&SAME, idle)), "SESSION_ENDED");
        assert_eq!(session(false).dead(&SAME, idle), Some(EndReason::Expired));
        let month = START.plus_seconds(REMEMBERED_SECONDS);
        assert_eq!(reason(session(true).alive(&SAME, month.plus_seconds(-1))), "alive");
        assert_eq!(reason(session(true).alive(&SAME, month)), "SESSION_ENDED");
    }

    #[test]
    fn refreshing_moves_the_idle_end_but_not_the_last_one() {
        let mut now = START;
        let mut session = session(false);
        while now.since(START).as_secs() + 600 < ABSOLUTE_SECONDS as u64 {
            now = now.plus_seconds(600);
            session = session.rotated(now);
            assert_eq!(reason(session.alive(&SAME, now)), "alive");
        }
        assert_eq!(session.idle_ends_at, session.ends_at);
        assert_eq!(reason(session.alive(&SAME, START.plus_seconds(ABSOLUTE_SECONDS))), "SESSION_ENDED");
    }

    #[test]
    fn the_first_reason_stays() {
        let ended = session(false).ended(EndReason::SignedOut, START.plus_seconds(60));
        assert_eq!(ended.ended(EndReason::Revoked, START.plus_seconds(90)), ended);
        assert_eq!((ended.end_reason, ended.ends_at), (Some(EndReason::SignedOut), START.plus_seconds(60).micros()));
    }

    #[test]
    fn device_names_are_plain_lines() {
        assert_eq!(Device::read(" Ann's laptop ", true).unwrap().name, "Ann's laptop");
        for bad in ["x".repeat(81), "a\nb".to_owned(), "\u{202e}".to_owned()] {
            assert_eq!(Device::read(&bad, false).unwrap_err().reason(), "DEVICE_NAME_INVALID");
        }
    }

    #[test]
    fn stored_form_is_stable() {
        let json = serde_json::to_string(&session(false)).unwrap();
        assert!(json.contains(r#""checks":[{"kind":"Password","at":1000000000000}],"born":{"installation":3,"app":5,"user":7}"#), "{json}");
        assert_eq!(serde_json::from_str::<Session>(&json).unwrap(), session(false));
    }

    proptest! {
        #[test]
        fn never_alive_again(ended_after in 0_i64..40_000, later in 0_i64..10_000_000, remember: bool) {
            let at = START.plus_seconds(ended_after);
            let ended = session(remember).ended(EndReason::SignedOut, at);
            prop_assert!(ended.alive(&SAME, at.plus_seconds(later)).is_err() && ended.rotated(at).alive(&SAME, at).is_err());
        }

        #[test]
        fn dead_is_for_good(age in 0_i64..4_000_000, later in 0_i64..4_000_000, remember: bool, raise in 0_i64..2) {
            let present = Present { epochs: Epochs { user: BORN.user + raise, ..BORN }, ..SAME };
            let now = START.plus_seconds(age);
            if session(remember).dead(&present, now).is_some() {
                prop_assert!(session(remember).alive(&present, now.plus_seconds(later)).is_err());
            }
        }
    }
}
