//! A person of an app: who they are, what they sign in with, and the epochs that cut what was issued to them.

use std::fmt;

use kernel::{Error, Result, Time, id};
use serde::{Deserialize, Serialize};

use super::email::Email;
use super::text::Form;

/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 80;
/// How long a deleted person is kept, in seconds: 30 days.
const KEPT_SECONDS: i64 = 30 * 24 * 3600;
/// Longest language tag, in characters (RFC 5646, 4.4.1).
const MAX_LOCALE_CHARS: usize = 35;

/// A person. Instants in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) state: State,
    /// Raising it ends every session of this person.
    pub(crate) epoch: i64,
    /// Raising it ends every API key of this person.
    pub(crate) key_epoch: i64,
    pub(crate) email: StoredEmail,
    pub(crate) password: Option<StoredPassword>,
    pub(crate) profile: Profile,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deleted_at: Option<i64>,
}

/// Whether a person may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Active,
    Disabled,
    /// Kept for the app's staff to take back; the address stays taken.
    Deleted,
    /// Personal data is gone, what belonged to the person is going.
    Purging,
    /// Nothing is left but the id.
    Purged,
}

/// The address by which a person is found.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredEmail {
    /// As typed.
    pub(crate) address: String,
    /// The unique key.
    pub(crate) norm: String,
    /// When the person proved that they read mail there.
    pub(crate) verified_at: Option<i64>,
}

/// A hashed password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPassword {
    /// In PHC form.
    pub(crate) phc: String,
    pub(crate) set_at: i64,
}

/// What a person says about themselves. Empty = not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) display_name: String,
    pub(crate) given_name: String,
    pub(crate) family_name: String,
    /// Language tag, such as `pt-BR`.
    pub(crate) locale: String,
}

impl User {
    /// A person with an unproved address and perhaps a hashed password. The profile has been read by `Profile::read`.
    pub(crate) fn made(email: Email, phc: Option<String>, profile: Profile, now: Time) -> Self {
        Self {
            state: State::Active,
            epoch: 1,
            key_epoch: 1,
            email: StoredEmail { address: email.address, norm: email.norm, verified_at: None },
            password: phc.map(|phc| StoredPassword { phc, set_at: now.micros() }),
            profile,
            created_at: now.micros(),
            updated_at: now.micros(),
            deleted_at: None,
        }
    }

    /// The person with those fields of `profile` that the mask names: `profile`, or fields below it such as
    /// `profile.locale`. Errors: `MASK_INVALID`, `PROFILE_INVALID`, `USER_DELETED`.
    pub(crate) fn with_profile<S: AsRef<str>>(&self, mask: &[S], profile: &Profile, now: Time) -> Result<Self> {
        self.check_kept()?;
        if mask.is_empty() {
            return Err(mask_invalid("names no field"));
        }
        let mut next = self.profile.clone();
        for path in mask {
            match path.as_ref() {
                "profile" => next.clone_from(profile),
                "profile.display_name" => next.display_name.clone_from(&profile.display_name),
                "profile.given_name" => next.given_name.clone_from(&profile.given_name),
                "profile.family_name" => next.family_name.clone_from(&profile.family_name),
                "profile.locale" => next.locale.clone_from(&profile.locale),
                _ => return Err(mask_invalid("may name `profile` and the fields below it")),
            }
        }
        Ok(Self { profile: next.read("user.profile")?, updated_at: now.micros(), ..self.clone() })
    }

    /// The person with the same password, hashed anew. When it was set does not change.
    #[must_use]
    pub(crate) fn rehashed(&self, phc: String) -> Self {
        let password = self.password.as_ref().map(|stored| StoredPassword { phc, set_at: stored.set_at });
        Self { password, ..self.clone() }
    }

    /// The person with another password. The raised epoch ends everything issued under the old one.
    #[must_use]
    pub(crate) fn with_password(&self, phc: String, now: Time) -> Self {
        let at = now.micros();
        Self { password: Some(StoredPassword { phc, set_at: at }), epoch: self.epoch + 1, updated_at: at, ..self.clone() }
    }

