//! The built-in roles: what each permits, as patterns. Fixed in code; a name that stands in no table permits nothing.
//! No pattern here is a bare `*`, and none of an app's staff covers `operator.` or `identity.serve`: staff of an app hold
//! tokens whose home is the platform app, and those words open the operator and service planes there.

/// Creating apps: staff of the platform app, and with self-service all its people.
pub(crate) const APPS_CREATE: &str = "identity.apps.create";

/// What owners may do and administrators may not. Who is an owner is decided on the membership's flag besides.
const OWNER_ALONE: &[&str] = &["identity.apps.delete"];

const ADMIN: &[&str] = &[
    "identity.access.check",
    "identity.api_keys.*",
    "identity.apps.flags",
    "identity.apps.read",
    "identity.apps.write",
    "identity.audit.*",
    "identity.bindings.*",
    "identity.clients.*",
    "identity.entitlements.*",
    "identity.hosts.write",
    "identity.impersonate",
    "identity.invitations.write",
    "identity.members.*",
    "identity.notifications.send",
    "identity.policies.*",
    "identity.providers.*",
    "identity.roles.*",
    "identity.service_accounts.*",
    "identity.sessions.*",
    "identity.signing_keys.*",
    "identity.sinks.write",
    "identity.teams.*",
    "identity.tokens.*",
    "identity.users.*",
];

const DEVELOPER: &[&str] =
    &["identity.api_keys.*", "identity.apps.read", "identity.audit.read", "identity.clients.*", "identity.service_accounts.*"];

const SUPPORT: &[&str] = &["identity.impersonate", "identity.invitations.write", "identity.sessions.*", "identity.users.read"];

const MEMBER: &[&str] = &[
    "identity.api_keys.read",
    "identity.apps.read",
    "identity.bindings.read",
    "identity.clients.read",
    "identity.entitlements.read",
    "identity.members.read",
    "identity.policies.read",
    "identity.providers.read",
    "identity.roles.read",
    "identity.service_accounts.read",
    "identity.sessions.read",
    "identity.signing_keys.read",
    "identity.teams.read",
    "identity.users.read",
];

/// Reads, suspends and resumes apps.
const OPERATOR: &[&str] = &["operator.apps"];
/// Keys, exports and tasks of the installation. Another set, not a larger one.
const ROOT: &[&str] = &["operator.export", "operator.keys", "operator.tasks"];

/// What these roles permit in the staff team of an app: sorted, each pattern once.
pub(crate) fn permissions(roles: &[String], owner: bool) -> Vec<String> {
    gather(roles, staff, owner)
}

/// What these roles permit in the staff team of the platform app: what they permit in any app, creating apps, and
/// running the installation.
pub(crate) fn platform_permissions(roles: &[String], owner: bool) -> Vec<String> {
    let mut held = gather(roles, |role| [staff(role), operating(role)].concat(), owner);
    if !held.is_empty() {
        held.push(APPS_CREATE.to_owned());
        held.sort_unstable();
    }
    held
}

fn gather(roles: &[String], table: impl Fn(&str) -> Vec<&'static str>, owner: bool) -> Vec<String> {
    let mut held: Vec<&str> = roles.iter().flat_map(|role| table(role)).collect();
    if owner {
        held.extend(ADMIN);
        held.extend(OWNER_ALONE);
    }
    held.sort_unstable();
    held.dedup();
    held.into_iter().map(str::to_owned).collect()
}

fn staff(role: &str) -> Vec<&'static str> {
    match role {
        "admin" => ADMIN,
        "developer" => DEVELOPER,
        "support" => SUPPORT,
        "member" => MEMBER,
        _ => &[],
    }
    .to_vec()
}

fn operating(role: &str) -> Vec<&'static str> {
    match role {
        "operator" => OPERATOR,
        "root" => ROOT,
        _ => &[],
    }
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(roles: &[&str], owner: bool) -> Vec<String> {
        permissions(&roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>(), owner)
    }

    fn of_platform(roles: &[&str], owner: bool) -> Vec<String> {
        platform_permissions(&roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>(), owner)
    }

    fn holds(held: &[String], permission: &str) -> bool {
        held.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(stem) => permission.starts_with(stem),
            None => pattern == permission,
        })
    }

    #[test]
    fn each_role_has_its_own_reach() {
        assert!(holds(&of(&[], true), "identity.apps.delete") && !holds(&of(&["admin"], false), "identity.apps.delete"));
        assert!(holds(&of(&["admin"], false), "identity.users.write"));
        assert!(holds(&of(&["developer"], false), "identity.api_keys.write") && !holds(&of(&["developer"], false), "identity.users.read"));
        assert!(holds(&of(&["support"], false), "identity.sessions.revoke") && !holds(&of(&["support"], false), "identity.users.write"));
        assert!(of(&["member"], false).iter().all(|pattern| pattern.ends_with(".read")));
        assert_eq!(of(&["support", "member"], false).iter().filter(|held| *held == "identity.users.read").count(), 1);
    }

    #[test]
    fn unknown_names_permit_nothing() {
        for role in ["", "owner", "Admin", "root ", "operator", "root", "*"] {
            assert!(of(&[role], false).is_empty(), "{role}");
        }
        assert!(of_platform(&["owner", "ROOT"], false).is_empty());
    }

    #[test]
    fn operator_is_not_root() {
        let (operator, root) = (of_platform(&["operator"], false), of_platform(&["root"], false));
        assert!(holds(&operator, "operator.apps") && holds(&operator, APPS_CREATE));
        for permission in ["operator.keys", "operator.export", "operator.tasks"] {
            assert!(holds(&root, permission) && !holds(&operator, permission), "{permission}");
        }
        assert!(!holds(&root, "operator.apps"));
    }

    #[test]
    fn running_an_app_opens_no_other_plane() {
        let everything = of(&["admin", "developer", "support", "member", "operator", "root"], true);
        for permission in ["operator.apps", "operator.keys", "identity.serve", "billing.serve", APPS_CREATE] {
            assert!(!holds(&everything, permission), "{permission}");
        }
        let platform_owner = of_platform(&[], true);
        assert!(!platform_owner.iter().any(|pattern| pattern.starts_with("operator.")) && holds(&platform_owner, APPS_CREATE));
    }

    #[test]
    fn the_largest_set_fits_a_token() {
        let all = of_platform(&["admin", "developer", "support", "member", "operator", "root"], true);
        assert!(all.len() <= 64 && serde_json::to_string(&all).map_or(0, |text| text.len()) <= 2_048);
        let owner = of(&[], true);
        assert!(owner.iter().map(String::len).sum::<usize>() <= 1_024);
    }
}
