//! Teams: groups of people inside an app. The staff team runs the app.

use kernel::Time;
use serde::{Deserialize, Serialize};

/// A team. Instants in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Team {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// Resource names of the owners, such as `apps/platform/users/usr_…`. Empty in the platform app before its first operator, and
    /// where the last owner was purged.
    pub(crate) owners: Vec<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// What a team is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Runs the app; its members may live in another app.
    Staff,
}

/// Whether a team is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Active,
}

impl Team {
    /// The team without this owner.
    #[must_use]
    pub(crate) fn without_owner(&self, subject: &str, now: Time) -> Self {
        let owners = self.owners.iter().filter(|owner| *owner != subject).cloned().collect();
        Self { owners, updated_at: now.micros(), ..self.clone() }
    }

    /// The team that runs an app. Only the platform app begins without owners: its first one redeems an invitation.
    pub(crate) fn staff(owners: Vec<String>, now: Time) -> Self {
        Self {
            name: "Staff".to_owned(),
            kind: Kind::Staff,
            state: State::Active,
            owners,
            created_at: now.micros(),
            updated_at: now.micros(),
        }
    }
}