    /// The person with every session ended.
    #[must_use]
    pub(crate) fn cut(&self, now: Time) -> Self {
        Self { epoch: self.epoch + 1, updated_at: now.micros(), ..self.clone() }
    }

    /// The person kept out: sessions and keys end with the raised epochs. A disabled person stays as they are.
    /// Errors: `USER_DELETED`.
    pub(crate) fn disabled(&self, now: Time) -> Result<Self> {
        self.check_kept()?;
        Ok(if self.state == State::Disabled { self.clone() } else { self.kept_out(State::Disabled, now) })
    }

    /// The person let in again. Errors: `USER_DELETED`.
    pub(crate) fn enabled(&self, now: Time) -> Result<Self> {
        self.check_kept()?;
        Ok(if self.state == State::Active { self.clone() } else { Self { state: State::Active, updated_at: now.micros(), ..self.clone() } })
    }

    /// The person deleted softly: out at once, and kept for 30 days. A deleted person stays as they are.
    #[must_use]
    pub(crate) fn deleted(&self, now: Time) -> Self {
        if self.deleted_at.is_some() { self.clone() } else { Self { deleted_at: Some(now.micros()), ..self.kept_out(State::Deleted, now) } }
    }

    /// The person after their deletion was taken back. Errors: `USER_NOT_DELETED`, also when it is too late.
    pub(crate) fn undeleted(&self, now: Time) -> Result<Self> {
        match self.purge_at() {
            Some(until) if self.state == State::Deleted && now < until => {
                Ok(Self { state: State::Active, deleted_at: None, updated_at: now.micros(), ..self.clone() })
            }
            _ => Err(Error::refused("USER_NOT_DELETED", "the person is not deleted, or it is too late to take that back")),
        }
    }

    /// The person whose time is over: one write takes all that is personal, and frees the address.
    #[must_use]
    pub(crate) fn purging(&self, now: Time) -> Self {
        let email = StoredEmail { address: String::new(), norm: String::new(), verified_at: None };
        Self { state: State::Purging, email, password: None, profile: Profile::default(), updated_at: now.micros(), ..self.clone() }
    }

    /// The person of whom nothing else is left.
    #[must_use]
    pub(crate) fn purged(&self, now: Time) -> Self {
        Self { state: State::Purged, updated_at: now.micros(), ..self.clone() }
    }

    /// Until when a deletion can be taken back.
    pub(crate) fn purge_at(&self) -> Option<Time> {
        self.deleted_at.map(|at| Time::from_micros(at).plus_seconds(KEPT_SECONDS))
    }

    /// Whether there is still a person: somebody who may be shown.
    pub(crate) fn is_there(&self) -> bool {
        !matches!(self.state, State::Purging | State::Purged)
    }

    fn kept_out(&self, state: State, now: Time) -> Self {
        Self { state, key_epoch: self.key_epoch + 1, ..self.cut(now) }
    }

    fn check_kept(&self) -> Result<()> {
        if self.deleted_at.is_some() { Err(Error::refused("USER_DELETED", "this person is deleted")) } else { Ok(()) }
    }

    /// Whether this person may have sessions at all.
    pub(crate) fn may_sign_in(&self) -> bool {
        self.state == State::Active
    }
}

impl Profile {
    /// What a repeated request must ask for again: this profile and the words that go with it.
    pub(crate) fn digest<S: AsRef<str>>(&self, words: &[S]) -> [u8; 32] {
        let own = [&self.display_name, &self.given_name, &self.family_name, &self.locale].map(String::as_str);
        let parts: Vec<&str> = own.into_iter().chain(words.iter().map(AsRef::as_ref)).collect();
        id::digest(&parts)
    }

