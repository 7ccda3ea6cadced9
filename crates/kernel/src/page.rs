//! One page of a list, as asked for.

use crate::{Error, Result};

/// What a list request says about paging. The token is opaque here; storage seals and opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Items wanted, 1 to 1,000.
    pub size: usize,
    /// Where to go on; empty = from the start.
    pub token: String,
}

impl Page {
    /// Items of a page when the caller names no size.
    pub const DEFAULT_SIZE: usize = 50;
    /// Most items of a page; larger wishes are cut to it.
    pub const MAX_SIZE: usize = 1_000;

    /// Reads `page_size` and `page_token`. Errors: `PAGE_SIZE` when negative.
    pub fn of(size: i32, token: impl Into<String>) -> Result<Self> {
        let size = match usize::try_from(size) {
            Ok(0) => Self::DEFAULT_SIZE,
            Ok(size) => size.min(Self::MAX_SIZE),
            Err(_) => return Err(Error::invalid("PAGE_SIZE", "page_size is negative").field("page_size", "must not be negative")),
        };
        Ok(Self { size, token: token.into() })
    }
}
