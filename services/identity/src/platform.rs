//! The installation's own beginnings: its document, the platform app whose staff operate it, and their first invitation.

use kernel::{Cx, Kind, Result, Tenant};
use storage::Change;

use crate::domain::app::{App, Mode};
use crate::founding::Founder;
use crate::records::{Claim, ClaimState, Installation};
use crate::state::Core;

impl Core {
    /// Makes what every installation has, unless an earlier start did.
    pub(crate) async fn settle_installation(&self) -> Result<()> {
        let now = self.clock.now();
        let system = Cx::system(Tenant::system(), "start");
        let installation = Installation { epoch: 1, created_at: now.micros() };
        match self.store.insert(&system, Installation::ID, Change::of(installation)).await {
            Err(error) if error.kind() == Kind::Exists => {}
            inserted => drop(inserted?),
        }
        let platform = Cx::system(Tenant::platform(), "start");
        self.furnish(&platform, App::created("Platform", "", Mode::Live, now)?, &Founder::default()).await?;
        let claim = Claim {
            state: ClaimState::Confirmed,
            app_id: Tenant::platform().as_str().to_owned(),
            by: system.actor(),
            digest: String::new(),
            created_at: now.micros(),
            draft: None,
        };
        self.ensure(&system, Tenant::platform().as_str(), Change::of(claim)).await.map(drop)
    }

    /// Invites somebody to operate the installation, with every operator right. The secret is told once.
    pub(crate) async fn invite_operator(&self) -> Result<String> {
        let platform = Cx::system(Tenant::platform(), "operator invite");
        let app = self.app(&platform).await?;
        self.invite(&platform, &app, &["operator", "root"]).await
    }
}