    /// The profile trimmed and in NFC. `path` is where it stands in the request, for the names of faulty fields.
    /// Errors: `PROFILE_INVALID`.
    pub(crate) fn read(&self, path: &str) -> Result<Self> {
        let mut form = Form::default();
        let profile = Self {
            display_name: form.line(&format!("{path}.display_name"), &self.display_name, MAX_NAME_CHARS),
            given_name: form.line(&format!("{path}.given_name"), &self.given_name, MAX_NAME_CHARS),
            family_name: form.line(&format!("{path}.family_name"), &self.family_name, MAX_NAME_CHARS),
            locale: self.locale.trim().to_owned(),
        };
        if !profile.locale.is_empty() && !is_language_tag(&profile.locale) {
            form.refuse(&format!("{path}.locale"), "must be a language tag such as `en` or `pt-BR`, at most 35 characters");
        }
        form.finish("PROFILE_INVALID", "the profile is not valid")?;
        Ok(profile)
    }
}

/// The shape of RFC 5646: a language of letters, then subtags of letters and digits.
fn is_language_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let language = subtags.next().unwrap_or("");
    tag.len() <= MAX_LOCALE_CHARS
        && (2..=8).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphabetic())
        && subtags.all(|subtag| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn mask_invalid(what: &str) -> Error {
    Error::invalid("MASK_INVALID", format!("the update mask {what}")).field("update_mask", what)
}

/// Addresses do not belong in logs.
impl fmt::Debug for StoredEmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredEmail").field("verified_at", &self.verified_at).finish_non_exhaustive()
    }
}

