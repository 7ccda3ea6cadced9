//! What identity tells others, as events of the change that made it true. Ids and enums only.

use api::mozaiks::common::v1::{Subject, SubjectKind};
use api::mozaiks::events::v1 as pb;
use kernel::Cx;
use prost::Message;
use storage::Event;

use crate::domain::app::App;
use crate::domain::session::EndReason;
use crate::domain::user::User;
use crate::founding::Founder;
use crate::records::STAFF;
use crate::state::{session_name, user_name};

pub(crate) fn app_created(inside: &Cx, founder: &Founder) -> Event {
    let event = pb::AppCreated { app: inside.tenant().name(), by: Some(founder.subject(inside)), call_id: founder.call_id.clone() };
    Event { kind: "identity.app.created", payload: event.encode_to_vec() }
}

/// `app` is as the change leaves it.
pub(crate) fn app_changed(cx: &Cx, kind: &'static str, app: &App) -> Event {
    let event = pb::AppChanged { app: cx.tenant().name(), epoch: app.epoch, by: Some(by(cx)), call_id: cx.call_id().to_owned() };
    Event { kind, payload: event.encode_to_vec() }
}

pub(crate) fn user_created(cx: &Cx, user: &str) -> Event {
    let event = pb::UserCreated { user: user_name(cx.tenant(), user), by: Some(by(cx)), call_id: cx.call_id().to_owned() };
    Event { kind: "identity.user.created", payload: event.encode_to_vec() }
}

/// `user` is as the change leaves them.
pub(crate) fn user_changed(cx: &Cx, kind: &'static str, id: &str, user: &User) -> Event {
    let (name, call_id) = (user_name(cx.tenant(), id), cx.call_id().to_owned());
    let event = pb::UserChanged { user: name, epoch: user.epoch, by: Some(by(cx)), call_id };
    Event { kind, payload: event.encode_to_vec() }
}

/// `failures` came before it.
pub(crate) fn session_created(cx: &Cx, session: &str, user: &str, failures: u32) -> Event {
    let event = pb::SessionCreated {
        session: session_name(cx.tenant(), session),
        user: user_name(cx.tenant(), user),
        failures: i32::try_from(failures).unwrap_or(i32::MAX),
        call_id: cx.call_id().to_owned(),
    };
    Event { kind: "identity.session.created", payload: event.encode_to_vec() }
}

pub(crate) fn session_ended(cx: &Cx, session: &str, user: &str, reason: EndReason) -> Event {
    let kind = if reason == EndReason::RefreshReused { "identity.session.refresh_reused" } else { "identity.session.ended" };
    let shown = match reason {
        EndReason::SignedOut => pb::SessionEndReason::SignedOut,
        EndReason::Revoked => pb::SessionEndReason::Revoked,
        EndReason::RefreshReused => pb::SessionEndReason::RefreshReused,
        EndReason::Expired => pb::SessionEndReason::Expired,
        EndReason::Cut => pb::SessionEndReason::Cut,
    };
    let event = pb::SessionEnded {
        session: session_name(cx.tenant(), session),
        user: user_name(cx.tenant(), user),
        reason: shown.into(),
        by: Some(by(cx)),
        call_id: cx.call_id().to_owned(),
    };
    Event { kind, payload: event.encode_to_vec() }
}

/// `identity.auth.failed` or `identity.auth.throttled`; `user` is whose account it is, if anybody's.
pub(crate) fn auth_failed(cx: &Cx, kind: &'static str, user: Option<&str>, failures: u32) -> Event {
    let event = pb::AuthFailed {
        app: cx.tenant().name(),
        user: user.map(|id| user_name(cx.tenant(), id)).unwrap_or_default(),
        failures: i32::try_from(failures).unwrap_or(i32::MAX),
        call_id: cx.call_id().to_owned(),
    };
    Event { kind, payload: event.encode_to_vec() }
}

pub(crate) fn signing_key_rotated(cx: &Cx, kid: &str) -> Event {
    let (app, kid, call_id) = (cx.tenant().name(), kid.to_owned(), cx.call_id().to_owned());
    let event = pb::SigningKeyRotated { app, kid, by: Some(by(cx)), call_id };
    Event { kind: "identity.signing_key.rotated", payload: event.encode_to_vec() }
}

/// `by` is who did it, and in which call.
pub(crate) fn staff_changed(inside: &Cx, kind: &'static str, by: (Subject, String)) -> Event {
    let team = format!("{}/teams/{STAFF}", inside.tenant().name());
    let event = pb::TeamChanged { team, by: Some(by.0), call_id: by.1 };
    Event { kind, payload: event.encode_to_vec() }
}

/// `place` is the membership's id and its member, if it has one; `by` is who did it, and in which call.
pub(crate) fn membership_changed(inside: &Cx, kind: &'static str, place: (&str, Option<&str>), by: (Subject, String)) -> Event {
    let (id, subject) = place;
    let event = pb::MembershipChanged {
        membership: format!("{}/teams/{STAFF}/memberships/{id}", inside.tenant().name()),
        subject: subject.unwrap_or_default().to_owned(),
        by: Some(by.0),
        call_id: by.1,
    };
    Event { kind, payload: event.encode_to_vec() }
}

/// Who does this, and in which call.
pub(crate) fn doer(cx: &Cx) -> (Subject, String) {
    (by(cx), cx.call_id().to_owned())
}

/// Whoever acts; the person themselves when an account makes itself.
fn by(cx: &Cx) -> Subject {
    match cx.subject() {
        Some(subject) => Subject {
            name: user_name(&subject.home, &subject.id),
            kind: SubjectKind::User.into(),
            home: if subject.home == *cx.tenant() { String::new() } else { subject.home.name() },
            session: subject.session.as_deref().map(|id| session_name(&subject.home, id)).unwrap_or_default(),
        },
        None => Subject { kind: SubjectKind::System.into(), ..Subject::default() },
    }
}
