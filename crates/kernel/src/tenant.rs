//! The tenant: the app to which a document, a person or a call belongs.

use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// An app id: `[a-z][a-z0-9-]{2,39}`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// Reads an app id. Errors: `APP_ID_INVALID`.
    pub fn parse(id: &str) -> Result<Self> {
        let bytes = id.as_bytes();
        let shape = bytes.first().is_some_and(u8::is_ascii_lowercase)
            && (3..=40).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        if !shape {
            return Err(Error::invalid("APP_ID_INVALID", "an app id is [a-z][a-z0-9-]{2,39}"));
        }
        Ok(Self(id.into()))
    }

    /// The scope of documents that belong to the whole installation, such as the directory of apps.
    pub fn system() -> Self {
        Self("system".into())
    }

    /// The app whose staff operate the installation.
    pub fn platform() -> Self {
        Self("platform".into())
    }

    /// Whether nobody may create an app of this id.
    pub fn is_reserved(&self) -> bool {
        matches!(&*self.0, "system" | "platform")
    }

    /// The bare app id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The app's resource name, `apps/{app}`.
    pub fn name(&self) -> String {
        format!("apps/{}", self.0)
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({})", self.0)
    }
}
