//! Tidies up after changes that decided everything by one write: sessions that can never live again are marked as ended, and
//! the list of somebody's apps follows their memberships. Nothing depends on it; it may come late.

use std::sync::Arc;

use ::events::{Delivered, Subscriber};
use kernel::{Cx, Kind, Name, Page, Result};
use storage::{Answer, Find, Key};

use crate::domain::membership::{Membership, State};
use crate::domain::session::{EndReason, Session};
use crate::records::STAFF;
use crate::state::Core;

/// Sessions looked at together.
const PAGE: usize = 100;

/// Its name among subscribers.
pub(crate) const NAME: &str = "identity.tidy";
/// What it hears.
pub(crate) const KINDS: [&str; 9] = [
    "identity.app.deleted",
    "identity.membership.accepted",
    "identity.membership.added",
    "identity.membership.changed",
    "identity.membership.removed",
    "identity.user.deleted",
    "identity.user.disabled",
    "identity.user.password_changed",
    "identity.user.sessions_cut",
];

/// The subscriber.
pub(crate) struct Tidy(pub(crate) Arc<Core>);

impl Subscriber for Tidy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    /// Looks at what is true now, whatever the event said: twice is as once, and late is as well.
    fn hear<'a>(&'a self, cx: &'a Cx, event: &'a Delivered) -> Answer<'a, ()> {
        Box::pin(async move {
            match event.collection.as_str() {
                "apps" => self.0.end_dead_sessions(cx, vec![]).await,
                "users" => self.0.end_dead_sessions(cx, vec![event.aggregate.as_str().into()]).await,
                "memberships" => self.0.relist(cx, &event.aggregate).await,
                _ => Ok(()),
            }
        })
    }
}

impl Core {
    /// Marks sessions that can never live again as ended: all of the app's, or those of one person.
    async fn end_dead_sessions(&self, cx: &Cx, prefix: Vec<Key>) -> Result<()> {
        let app = match self.app(cx).await {
            Err(gone) if gone.kind() == Kind::NotFound => return Ok(()),
            app => app?,
        };
        let mut page = Page { size: PAGE, token: String::new() };
        loop {
            let question = Find { index: "open", prefix: prefix.clone(), range: None, descending: false, page: &page };
            let found = self.store.find::<Session>(cx, question).await?;
            for session in &found.items {
                let reason = match self.present(cx, &app, &session.body).await {
                    Ok(present) => session.body.dead(&present, self.clock.now()),
                    Err(gone) if gone.kind() == Kind::Unauthenticated => Some(EndReason::Cut),
                    Err(error) => return Err(error),
                };
                if let Some(reason) = reason {
                    self.end(cx, session, reason).await?;
                }
            }
            if found.next_token.is_empty() {
                return Ok(());
            }
            page.token = found.next_token;
        }
    }

    /// Makes the list of the member's apps agree with this membership.
    async fn relist(&self, inside: &Cx, id: &str) -> Result<()> {
        let Some(seen) = self.store.get::<Membership>(inside, id).await? else { return Ok(()) };
        let Some(subject) = &seen.body.subject else { return Ok(()) };
        let name = Name::parse(subject)?;
        let user = name.id_in("users")?;
        if seen.body.state == State::Active {
            let home = inside.enter(name.tenant().clone())?;
            return match self.user(&home, user).await {
                Err(gone) if gone.kind() == Kind::NotFound => Ok(()),
                there => self.hold(&home, &there?.id, inside.tenant()).await,
            };
        }
        let other = vec![STAFF.into(), subject.as_str().into()];
        let question =
            Find { index: "team_subject", prefix: other, range: None, descending: false, page: &Page { size: 1, token: String::new() } };
        let replaced = !self.store.find::<Membership>(inside, question).await?.items.is_empty();
        if replaced { Ok(()) } else { self.unlist(inside, &seen.body).await }
    }
}
