//! Who is what in an app: read from the membership in its staff team, fresh at every decision.

use kernel::{Cx, Page, Result, Subject, Tenant};
use storage::{Find, Seen};

use crate::domain::membership::Membership;
use crate::domain::role;
use crate::records::STAFF;
use crate::state::{Core, user_name};

/// What somebody may do in an app.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) roles: Vec<String>,
    pub(crate) permissions: Vec<String>,
}

impl Core {
    /// The staff standing of a subject in the app of `inside`; none when they are not on its staff.
    pub(crate) async fn standing(&self, inside: &Cx, subject: &Subject) -> Result<Option<Standing>> {
        let membership = self.membership(inside, &user_name(&subject.home, &subject.id)).await?;
        Ok(membership.map(|seen| {
            let permissions = granted(inside, &seen.body);
            let owner = seen.body.owner.then(|| "owner".to_owned());
            Standing { roles: owner.into_iter().chain(seen.body.roles).collect(), permissions }
        }))
    }

    /// What a person may do in the app they live in: as its staff, and what the platform lets everybody do.
    pub(crate) async fn permissions_at_home(&self, home: &Cx, user: &str) -> Result<Vec<String>> {
        let membership = self.membership(home, &user_name(home.tenant(), user)).await?;
        let mut permissions = membership.map_or_else(Vec::new, |seen| granted(home, &seen.body));
        let create = role::APPS_CREATE.to_owned();
        if *home.tenant() == Tenant::platform() && self.config.self_service && !permissions.contains(&create) {
            permissions.push(create);
        }
        Ok(permissions)
    }

    async fn membership(&self, inside: &Cx, subject: &str) -> Result<Option<Seen<Membership>>> {
        let page = Page { size: 1, token: String::new() };
        let question =
            Find { index: "team_subject", prefix: vec![STAFF.into(), subject.into()], range: None, descending: false, page: &page };
        Ok(self.store.find::<Membership>(inside, question).await?.items.into_iter().next())
    }
}

fn granted(inside: &Cx, membership: &Membership) -> Vec<String> {
    let table = if *inside.tenant() == Tenant::platform() { role::platform_permissions } else { role::permissions };
    table(&membership.roles, membership.owner)
}
