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
