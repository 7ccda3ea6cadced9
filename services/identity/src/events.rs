//! What identity tells others, as events of the change that made it true. Ids and enums only.
//! Events that one document could produce without bound wait until something drains them.

use api::mozaiks::common::v1::{Subject, SubjectKind};
use api::mozaiks::events::v1 as pb;
use kernel::{Cx, Tenant};
use prost::Message;
use storage::Event;

use crate::domain::session::EndReason;
use crate::state::{session_name, user_name};

pub(crate) fn app_created(inside: &Cx) -> Event {
    let event = pb::AppCreated { app: inside.tenant().name(), by: Some(by(inside)) };
    Event { kind: "identity.app.created", payload: event.encode_to_vec() }
}

pub(crate) fn user_created(cx: &Cx, user: &str) -> Event {
    let event = pb::UserCreated { user: user_name(cx.tenant(), user), by: Some(by(cx)) };
    Event { kind: "identity.user.created", payload: event.encode_to_vec() }
}

pub(crate) fn session_created(tenant: &Tenant, session: &str, user: &str) -> Event {
    let event = pb::SessionCreated { session: session_name(tenant, session), user: user_name(tenant, user) };
    Event { kind: "identity.session.created", payload: event.encode_to_vec() }
}

pub(crate) fn session_ended(tenant: &Tenant, session: &str, user: &str, reason: EndReason) -> Event {
    let kind = if reason == EndReason::RefreshReused { "identity.session.refresh_reused" } else { "identity.session.ended" };
    let shown = match reason {
        EndReason::SignedOut => pb::SessionEndReason::SignedOut,
        EndReason::Revoked => pb::SessionEndReason::Revoked,
        EndReason::RefreshReused => pb::SessionEndReason::RefreshReused,
        EndReason::Expired => pb::SessionEndReason::Expired,
        EndReason::Cut => pb::SessionEndReason::Cut,
    };
    let event = pb::SessionEnded { session: session_name(tenant, session), user: user_name(tenant, user), reason: shown.into() };
    Event { kind, payload: event.encode_to_vec() }
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
