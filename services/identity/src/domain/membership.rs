//! Memberships and invitations: one record. An invitation is a membership without a subject; accepting it is one step.

use std::fmt;

use kernel::{Error, Result, Time};
use serde::{Deserialize, Serialize};

/// How long an invitation can be accepted.
pub(crate) const INVITATION_SECONDS: i64 = 7 * 24 * 3600;

/// Somebody's place in a team, held or offered. Instants in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    /// The team's id.
    pub(crate) team: String,
    /// Resource name of the member, such as `apps/platform/users/usr_…`; none while invited.
    pub(crate) subject: Option<String>,
    /// The app the member lives in; none while invited.
    pub(crate) home: Option<String>,
    pub(crate) state: State,
    pub(crate) roles: Vec<String>,
    /// Whether the member is, or by accepting becomes, an owner of the team.
    pub(crate) owner: bool,
    /// The numbered place in the team, from 1; 0 = none yet.
    pub(crate) seat: i64,
    /// How the membership was offered; kept after acceptance.
    pub(crate) invited: Option<Invited>,
    pub(crate) created_at: i64,
}

/// Where a membership stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// Offered, not accepted.
    Invited,
    Active,
    /// Over for ever; keeps no unique key.
    Removed,
}

/// How a membership was offered.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invited {
    /// Normal form of the only address that may accept; none = whoever holds the secret.
    pub(crate) email_norm: Option<String>,
    /// Who invited: a subject's resource name, or a task.
    pub(crate) by: String,
    /// The number that the mailed secret is made of. Raising it makes older secrets dead.
    pub(crate) generation: i64,
    pub(crate) ends_at: i64,
}

impl Membership {
    /// The membership of a team's first owner.
    pub(crate) fn owner(team: &str, subject: &str, home: &str, now: Time) -> Self {
        Self {
            team: team.to_owned(),
            subject: Some(subject.to_owned()),
            home: Some(home.to_owned()),
            state: State::Active,
            roles: Vec::new(),
            owner: true,
            seat: 1,
            invited: None,
            created_at: now.micros(),
        }
    }

    /// An open invitation.
    pub(crate) fn invited(team: &str, roles: Vec<String>, owner: bool, invited: Invited, now: Time) -> Self {
        Self {
            team: team.to_owned(),
            subject: None,
            home: None,
            state: State::Invited,
            roles,
            owner,
            seat: 0,
            invited: Some(invited),
            created_at: now.micros(),
        }
    }

    /// The membership after its invitation was accepted by this subject, whose normal address is `email_norm`. Everything
    /// is checked here, so that the one conditional write of the result is the acceptance.
    /// Errors: `INVITATION_DEAD`, `INVITATION_EMAIL_MISMATCH`.
    pub(crate) fn accepted(&self, subject: &str, home: &str, email_norm: &str, now: Time) -> Result<Self> {
        let offer = self.offer(now)?;
        if offer.email_norm.as_ref().is_some_and(|invited| invited != email_norm) {
            return Err(Error::refused("INVITATION_EMAIL_MISMATCH", "the invitation is for another e-mail address"));
        }
        let (subject, home) = (Some(subject.to_owned()), Some(home.to_owned()));
        Ok(Self { subject, home, state: State::Active, ..self.clone() })
    }

    /// The membership at its end, without the address that was invited. Whoever listed the member among the owners has taken
    /// them off before.
    #[must_use]
    pub(crate) fn removed(&self) -> Self {
        let invited = self.invited.as_ref().map(|offer| Invited { email_norm: None, ..offer.clone() });
        Self { state: State::Removed, owner: false, invited, ..self.clone() }
    }

    /// The open offer. Errors: `INVITATION_DEAD` when it was accepted, withdrawn or has ended; never which of them.
    pub(crate) fn offer(&self, now: Time) -> Result<&Invited> {
        let open = self.invited.as_ref().filter(|offer| self.state == State::Invited && now < Time::from_micros(offer.ends_at));
        open.ok_or_else(|| Error::refused("INVITATION_DEAD", "the invitation can no longer be accepted"))
    }
}

/// Addresses do not belong in logs.
impl fmt::Debug for Invited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, generation, ends_at, .. } = self;
        f.debug_struct("Invited").field("by", by).field("generation", generation).field("ends_at", ends_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: Time = Time::from_seconds(1_000);
    const ANN: &str = "apps/platform/users/usr_1";

    fn invitation(email_norm: Option<&str>) -> Membership {
        let ends_at = NOW.plus_seconds(INVITATION_SECONDS).micros();
        let offer = Invited { email_norm: email_norm.map(str::to_owned), by: "task:operator".to_owned(), generation: 1, ends_at };
        Membership::invited("staff", vec!["operator".to_owned()], false, offer, NOW)
    }

    #[test]
    fn accepting_gives_what_was_offered_and_nothing_more() {
        let open = invitation(None);
        let member = open.accepted(ANN, "platform", "ann@example.com", NOW).unwrap();
        assert_eq!((member.state, member.subject.as_deref(), member.home.as_deref()), (State::Active, Some(ANN), Some("platform")));
        assert_eq!(Membership { state: State::Invited, subject: None, home: None, ..member }, open);
    }

    #[test]
    fn accepted_once() {
        let member = invitation(None).accepted(ANN, "platform", "ann@example.com", NOW).unwrap();
        let again = member.accepted("apps/platform/users/usr_2", "platform", "bob@example.com", NOW).unwrap_err();
        assert_eq!((again.kind(), again.reason()), (kernel::Kind::Refused, "INVITATION_DEAD"));
    }

    #[test]
    fn a_removed_member_has_no_address_and_no_way_back() {
        let removed = invitation(Some("ann@example.com")).accepted(ANN, "platform", "ann@example.com", NOW).unwrap().removed();
        assert!(!serde_json::to_string(&removed).unwrap().contains("example.com"));
        assert_eq!((removed.owner, removed.offer(NOW).unwrap_err().reason()), (false, "INVITATION_DEAD"));
    }

    #[test]
    fn ends_when_it_says() {
        let last = NOW.plus_seconds(INVITATION_SECONDS - 1);
        assert!(invitation(None).accepted(ANN, "platform", "ann@example.com", last).is_ok());
        let over = invitation(None).accepted(ANN, "platform", "ann@example.com", last.plus_seconds(1)).unwrap_err();
        assert_eq!(over.reason(), "INVITATION_DEAD");
    }

    #[test]
    fn bound_to_the_address_it_was_sent_to() {
        let open = invitation(Some("ann@example.com"));
        assert!(open.accepted(ANN, "platform", "ann@example.com", NOW).is_ok());
        let other = open.accepted(ANN, "platform", "bob@example.com", NOW).unwrap_err();
        assert_eq!(other.reason(), "INVITATION_EMAIL_MISMATCH");
        assert!(!format!("{other:?} {open:?}").contains("example.com"));
    }

    #[test]
    fn nobody_accepts_a_membership_that_was_never_offered() {
        let owner = Membership::owner("staff", ANN, "platform", NOW);
        assert_eq!(owner.offer(NOW).unwrap_err().reason(), "INVITATION_DEAD");
        let stray = Membership { state: State::Invited, ..owner };
        assert_eq!(stray.offer(NOW).unwrap_err().reason(), "INVITATION_DEAD");
    }
}
