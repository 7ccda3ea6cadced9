//! What every resource of identity works with: the store, the clock, the hashing pool, the keys; and the first reads
//! that nearly every call makes.

use api::wkt::Timestamp;
use kernel::{Clock, Cx, Error, Name, Result, Tenant};
use storage::{Seen, Store};

use crate::config::Config;
use crate::domain::app::App;
use crate::domain::user::User;
use crate::hashing::Pool;
use crate::proofs::Proofs;
use crate::records::{APP, Installation};
use crate::seal::{DataKey, Master};
use crate::sources::Sources;

/// Shared by all resources; immutable after start.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) pool: Pool,
    pub(crate) master: Master,
    pub(crate) sources: Sources,
    pub(crate) proofs: Proofs,
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    /// Where browsers reach the gateway; tokens name their issuer below it.
    pub(crate) public_url: String,
}

impl Core {
    /// The app of this call. Errors: `NOT_FOUND` when there is none.
    pub(crate) async fn app(&self, cx: &Cx) -> Result<Seen<App>> {
        let found = self.store.get::<App>(cx, APP).await?.filter(|app| app.body.is_there());
        found.ok_or_else(|| Error::not_found(&cx.tenant().name()))
    }

    /// The app of this call, open to its people. Errors: `NOT_FOUND`, `APP_PAUSED`, `APP_DELETED`.
    pub(crate) async fn open_app(&self, cx: &Cx) -> Result<Seen<App>> {
        let app = self.app(cx).await?;
        app.body.check_open()?;
        Ok(app)
    }

    /// A person of this call's app.
    pub(crate) async fn user(&self, cx: &Cx, id: &str) -> Result<Seen<User>> {
        let found = self.store.get::<User>(cx, id).await?.filter(|user| user.body.is_there());
        found.ok_or_else(|| Error::not_found(&user_name(cx.tenant(), id)))
    }

    /// The installation's own document.
    pub(crate) async fn installation(&self) -> Result<Seen<Installation>> {
        let cx = Cx::system(Tenant::system(), "installation");
        let found = self.store.get::<Installation>(&cx, Installation::ID).await?;
        found.ok_or_else(|| Error::internal("INSTALLATION_MISSING", "the installation has no document of its own"))
    }

    /// The key under which this app's secrets are sealed.
    pub(crate) fn data_key(&self, tenant: &Tenant, app: &App) -> Result<DataKey> {
        self.master.unwrap(&tenant.name(), &app.data_key)
    }

    /// The issuer of an app's tokens.
    pub(crate) fn issuer(&self, tenant: &Tenant) -> String {
        format!("{}/api/core/identity/oidc/{tenant}", self.public_url)
    }
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|cause| Error::internal("RANDOM", "the system gives no random bytes").because(cause))?;
    Ok(bytes)
}

/// `apps/{app}/users/{user}`.
pub(crate) fn user_name(tenant: &Tenant, id: &str) -> String {
    format!("apps/{tenant}/users/{id}")
}

/// `apps/{app}/sessions/{session}`.
pub(crate) fn session_name(tenant: &Tenant, id: &str) -> String {
    format!("apps/{tenant}/sessions/{id}")
}

/// A name that must be exactly `apps/{app}`.
pub(crate) fn app_of(raw: &str) -> Result<Tenant> {
    let name = Name::parse(raw)?;
    if name.segments().is_empty() {
        Ok(name.tenant().clone())
    } else {
        Err(Error::invalid("NAME_INVALID", "the resource name is not that of an app"))
    }
}

/// Stored microseconds as callers see them.
pub(crate) fn timestamp(micros: i64) -> Option<Timestamp> {
    Some(Timestamp::from_micros(micros))
}
