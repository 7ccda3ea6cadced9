//! Which types identity stores, and how each is found. The only file that says `Record`.

use kernel::Time;
use serde::{Deserialize, Serialize};
use storage::{Collection, Index, KeyType, Keys, Record, Store};

use crate::domain::app::{App, State as AppState};
use crate::domain::guard::Guard;
use crate::domain::membership::{Membership, State as MembershipState};
use crate::domain::session::{Session, State as SessionState};
use crate::domain::signing_key::SigningKey;
use crate::domain::team::Team;
use crate::domain::user::{State as UserState, User};
use crate::founding::Draft;

/// Id of an app's own document in its tenant.
pub(crate) const APP: &str = "app";
/// Id of the team that runs an app.
pub(crate) const STAFF: &str = "staff";

/// Seconds that a session stays readable after its end.
const SESSION_KEPT_SECONDS: i64 = 7 * 24 * 3600;
/// Seconds that failures are remembered after the last one.
const GUARD_KEPT_SECONDS: i64 = 24 * 3600;
/// Seconds after which the making of an app counts as interrupted.
const CLAIM_SECONDS: i64 = 10 * 60;
/// Seconds that an intent to create an app is recognised.
const INTENT_KEPT_SECONDS: i64 = 30 * 24 * 3600;

const PLAIN: Collection = Collection { name: "", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };

/// The installation itself; one document in the system scope.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Installation {
    /// Raising it ends every session of every app.
    pub(crate) epoch: i64,
    pub(crate) created_at: i64,
}

impl Installation {
    pub(crate) const ID: &str = "one";
}

impl Record for Installation {
    const KIND: Collection = Collection { name: "installation", ..PLAIN };

    fn keys(&self) -> Keys {
        Keys::new()
    }
}

/// The global claim of an app id, in the system scope. Never given again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) state: ClaimState,
    pub(crate) app_id: String,
    /// Who claimed it, as `Cx::actor` says.
    pub(crate) by: String,
    /// SHA-256 of what was asked for, in hex: a repeat must ask for the same.
    pub(crate) digest: String,
    pub(crate) created_at: i64,
    /// What the app is to be; kept until it is.
    #[serde(default)]
    pub(crate) draft: Option<Draft>,
}

/// How far the making of an app has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ClaimState {
    /// The id is taken, the app is being made.
    Claimed,
    /// The app is complete.
    Confirmed,
    /// Whoever wished for it is gone; the id stays taken.
    Abandoned,
}

impl Record for Claim {
    const KIND: Collection = Collection {
        name: "directory",
        burns: true,
        keys: &[("app", KeyType::Str)],
        indexes: &[Index { name: "app", keys: &["app"], unique: true }],
        ..PLAIN
    };

    fn keys(&self) -> Keys {
        Keys::new().with("app", self.app_id.as_str())
    }

    fn due(&self) -> Option<Time> {
        let waits = self.state == ClaimState::Claimed && self.draft.is_some();
        waits.then(|| Time::from_micros(self.created_at).plus_seconds(CLAIM_SECONDS))
    }
}

/// What a request id of `CreateApp` meant, in the caller's home app: a repeat meets the same app id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) app_id: String,
    pub(crate) digest: String,
    pub(crate) created_at: i64,
}

impl Record for Intent {
    const KIND: Collection = Collection { name: "intents", ..PLAIN };

    fn keys(&self) -> Keys {
        Keys::new()
    }

    fn expires(&self) -> Option<Time> {
        Some(Time::from_micros(self.created_at).plus_seconds(INTENT_KEPT_SECONDS))
    }
}

/// Which apps a person is staff of, in their home app. Derived from memberships, which stay the truth.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Holding {
    pub(crate) user: String,
    pub(crate) app_id: String,
}

impl Holding {
    pub(crate) fn id(user: &str, app_id: &str) -> String {
        format!("{user}.{app_id}")
    }
}

impl Record for Holding {
    const KIND: Collection = Collection {
        name: "holdings",
        keys: &[("user", KeyType::Str), ("app", KeyType::Str)],
        indexes: &[Index { name: "user_app", keys: &["user", "app"], unique: true }],
        ..PLAIN
    };

    fn keys(&self) -> Keys {
        Keys::new().with("user", self.user.as_str()).with("app", self.app_id.as_str())
    }
}

impl Record for App {
    const KIND: Collection = Collection { name: "apps", max_bytes: 128 * 1024, ..PLAIN };

