//! One file a proto service of identity.

mod apps;
mod auth;
mod me;
mod operators;
mod signing_keys;
mod tokens;
