//! How people and apps leave for good: by state, so that whoever comes later goes on. First one write takes what is personal or
//! secret, then what belonged to them goes document by document, and last their own document says that it is over.
//! Guards and intents are left out: by then they have expired.

use fail::fail_point;
use kernel::{Cx, Error, Kind, Name, Page, Result, Tenant};
use storage::{Change, Find, Key, Record, Removal, Seen};

use crate::domain::app::{App, State as AppState};
use crate::domain::membership::{Membership, State as MembershipState};
use crate::domain::session::Session;
use crate::domain::signing_key::SigningKey;
use crate::domain::team::Team;
use crate::domain::user::{State as UserState, User};
use crate::events;
use crate::records::{APP, Holding, STAFF};
use crate::state::{Core, user_name};

/// Documents read at once.
const PAGE: usize = 100;

impl Core {
    /// Goes on with the purge of a person, if it is time. `cx` may enter other tenants.
    pub(crate) async fn purge_user(&self, cx: &Cx, id: &str) -> Result<()> {
        let Some(mut user) = self.store.get::<User>(cx, id).await? else { return Ok(()) };
        let now = self.clock.now();
        if user.body.state == UserState::Deleted && user.body.purge_at().is_some_and(|until| until <= now) {
            user = self.store.replace(cx, &user, Change::of(user.body.purging(now))).await?;
            fail_point!("identity::purge::after_purging", |_| std::process::abort());
        }
        if user.body.state != UserState::Purging {
            return Ok(());
        }
        self.drop_all::<Session>(cx, "user_created", vec![id.into()]).await?;
        self.leave_staffs(cx, vec![id.into()]).await?;
        self.leave_staff(cx, &user_name(cx.tenant(), id)).await?;
        let purged = user.body.purged(now);
        let event = events::user_changed(cx, "identity.user.purged", id, &purged);
        self.store.replace(cx, &user, Change::of(purged).event(event)).await?;
        fail_point!("identity::purge::after_purged", |_| std::process::abort());
        Ok(())
    }

    /// Goes on with the purge of the app of `cx`, if it is time. `cx` may enter other tenants.
    pub(crate) async fn purge_app(&self, cx: &Cx) -> Result<()> {
        let Some(mut app) = self.store.get::<App>(cx, APP).await? else { return Ok(()) };
        let now = self.clock.now();
        if app.body.state == AppState::Deleted && app.body.purge_at().is_some_and(|until| until <= now) {
            app = self.store.replace(cx, &app, Change::of(app.body.purging(now))).await?;
            fail_point!("identity::purge::after_purging", |_| std::process::abort());
        }
        if app.body.state != AppState::Purging {
            return Ok(());
        }
        self.drop_all::<Session>(cx, "created", vec![]).await?;
        self.leave_staffs(cx, vec![]).await?;
        self.drop_all::<User>(cx, "created", vec![]).await?;
        self.dissolve_staff(cx).await?;
        self.drop_all::<SigningKey>(cx, "active_from", vec![]).await?;
        let purged = app.body.purged(now);
        let event = events::app_changed(cx, "identity.app.purged", &purged);
        self.store.replace(cx, &app, Change::of(purged).event(event)).await?;
        fail_point!("identity::purge::after_purged", |_| std::process::abort());
        Ok(())
    }

    /// Whether every app that this person owns has another owner or is deleted. Errors: `LAST_OWNER`.
    pub(crate) async fn check_not_last_owner(&self, home: &Tenant, id: &str) -> Result<()> {
        let cx = Cx::system(home.clone(), "last owner");
        let subject = user_name(home, id);
        let mut page = Page { size: PAGE, token: String::new() };
        loop {
            let found = self.store.find::<Holding>(&cx, holdings(vec![id.into()], &page)).await?;
            for holding in found.items {
                let inside = cx.enter(Tenant::parse(&holding.body.app_id)?)?;
                let kept = self.store.get::<App>(&inside, APP).await?.is_some_and(|app| app.body.purge_at().is_none());
                let owners = self.store.get::<Team>(&inside, STAFF).await?.map_or_else(Vec::new, |team| team.body.owners);
                if kept && owners == [subject.as_str()] {
                    let app = inside.tenant();
                    return Err(Error::refused("LAST_OWNER", format!("the app {app} has no other owner; appoint one or delete it first")));
                }
            }
            if found.next_token.is_empty() {
                return Ok(());
            }
            page.token = found.next_token;
        }
    }