    fn keys(&self) -> Keys {
        Keys::new()
    }

    fn due(&self) -> Option<Time> {
        match self.state {
            AppState::Deleted => self.purge_at(),
            AppState::Purging => Some(Time::from_micros(self.updated_at)),
            AppState::Active | AppState::Paused | AppState::Purged => None,
        }
    }
}

impl Record for User {
    const KIND: Collection = Collection {
        name: "users",
        keys: &[("email", KeyType::Str), ("created", KeyType::I64)],
        indexes: &[Index { name: "email", keys: &["email"], unique: true }, Index { name: "created", keys: &["created"], unique: false }],
        max_bytes: 64 * 1024,
        ..PLAIN
    };

    fn keys(&self) -> Keys {
        let email = Some(self.email.norm.as_str()).filter(|norm| !norm.is_empty());
        Keys::new().maybe("email", email).with("created", self.created_at)
    }

    fn due(&self) -> Option<Time> {
        match self.state {
            UserState::Deleted => self.purge_at(),
            UserState::Purging => Some(Time::from_micros(self.updated_at)),
            UserState::Active | UserState::Disabled | UserState::Purged => None,
        }
    }
}

impl Record for Guard {
    const KIND: Collection = Collection { name: "guards", ..PLAIN };

    fn keys(&self) -> Keys {
        Keys::new()
    }

    fn expires(&self) -> Option<Time> {
        Some(Time::from_micros(self.last_failure_at).plus_seconds(GUARD_KEPT_SECONDS))
    }
}

impl Record for Session {
    const KIND: Collection = Collection {
        name: "sessions",
        version: 2,
        keys: &[("user", KeyType::Str), ("created", KeyType::I64), ("open", KeyType::Str)],
        indexes: &[
            Index { name: "user_created", keys: &["user", "created"], unique: false },
            Index { name: "created", keys: &["created"], unique: false },
            // By person, those alone that nobody has marked as ended.
            Index { name: "open", keys: &["open"], unique: false },
        ],
        max_bytes: 16 * 1024,
        ..PLAIN
    };

    fn keys(&self) -> Keys {
        let open = Some(self.user.as_str()).filter(|_| self.state == SessionState::Active);
        Keys::new().with("user", self.user.as_str()).with("created", self.created_at).maybe("open", open)
    }

    fn expires(&self) -> Option<Time> {
        Some(Time::from_micros(self.over_at()).plus_seconds(SESSION_KEPT_SECONDS))
    }
}

impl Record for Team {
    const KIND: Collection = Collection { name: "teams", ..PLAIN };

    fn keys(&self) -> Keys {
        Keys::new()
    }
}

impl Record for Membership {
    const KIND: Collection = Collection {
        name: "memberships",
        version: 2,
        keys: &[("team", KeyType::Str), ("subject", KeyType::Str), ("seat", KeyType::I64), ("created", KeyType::I64)],
        indexes: &[
            Index { name: "team_created", keys: &["team", "created"], unique: false },
            Index { name: "team_subject", keys: &["team", "subject"], unique: true },
            Index { name: "team_seat", keys: &["team", "seat"], unique: true },
        ],
        ..PLAIN
    };

    /// A membership that is over keeps no unique key.
    fn keys(&self) -> Keys {
        let active = self.state == MembershipState::Active;
        Keys::new()
            .with("team", self.team.as_str())
            .maybe("subject", self.subject.as_deref().filter(|_| active))
            .maybe("seat", Some(self.seat).filter(|_| active))
            .with("created", self.created_at)
    }
}

impl Record for SigningKey {
    const KIND: Collection = Collection {
        name: "signing_keys",
        keys: &[("active_from", KeyType::I64)],
        indexes: &[Index { name: "active_from", keys: &["active_from"], unique: false }],
        ..PLAIN
    };

    fn keys(&self) -> Keys {
        Keys::new().with("active_from", self.active_from)
    }
}

/// Declares every collection of identity.
pub(crate) async fn define(store: &Store) -> kernel::Result<()> {
    store.define::<Installation>().await?;
    store.define::<Claim>().await?;
    store.define::<Intent>().await?;
    store.define::<Holding>().await?;
    store.define::<App>().await?;
    store.define::<User>().await?;
    store.define::<Guard>().await?;
    store.define::<Session>().await?;
    store.define::<Team>().await?;
    store.define::<Membership>().await?;
    store.define::<SigningKey>().await
}
