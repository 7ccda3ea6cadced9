//! The door from outside: gRPC, gRPC-Web and REST in, gRPC to the peers out, and the embedded shell. Started by node alone.
//! Holds no code for any single RPC: everything derives from the `Schema`.

mod address;
mod assets;
mod call;
mod config;
mod cors;
mod envelope;
mod front;
mod headers;
mod json;
mod openapi;
mod protobuf;
mod refuse;
mod rules;
mod session;
mod shell;
mod stability;
mod wires;

#[cfg(any(test, feature = "fuzzing"))]
#[path = "../tests/corpora/targets.rs"]
#[allow(clippy::unwrap_used)] // compiled for tests and gateway/fuzz alone
pub mod targets;

#[cfg(test)]
#[path = "../tests/corpora/replay.rs"]
#[allow(clippy::unwrap_used)]
mod replay;

use std::sync::Arc;

use kernel::Error;
use tokio::sync::watch;

pub use config::Config;
pub use openapi::openapi;
pub use rules::{Rule, Rules, rules};

use cors::Origins;
use front::Front;
use openapi::Document;
use session::Sessions;
use shell::Bootstrap;
use stability::Notices;

/// What the gateway is made from.
#[derive(Debug)]
pub struct Start {
    /// Settings.
    pub config: Config,
    /// The contracts.
    pub schema: Arc<rpc::Schema>,
    /// The way to the services, by area.
    pub hub: rpc::Hub,
    /// What `/readyz` says.
    pub ready: watch::Receiver<bool>,
}

/// Put into a request's extensions by the admin listener: there, operators' methods are served too, and the shell is told.
#[derive(Clone, Copy, Debug)]
pub struct Admin;

/// Makes the gateway; it never fails as a transport. Errors: `CONFIG_INVALID` with all faults of the settings and of the
/// contracts' rules at once.
pub fn start(start: Start) -> kernel::Result<rpc::Http> {
    let Start { config, schema, hub, ready, .. } = start;
    let rules = rules(&schema);
    let sessions = Sessions::of(&schema, config.secure_cookies, config.cookie_max_age_seconds);
    let notices = Notices::of(&schema);
    let checked = config.check();
    let (rules, sessions, notices) = match (rules, sessions, notices, checked) {
        (Ok(rules), Ok(sessions), Ok(notices), Ok(())) => (rules, sessions, notices),
        (rules, sessions, notices, checked) => {
            let faults = [rules.err(), sessions.err(), notices.err(), checked.err()].into_iter().flatten().flatten();
            return Err(Error::invalid("CONFIG_INVALID", faults.collect::<Vec<_>>().join("\n")));
        }
    };
    let document = Document::of(&openapi::describe(&schema, &rules));
    let scheme = if config.secure_cookies { "https" } else { "http" };
    let (proxies, bootstrap) = (config.proxies(), Bootstrap::of(config.bootstrap));
    let origins = Origins { public: config.public_origins, scheme };
    let front = Arc::new(Front { schema, rules, sessions, notices, document, origins, proxies, hub, ready, bootstrap });
    Ok(rpc::Http::of(move |request| {
        let front = front.clone();
        async move { front.answer(request).await }
    }))
}
