//! The context of one call: for which tenant, by whom, with which permissions. Every storage call takes one.

use std::fmt;

use crate::{Error, Name, Result, Tenant, Time};

/// What kind of subject calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// A person.
    User,
    /// A service account.
    ServiceAccount,
}

/// Whoever calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The subject's id, such as `usr_…`.
    pub id: String,
    /// What kind it is.
    pub kind: SubjectKind,
    /// The app the subject lives in; differs from the tenant after entering another app.
    pub home: Tenant,
    /// The session the call is made in, in the home app.
    pub session: Option<String>,
}

/// What a verified credential says. Made by a verifier, believed by `rpc::auth` alone.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The app the credential is good for.
    pub tenant: Tenant,
    /// Whose it is.
    pub subject: Subject,
    /// Permissions held in that app, as patterns (`identity.apps.read`, `identity.*`, `*`).
    pub permissions: Vec<String>,
    /// Authenticator assurance level of the session, from 1.
    pub aal: i32,
    /// When the newest check of the session was passed.
    pub auth_time: Time,
}

/// A credential as it came, to be sent on to peers. Cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(String);

impl Credential {
    /// Wraps the bearer token.
    pub fn new(bearer: impl Into<String>) -> Self {
        Self(bearer.into())
    }

    /// The bearer token itself; for verifiers and outgoing headers only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// The context of one call. Cheap enough to clone per task; never built by handlers.
#[derive(Clone, Debug)]
pub struct Cx {
    tenant: Tenant,
    verified: Option<Verified>,
    credential: Option<Credential>,
    call_id: String,
    trace: String,
    task: Option<&'static str>,
    may_enter: bool,
}

impl Cx {
    /// The context of a call with a verified credential. For `rpc::auth` alone.
    pub fn verified(verified: Verified, credential: Credential, call_id: impl Into<String>) -> Self {
        let tenant = verified.tenant.clone();
        Self {
            tenant,
            verified: Some(verified),
            credential: Some(credential),
            call_id: call_id.into(),
            trace: String::new(),
            task: None,
            may_enter: false,
        }
    }

    /// The context of a call by nobody in particular, in the app that the request names. For `rpc::auth` alone.
    pub fn anonymous(tenant: Tenant, call_id: impl Into<String>) -> Self {
        Self { tenant, verified: None, credential: None, call_id: call_id.into(), trace: String::new(), task: None, may_enter: false }
    }

    /// The context of a background task or of the node itself. May enter other tenants.
    pub fn system(tenant: Tenant, task: &'static str) -> Self {
        Self { tenant, verified: None, credential: None, call_id: String::new(), trace: String::new(), task: Some(task), may_enter: true }
    }

    /// A context for tests of libraries, in this tenant, by nobody.
    pub fn for_tests(tenant: &str) -> Result<Self> {
        Ok(Self::anonymous(Tenant::parse(tenant)?, "test"))
    }

    /// Lets this context enter other tenants. For `rpc::access` alone, on methods whose tenancy option says so.
    #[must_use]
    pub fn entering(mut self) -> Self {
        self.may_enter = true;
        self
    }

    /// Gives the W3C `traceparent` that the call came with or was given; goes on with the events of its changes.
    #[must_use]
    pub fn traced(mut self, traceparent: impl Into<String>) -> Self {
        self.trace = traceparent.into();
        self
    }

    /// The same call in another tenant. Errors: `TENANCY` (a defect) when the method's tenancy option does not allow it.
    pub fn enter(&self, tenant: Tenant) -> Result<Self> {
        if !self.may_enter && tenant != self.tenant {
            return Err(Error::internal("TENANCY", format!("a call in {} tried to enter {tenant}", self.tenant)));
        }
        Ok(Self { tenant, ..self.clone() })
    }

    /// The tenant of this call.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Whoever calls; none for anonymous calls and tasks.
    pub fn subject(&self) -> Option<&Subject> {
        self.verified.as_ref().map(|verified| &verified.subject)
    }

    /// Whoever calls. Errors: `CREDENTIAL_MISSING` when nobody is signed in.
    pub fn caller(&self) -> Result<&Subject> {
        self.subject().ok_or_else(|| Error::unauthenticated("CREDENTIAL_MISSING", "sign in first"))
    }

    /// Who the call is by, for idempotency and page tokens: `{home}/{id}`, `task:{task}`, or empty for anonymous.
    pub fn actor(&self) -> String {
        match (self.subject(), self.task) {
            (Some(subject), _) => format!("{}/{}", subject.home, subject.id),
            (None, Some(task)) => format!("task:{task}"),
            (None, None) => String::new(),
        }
    }

    /// The permissions held, as patterns.
    pub fn permissions(&self) -> &[String] {
        self.verified.as_ref().map_or(&[], |verified| &verified.permissions)
    }

    /// Whether a held pattern covers this permission. `identity.*` covers everything below `identity.`.
    pub fn holds(&self, permission: &str) -> bool {
        self.permissions().iter().any(|pattern| covers(pattern, permission))
    }

    /// Assurance level of the session; 0 when nobody is signed in.
    pub fn aal(&self) -> i32 {
        self.verified.as_ref().map_or(0, |verified| verified.aal)
    }

    /// When the newest check of the session was passed, if somebody is signed in.
    pub fn auth_time(&self) -> Option<Time> {
        self.verified.as_ref().map(|verified| verified.auth_time)
    }

    /// The id of this call in the log.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The `traceparent` of this call; empty when there is none.
    pub fn trace(&self) -> &str {
        &self.trace
    }

    /// The credential to send on to peers.
    pub fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// A resource name of the request, which must lie in this call's tenant. A foreign one is answered as absent.
    pub fn own(&self, raw: &str) -> Result<Name> {
        let name = Name::parse(raw)?;
        if *name.tenant() == self.tenant { Ok(name) } else { Err(Error::not_found(raw)) }
    }
}

fn covers(pattern: &str, permission: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(stem) => stem.ends_with('.') && permission.starts_with(stem),
        None => pattern == permission,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns_cover_whole_words_only() {
        assert!(
            covers("*", "identity.apps.read")
                && covers("identity.*", "identity.apps.read")
                && covers("identity.apps.read", "identity.apps.read")
        );
        assert!(
            !covers("identity.apps*", "identity.apps.read")
                && !covers("identity.apps.rea", "identity.apps.read")
                && !covers("billing.*", "identity.apps.read")
        );
    }

    #[test]
    fn only_entering_contexts_change_tenant() {
        let cx = Cx::for_tests("acme").unwrap();
        let other = Tenant::parse("other").unwrap();
        assert_eq!(cx.enter(other.clone()).unwrap_err().reason(), "TENANCY");
        assert_eq!(cx.entering().enter(other.clone()).unwrap().tenant(), &other);
        assert!(!format!("{:?}", Credential::new("mzk_secret")).contains("secret"));
    }

    #[test]
    fn foreign_names_are_absent() {
        let cx = Cx::for_tests("acme").unwrap();
        assert_eq!(cx.own("apps/other/users/usr_1").unwrap_err().reason(), "NOT_FOUND");
        assert!(cx.own("apps/acme/users/usr_1").is_ok());
    }
}
