//! An app: the tenant itself.

use kernel::{Error, Result, Time};
use serde::{Deserialize, Serialize};

use super::text::Form;

/// Longest display name, in characters.
const MAX_NAME_CHARS: usize = 80;
/// Longest description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 2_000;
/// Longest reason of a pause, in characters.
const MAX_REASON_CHARS: usize = 200;
/// How long a deleted app is kept, in seconds: 30 days.
const KEPT_SECONDS: i64 = 30 * 24 * 3600;

/// Letters of a made-up id: lower case, digits that look like no letter.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// An app. Instants in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct App {
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) mode: Mode,
    pub(crate) state: State,
    /// Raising it ends every session and token of the app.
    pub(crate) epoch: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    /// The key under which the app's secrets are sealed, wrapped by the master key.
    pub(crate) data_key: String,
    /// Why it is paused; empty when it is not.
    #[serde(default)]
    pub(crate) pause_reason: String,
    #[serde(default)]
    pub(crate) deleted_at: Option<i64>,
}

/// Whether an app serves real people. Chosen at creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    Live,
    Test,
}

/// Whether an app is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Active,
    /// Closed to its people, open to its staff.
    Paused,
    /// Kept for its staff to take back.
    Deleted,
    /// Its secrets and texts are gone, what belonged to it is going.
    Purging,
    /// Nothing is left but the id.
    Purged,
}

impl App {
    /// A new app, still without a data key. Errors: `APP_INVALID`.
    pub(crate) fn created(display_name: &str, description: &str, mode: Mode, now: Time) -> Result<Self> {
        let (display_name, description) = read(display_name, description)?;
        Ok(Self {
            display_name,
            description,
            mode,
            state: State::Active,
            epoch: 1,
            created_at: now.micros(),
            updated_at: now.micros(),
            data_key: String::new(),
            pause_reason: String::new(),
            deleted_at: None,
        })
    }

    /// The app with those fields that the mask names. Errors: `MASK_INVALID`, `APP_INVALID`.
    pub(crate) fn described<S: AsRef<str>>(&self, mask: &[S], display_name: &str, description: &str, now: Time) -> Result<Self> {
        let (mut name, mut text) = (self.display_name.as_str(), self.description.as_str());
        for path in mask {
            match path.as_ref() {
                "display_name" => name = display_name,
                "description" => text = description,
                _ => {
                    let error = Error::invalid("MASK_INVALID", "the update mask may name `display_name` and `description`");
                    return Err(error.field("update_mask", "may name `display_name` and `description`"));
                }
            }
        }
        let (display_name, description) = read(name, text)?;
        Ok(Self { display_name, description, updated_at: now.micros(), ..self.clone() })
    }

    /// The app closed to its people. Errors: `REASON_INVALID`, `APP_DELETED`.
    pub(crate) fn paused(&self, reason: &str, now: Time) -> Result<Self> {
        let mut form = Form::default();
        let pause_reason = form.line("reason", reason, MAX_REASON_CHARS);
        if pause_reason.is_empty() {
            form.refuse("reason", "must be 1 to 200 characters");
        }
        form.finish("REASON_INVALID", "the reason is not valid")?;
        self.check_kept()?;
        Ok(Self { state: State::Paused, pause_reason, updated_at: now.micros(), ..self.clone() })
    }

    /// The app opened again. Errors: `APP_DELETED`.
    pub(crate) fn resumed(&self, now: Time) -> Result<Self> {
        self.check_kept()?;
        Ok(Self { state: State::Active, pause_reason: String::new(), updated_at: now.micros(), ..self.clone() })
    }

    /// The app deleted softly: the raised epoch ends every session and token of it.
    #[must_use]
    pub(crate) fn deleted(&self, now: Time) -> Self {
        if self.check_kept().is_err() {
            return self.clone();
        }
        let at = now.micros();
        Self {
            state: State::Deleted,
            epoch: self.epoch + 1,
            deleted_at: Some(at),
            pause_reason: String::new(),
            updated_at: at,
            ..self.clone()
        }
    }

    /// The app after its deletion was taken back. Errors: `APP_NOT_DELETED`, also when it is too late.
    pub(crate) fn undeleted(&self, now: Time) -> Result<Self> {
        match self.purge_at() {
            Some(until) if self.state == State::Deleted && now < until => {
                Ok(Self { state: State::Active, deleted_at: None, updated_at: now.micros(), ..self.clone() })
            }
            _ => Err(Error::refused("APP_NOT_DELETED", "the app is not deleted, or it is too late to take that back")),
        }
    }

    /// The app whose time is over, or that never was complete: one write takes its texts and the key of its secrets.
    #[must_use]
    pub(crate) fn purging(&self, now: Time) -> Self {
        Self {
            state: State::Purging,
            epoch: self.epoch + 1,
            display_name: String::new(),
            description: String::new(),
            pause_reason: String::new(),
            data_key: String::new(),
            updated_at: now.micros(),
            ..self.clone()
        }
    }

    /// The app of which nothing else is left.
    #[must_use]
    pub(crate) fn purged(&self, now: Time) -> Self {
        Self { state: State::Purged, updated_at: now.micros(), ..self.clone() }
    }

