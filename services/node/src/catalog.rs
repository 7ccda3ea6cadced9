//! Which services run in this node. A new service is one more entry here.

use std::sync::Arc;

use kernel::{Clock, Result};
use rpc::{Hub, Schema, Stack};
use storage::Store;

use crate::config::Config;
use crate::keys::Master;

/// What every service is started with.
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    pub(crate) public_url: &'a str,
    pub(crate) schema: Arc<Schema>,
    pub(crate) store: Store,
    pub(crate) master: &'a Master,
    pub(crate) clock: Clock,
}

/// Starts the services and makes them reachable through the hub.
pub(crate) async fn start(shared: Shared<'_>, hub: &Hub) -> Result<identity::Operators> {
    let identity = identity::start(identity::Start {
        config: shared.config.identity.clone(),
        public_url: shared.public_url.to_owned(),
        store: shared.store,
        sealing_key: shared.master.derive("identity sealing")?,
        clock: shared.clock.clone(),
    })
    .await?;
    let stack = Stack { schema: shared.schema, verifier: identity.verifier, clock: shared.clock };
    hub.install(identity.service.name, stack.wrap(identity.service));
    Ok(identity.operators)
}