    /// Takes people out of the staff of every app that they hold, by these keys of their holdings.
    async fn leave_staffs(&self, home: &Cx, prefix: Vec<Key>) -> Result<()> {
        while let Some(holding) = self.next::<Holding>(home, "user_app", prefix.clone()).await? {
            let inside = home.enter(Tenant::parse(&holding.body.app_id)?)?;
            self.leave_staff(&inside, &user_name(home.tenant(), &holding.body.user)).await?;
            self.drop_one(home, &holding).await?;
        }
        Ok(())
    }

    /// Takes one member out of the staff of the app of `inside`: first from its owners, then the membership.
    async fn leave_staff(&self, inside: &Cx, subject: &str) -> Result<()> {
        let team = self.store.get::<Team>(inside, STAFF).await?;
        if let Some(team) = team.filter(|team| team.body.owners.iter().any(|owner| owner == subject)) {
            let event = events::staff_changed(inside, "identity.team.owners_changed", events::doer(inside));
            let next = team.body.without_owner(subject, self.clock.now());
            self.store.replace(inside, &team, Change::of(next).event(event)).await?;
            fail_point!("identity::purge::after_owner", |_| std::process::abort());
        }
        while let Some(seen) = self.next::<Membership>(inside, "team_subject", vec![STAFF.into(), subject.into()]).await? {
            let event = events::membership_changed(inside, "identity.membership.removed", (&seen.id, Some(subject)), events::doer(inside));
            self.store.replace(inside, &seen, Change::of(seen.body.removed()).event(event)).await?;
            fail_point!("identity::purge::after_membership", |_| std::process::abort());
        }
        Ok(())
    }

    /// Ends the staff team of the app of `cx`: it is no longer listed among anybody's.
    async fn dissolve_staff(&self, cx: &Cx) -> Result<()> {
        while let Some(seen) = self.next::<Membership>(cx, "team_created", vec![STAFF.into()]).await? {
            if seen.body.state == MembershipState::Active {
                self.unlist(cx, &seen.body).await?;
            }
            self.drop_one(cx, &seen).await?;
        }
        match self.store.get::<Team>(cx, STAFF).await? {
            Some(team) => self.drop_one(cx, &team).await,
            None => Ok(()),
        }
    }

    /// Takes the app of `inside` from the list of somebody's apps.
    pub(crate) async fn unlist(&self, inside: &Cx, membership: &Membership) -> Result<()> {
        let Some(subject) = &membership.subject else { return Ok(()) };
        let name = Name::parse(subject)?;
        let home = inside.enter(name.tenant().clone())?;
        let id = Holding::id(name.id_in("users")?, inside.tenant().as_str());
        match self.store.get::<Holding>(&home, &id).await? {
            Some(holding) => self.drop_one(&home, &holding).await,
            None => Ok(()),
        }
    }

    /// Removes all documents with these first keys of an index.
    async fn drop_all<T: Record>(&self, cx: &Cx, index: &'static str, prefix: Vec<Key>) -> Result<()> {
        let mut page = Page { size: PAGE, token: String::new() };
        loop {
            let question = Find { index, prefix: prefix.clone(), range: None, descending: false, page: &page };
            let found = self.store.find::<T>(cx, question).await?;
            for seen in &found.items {
                self.drop_one(cx, seen).await?;
            }
            if found.next_token.is_empty() {
                return Ok(());
            }
            page.token = found.next_token;
        }
    }

    /// Removes a document, unless somebody else did.
    async fn drop_one<T: Record>(&self, cx: &Cx, seen: &Seen<T>) -> Result<()> {
        match self.store.remove(cx, seen, Removal::new()).await {
            Err(gone) if gone.kind() == Kind::NotFound => {}
            removed => removed?,
        }
        fail_point!("identity::purge::after_removal", |_| std::process::abort());
        Ok(())
    }

    /// The first document with these first keys of an index. A page may be short, so it is asked for until one comes.
    async fn next<T: Record>(&self, cx: &Cx, index: &'static str, prefix: Vec<Key>) -> Result<Option<Seen<T>>> {
        let mut page = Page { size: 1, token: String::new() };
        loop {
            let question = Find { index, prefix: prefix.clone(), range: None, descending: false, page: &page };
            let found = self.store.find::<T>(cx, question).await?;
            match found.items.into_iter().next() {
                None if !found.next_token.is_empty() => page.token = found.next_token,
                first => return Ok(first),
            }
        }
    }
}

fn holdings<'a>(prefix: Vec<Key>, page: &'a Page) -> Find<'a> {
    Find { index: "user_app", prefix, range: None, descending: false, page }
}
