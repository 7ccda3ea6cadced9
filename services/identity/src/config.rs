//! What of identity an operator can set, with defaults and their reasons. Plain data; node reads the files.

use serde::{Deserialize, Serialize};

/// Settings of the identity service. Unknown keys are errors.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether every person of the platform app may create apps. On: an installation is useful without an operator.
    pub self_service: bool,
    /// Whether people may register themselves without an invitation.
    pub registration_open: bool,
    /// Threads that hash passwords; each holds 46 MiB while in use. 0 = one a core.
    pub hashing_threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { self_service: true, registration_open: true, hashing_threads: 0 }
    }
}

impl Config {
    /// Everything that is wrong with these settings, each as `key: what`.
    pub fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.hashing_threads > 64 {
            faults.push("identity.hashing_threads: at most 64, each takes 46 MiB".to_owned());
        }
        faults
    }
}
