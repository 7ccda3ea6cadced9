//! One file a proto service of identity.

mod apps;
mod auth;
mod installation;
mod me;
mod operators;
mod sessions;
mod signing_keys;
mod tokens;
mod users;

use crate::wires::Failure;

/// A session that its person's or app's epoch ended: told by the epoch, or by the session once the event has reached it.
fn has_ended(failure: &Failure) -> bool {
    ["TOKEN_REVOKED", "SESSION_ENDED"].contains(&failure.reason.as_str())
}
