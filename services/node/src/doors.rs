//! The listeners of a node: bound early, so that an address in use ends the start before anything is opened.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Error, Result};
use rpc::{Caps, Http, Listener, Traffic};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::catalog::GATEWAY;
use crate::config::Config;

/// Longest time that calls in flight get once the doors are closed: after 5 s of notice, the process is gone within 25.
const FINISH: Duration = Duration::from_secs(19);
/// The name of the listener for operators.
pub(crate) const ADMIN: &str = "admin";

/// Bound listeners by the part that they lead to.
pub(crate) struct Doors(Vec<(&'static str, Listener)>);

impl Doors {
    /// Binds the gateway's where that runs here, one for each service that has peers, and the operators'. Errors:
    /// `ADDRESS_UNUSABLE`, `ADDRESS_EXPOSED`.
    pub(crate) async fn bind(config: &Config) -> Result<Self> {
        let caps = Caps { insecure: config.insecure, drain: FINISH, ..Caps::default() };
        let mut doors = Vec::new();
        if config.runs(GATEWAY) {
            doors.push((GATEWAY, Listener::bind(&config.listen.gateway, caps.clone()).await?));
        }
        for (service, address) in config.meshed() {
            let caps = Caps { insecure: config.insecure, drain: FINISH, budget: caps.budget.clone(), ..Caps::mesh() };
            doors.push((service, Listener::bind(address, caps).await?));
        }
        let caps = Caps { drain: FINISH, budget: caps.budget.clone(), ..Caps::default() };
        doors.push((ADMIN, Listener::bind(&config.listen.admin, caps).await?));
        Ok(Self(doors))
    }

    /// Where a part is reached, if it is reached by a door of its own.
    pub(crate) fn url(&self, part: &str) -> Option<String> {
        let (_, listener) = self.0.iter().find(|(name, _)| *name == part)?;
        Some(format!("http://{}", listener.address()))
    }

    /// What passes them, by name.
    pub(crate) fn traffic(&self) -> Vec<(&'static str, Arc<Traffic>)> {
        self.0.iter().map(|(name, listener)| (if *name == GATEWAY { "public" } else { *name }, listener.traffic())).collect()
    }

    /// The first line on stdout: whoever started us reads the addresses from it.
    pub(crate) fn announce(&self) -> Result<()> {
        let urls: Map<_, _> = self.0.iter().filter_map(|(name, _)| Some(((*name).to_owned(), Value::String(self.url(name)?)))).collect();
        let mut out = std::io::stdout().lock();
        let written = writeln!(out, "{}", Value::Object(urls)).and_then(|()| out.flush());
        written.map_err(|cause| Error::internal("STDOUT", "stdout is closed").because(cause))
    }

    /// Opens each to what stands behind it. Doors close when `stopped` says so; then they drain.
    pub(crate) fn open(self, behind: impl Fn(&str) -> Http, stopped: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
        let open = |(name, listener): (&'static str, Listener)| {
            let mut stopped = stopped.clone();
            tokio::spawn(listener.serve(behind(name), async move {
                // An error means that the sender is gone, which is a stop too.
                let _ = stopped.wait_for(|stop| *stop).await;
            }))
        };
        self.0.into_iter().map(open).collect()
    }
}