/// Hashes do not belong in logs.
impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredPassword").field("set_at", &self.set_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: Time = Time::from_seconds(100);
    const LATER: Time = Time::from_seconds(200);

    fn ann() -> User {
        let profile =
            Profile { display_name: "Ann".to_owned(), given_name: "Ann".to_owned(), locale: "en".to_owned(), ..Profile::default() };
        User::made(Email::parse("Ann@Example.com").unwrap(), Some("$argon2id$…".to_owned()), profile, NOW)
    }

    #[test]
    fn what_ends_everything_raises_the_epoch_once() {
        let ann = ann();
        let disabled = ann.disabled(LATER).unwrap();
        assert_eq!((disabled.epoch, disabled.key_epoch, disabled.may_sign_in()), (ann.epoch + 1, ann.key_epoch + 1, false));
        assert_eq!(disabled.disabled(LATER).unwrap(), disabled);
        let enabled = disabled.enabled(LATER).unwrap();
        assert_eq!((enabled.epoch, enabled.may_sign_in()), (disabled.epoch, true));
        assert_eq!(ann.with_password("$argon2id$other".to_owned(), LATER).epoch, ann.epoch + 1);
        assert_eq!(ann.cut(LATER).epoch, ann.epoch + 1);
    }

    #[test]
    fn a_deleted_person_is_taken_back_within_30_days() {
        let ann = ann();
        let deleted = ann.deleted(NOW);
        assert_eq!((deleted.epoch, deleted.key_epoch, deleted.may_sign_in()), (ann.epoch + 1, ann.key_epoch + 1, false));
        assert_eq!((deleted.deleted(LATER), deleted.email.norm.as_str()), (deleted.clone(), "ann@example.com"));
        for refused in [deleted.disabled(LATER), deleted.enabled(LATER), deleted.with_profile(&["profile"], &Profile::default(), LATER)] {
            assert_eq!(refused.unwrap_err().reason(), "USER_DELETED");
        }
        let late = NOW.plus_seconds(KEPT_SECONDS);
        assert_eq!(deleted.undeleted(late).unwrap_err().reason(), "USER_NOT_DELETED");
        assert!(deleted.undeleted(late.plus_seconds(-1)).unwrap().may_sign_in() && ann.undeleted(NOW).is_err());
    }

    #[test]
    fn nothing_personal_outlives_the_purge() {
        let purging = ann().deleted(NOW).purging(LATER);
        let text = serde_json::to_string(&purging).unwrap().to_lowercase();
        assert!(!text.contains("ann") && !text.contains("argon2") && !purging.is_there());
        assert_eq!((purging.purged(LATER).state, purging.undeleted(NOW).unwrap_err().reason()), (State::Purged, "USER_NOT_DELETED"));
    }

    #[test]
    fn registers_active_and_unverified() {
        let ann = ann();
        assert!(ann.may_sign_in() && ann.email.verified_at.is_none());
        assert_eq!((ann.epoch, ann.email.norm.as_str(), ann.email.address.as_str()), (1, "ann@example.com", "Ann@Example.com"));
        assert!(!User { state: State::Disabled, ..ann }.may_sign_in());
    }

    #[test]
    fn changes_what_the_mask_names_and_nothing_else() {
        let ask = Profile { display_name: " Ann B. ".to_owned(), given_name: "Anna".to_owned(), ..Profile::default() };
        let renamed = ann().with_profile(&["profile.display_name"], &ask, LATER).unwrap();
        assert_eq!((renamed.profile.display_name.as_str(), renamed.profile.given_name.as_str()), ("Ann B.", "Ann"));
        assert_eq!((renamed.created_at, renamed.updated_at), (NOW.micros(), LATER.micros()));
        let whole = ann().with_profile(&["profile"], &ask, LATER).unwrap();
        assert_eq!((whole.profile.given_name.as_str(), whole.profile.locale.as_str()), ("Anna", ""));
        let rest = |user: User| User { profile: Profile::default(), updated_at: 0, ..user };
        assert_eq!(rest(whole), rest(ann()));
    }

    #[test]
    fn refuses_masks_beyond_the_profile() {
        let none: [&str; 0] = [];
        assert_eq!(ann().with_profile(&none, &Profile::default(), LATER).unwrap_err().reason(), "MASK_INVALID");
        for path in ["state", "email", "*", "profile.epoch", "profile.", "user.profile", ""] {
            assert_eq!(ann().with_profile(&["profile", path], &Profile::default(), LATER).unwrap_err().reason(), "MASK_INVALID", "{path}");
        }
    }

    #[test]
    fn names_every_faulty_field() {
        let bad =
            Profile { display_name: "x".repeat(81), given_name: "\u{7}".to_owned(), family_name: String::new(), locale: "e".to_owned() };
        let error = ann().with_profile(&["profile"], &bad, LATER).unwrap_err();
        let paths: Vec<&str> = error.fields().iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(error.reason(), "PROFILE_INVALID");
        assert_eq!(paths, ["user.profile.display_name", "user.profile.given_name", "user.profile.locale"]);
    }

    #[test]
    fn language_tags_have_the_shape_of_the_standard() {
        for good in ["en", "pt-BR", "zh-Hant-TW", "de-CH-1996", "sl-rozaj-biske"] {
            assert!(is_language_tag(good), "{good}");
        }
        for bad in
            ["", "e", "en_US", "en-", "-en", "12", "en--US", "englishlang", "en-toolongsubtag", "en-a-bbbbbbbb-cccccccc-dddddddd-eeee-f"]
        {
            assert!(!is_language_tag(bad), "{bad}");
        }
    }

    #[test]
    fn a_new_hash_is_no_new_password() {
        let rehashed = ann().rehashed("$argon2id$new".to_owned());
        assert_eq!(rehashed.password.unwrap(), StoredPassword { phc: "$argon2id$new".to_owned(), set_at: NOW.micros() });
    }

    #[test]
    fn debug_shows_neither_address_nor_hash() {
        let text = format!("{:?}", ann());
        assert!(!text.to_lowercase().contains("example.com") && !text.contains("argon2id"));
    }

    #[test]
    fn stored_form_is_stable() {
        let json = serde_json::to_string(&ann()).unwrap();
        assert_eq!(
            json,
            r#"{"state":"Active","epoch":1,"key_epoch":1,"email":{"address":"Ann@Example.com","norm":"ann@example.com","verified_at":null},"password":{"phc":"$argon2id$…","set_at":100000000},"profile":{"display_name":"Ann","given_name":"Ann","family_name":"","locale":"en"},"created_at":100000000,"updated_at":100000000}"#
        );
        assert_eq!(serde_json::from_str::<User>(&json).unwrap(), ann());
    }
}