    /// Whether there is still an app: one that may be shown.
    pub(crate) fn is_there(&self) -> bool {
        !matches!(self.state, State::Purging | State::Purged)
    }

    /// Until when a deletion can be taken back.
    pub(crate) fn purge_at(&self) -> Option<Time> {
        self.deleted_at.map(|at| Time::from_micros(at).plus_seconds(KEPT_SECONDS))
    }

    /// Whether anybody may have sessions in it.
    pub(crate) fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Refuses people while the app is closed to them. Errors: `APP_PAUSED`, `APP_DELETED`.
    pub(crate) fn check_open(&self) -> Result<()> {
        match self.state {
            State::Paused => Err(Error::refused("APP_PAUSED", "this app is paused")),
            _ => self.check_kept(),
        }
    }

    fn check_kept(&self) -> Result<()> {
        match self.state {
            State::Active | State::Paused => Ok(()),
            State::Deleted | State::Purging | State::Purged => Err(Error::refused("APP_DELETED", "this app is deleted")),
        }
    }
}

fn read(display_name: &str, description: &str) -> Result<(String, String)> {
    let mut form = Form::default();
    let display_name = form.line("app.display_name", display_name, MAX_NAME_CHARS);
    let description = form.prose("app.description", description, MAX_DESCRIPTION_CHARS);
    if display_name.is_empty() {
        form.refuse("app.display_name", "must be 1 to 80 characters");
    }
    form.finish("APP_INVALID", "the app is not valid")?;
    Ok((display_name, description))
}

/// An id for an app whose creator wished for none: `app-` and 26 base32 characters (130 random bits).
pub(crate) fn random_id(bytes: [u8; 17]) -> String {
    let mut id = String::from("app-");
    for at in (0..130).step_by(5) {
        let pair = u16::from_be_bytes([bytes[at / 8], bytes.get(at / 8 + 1).copied().unwrap_or(0)]);
        let letter = (pair >> (11 - at % 8)) & 31;
        id.push(char::from(BASE32[usize::from(letter)]));
    }
    id
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const NOW: Time = Time::from_seconds(100);

    #[test]
    fn a_deleted_app_is_taken_back_within_30_days() {
        let now = Time::from_seconds(1_000);
        let app = App::created("Shop", "", Mode::Live, now).unwrap();
        let deleted = app.paused("Stocktaking", now).unwrap().deleted(now);
        assert_eq!((deleted.epoch, deleted.check_open().unwrap_err().reason()), (app.epoch + 1, "APP_DELETED"));
        assert_eq!(deleted.deleted(now), deleted, "deleting twice ends nothing more");
        assert_eq!(deleted.resumed(now).unwrap_err().reason(), "APP_DELETED");
        let late = now.plus_seconds(KEPT_SECONDS);
        assert_eq!(deleted.undeleted(late).unwrap_err().reason(), "APP_NOT_DELETED");
        let back = deleted.undeleted(late.plus_seconds(-1)).unwrap();
        assert!(back.is_active() && back.epoch == deleted.epoch && back.undeleted(now).is_err());
    }

    #[test]
    fn nothing_but_the_id_outlives_the_purge() {
        let app = App { data_key: "sealed".to_owned(), ..App::created("Shop", "Bread", Mode::Live, NOW).unwrap() };
        let purging = app.deleted(NOW).purging(NOW);
        let text = serde_json::to_string(&purging).unwrap();
        assert!(!text.contains("Shop") && !text.contains("Bread") && !text.contains("sealed"));
        assert!(!purging.is_there() && !purging.purged(NOW).is_there());
        assert_eq!((purging.undeleted(NOW).unwrap_err().reason(), purging.deleted(NOW)), ("APP_NOT_DELETED", purging.clone()));
    }

    #[test]
    fn made_with_clean_texts() {
        let app = App::created(" Bakery ", "Bread\nand rolls.", Mode::Test, NOW).unwrap();
        assert_eq!((app.display_name.as_str(), app.description.as_str(), app.mode), ("Bakery", "Bread\nand rolls.", Mode::Test));
        assert!(app.is_active() && app.epoch == 1 && app.data_key.is_empty());
    }

    #[test]
    fn names_every_faulty_field() {
        let error = App::created(" \t ", &"x".repeat(2_001), Mode::Live, NOW).unwrap_err();
        let paths: Vec<&str> = error.fields().iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!((error.reason(), paths), ("APP_INVALID", vec!["app.description", "app.display_name"]));
        assert!(App::created(&"語".repeat(80), "", Mode::Live, NOW).is_ok());
        assert!(App::created("two\nlines", "", Mode::Live, NOW).is_err());
    }

    #[test]
    fn random_ids_are_rfc_4648_base32() {
        let text = b"foobar\0\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(random_id(*text), "app-mzxw6ytboiaaaaaaaaaaaaaaaa");
        assert_eq!(random_id([255; 17]), format!("app-{}", "7".repeat(26)));
    }

    proptest! {
        #[test]
        fn random_ids_are_app_ids_and_keep_every_bit(one: [u8; 17], bit in 0_usize..130) {
            let id = random_id(one);
            prop_assert!(id.len() == 30 && kernel::Tenant::parse(&id).is_ok());
            let mut other = one;
            other[bit / 8] ^= 128 >> (bit % 8);
            prop_assert_ne!(id, random_id(other));
        }
    }
}
