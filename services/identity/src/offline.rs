//! What node asks of identity's documents while the service does not run: for backups, moves to another store and checks.

use kernel::{Cx, Kind, Result, Tenant, Time};
use storage::{Change, Store, Target};

use crate::records::{self, Installation};
use crate::tidy;

/// Declares every collection of identity, as `start` does.
pub async fn define(store: &Store) -> Result<()> {
    records::define(store).await
}

/// When the installation that stands here was founded, to the microsecond: tells one from another. None where none stands.
pub async fn founded(store: &Store) -> Result<Option<Time>> {
    let found = store.get::<Installation>(&cx(), Installation::ID).await?;
    Ok(found.map(|installation| Time::from_micros(installation.body.created_at)))
}

/// Ends every session of every app: after a restore nobody can tell which of them were ended since the backup. Without an
/// installation there are none.
pub async fn end_sessions(store: &Store) -> Result<()> {
    let target = Target { id: Installation::ID, name: "the installation" };
    let raised = |seen: &Installation| Ok(Change::of(Installation { epoch: seen.epoch + 1, ..seen.clone() }));
    match store.change(&cx(), target, None, None, raised).await {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        changed => changed.map(drop),
    }
}

/// The consumer groups that it has where it runs.
pub fn groups() -> Vec<::events::Group> {
    vec![::events::Group { name: tidy::NAME, kinds: &tidy::KINDS }]
}

fn cx() -> Cx {
    Cx::system(Tenant::system(), "offline")
}
