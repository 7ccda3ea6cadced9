//! The rules of identity: synchronous and pure, with time and randomness as arguments. Nothing here knows of storage,
//! transport or threads.

pub(crate) mod app;
pub(crate) mod email;
pub(crate) mod guard;
pub(crate) mod mac;
pub(crate) mod membership;
pub(crate) mod password;
pub(crate) mod refresh;
pub(crate) mod role;
pub(crate) mod session;
pub(crate) mod signing_key;
pub(crate) mod source;
pub(crate) mod team;
pub(crate) mod text;
pub(crate) mod token;
pub(crate) mod user;
