//! What the gateway is told by whoever starts it. Plain data; must not read the environment.

use serde::{Deserialize, Serialize};

use crate::address::Net;

/// Settings of the gateway.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Origins of our pages besides the host that was asked, such as `https://app.example.com`. They may call with
    /// credentials.
    pub public_origins: Vec<String>,
    /// Addresses (`10.0.0.1`) or networks (`10.0.0.0/8`) of proxies whose `x-forwarded-for` is believed.
    pub trusted_proxies: Vec<String>,
    /// Browsers reach us over TLS. False only on loopback.
    pub secure_cookies: bool,
    /// How long browsers keep the session cookie: the longest that any session lives, since the token in it ends by itself.
    pub cookie_max_age_seconds: u32,
    /// Data written into the shell's document. Everybody can read it.
    pub bootstrap: serde_json::Value,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            secure_cookies: true,
            cookie_max_age_seconds: 30 * 24 * 60 * 60,
            bootstrap: serde_json::Value::Object(serde_json::Map::new()),
        }
    }
}

impl Config {
    /// Errors: everything that is wrong, at once.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let origins = self.public_origins.iter().filter(|origin| !is_origin(origin));
        let mut faults: Vec<String> = origins.map(|origin| format!("public_origins: {origin} is not scheme://host[:port]")).collect();
        let proxies = self.trusted_proxies.iter().filter(|proxy| proxy.parse::<Net>().is_err());
        faults.extend(proxies.map(|proxy| format!("trusted_proxies: {proxy} is neither an address nor a network")));
        if self.cookie_max_age_seconds == 0 {
            faults.push("cookie_max_age_seconds: must be at least 1".to_owned());
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    pub(crate) fn proxies(&self) -> Vec<Net> {
        self.trusted_proxies.iter().filter_map(|proxy| proxy.parse().ok()).collect()
    }
}

/// As browsers write them: lower case, no path.
fn is_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let is_host = |host: &str| host.parse::<http::uri::Authority>().is_ok_and(|authority| !authority.as_str().contains('@'));
    host.is_some_and(is_host) && !origin.bytes().any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn all_faults_are_told_at_once() {
        assert!(Config::default().check().is_ok());
        let good = ["https://app.example.com", "http://localhost:3000", "https://[::1]:8010"].map(str::to_owned).to_vec();
        assert!(
            Config { public_origins: good, trusted_proxies: vec!["10.0.0.0/8".into(), "::1".into()], ..Config::default() }.check().is_ok()
        );
        let bad = ["*", "app.example.com", "https://", "https://a/", "https://a/b", "https://A", "null", "https://u@a"]
            .map(str::to_owned)
            .to_vec();
        let config =
            Config { public_origins: bad, trusted_proxies: vec!["10.0.0.0/99".into()], cookie_max_age_seconds: 0, ..Config::default() };
        assert_eq!(config.check().unwrap_err().len(), 10);
    }
}
