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

/// What a raised epoch makes of a session: the same before and after its event has marked it as ended.
fn is_revoked(failure: &Failure) -> bool {
    failure.reason == "TOKEN_REVOKED"
}
