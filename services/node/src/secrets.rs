//! Settings that are secrets: each given as such, or by a file that nobody else may read. Never printed, never in an error.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kernel::{Error, Result};

use crate::config::{Config, Engine};

/// The keys whose values are masked wherever the configuration is shown.
pub(crate) const KEYS: [&str; 2] = ["store.uri", "events.broker"];

impl Config {
    /// Whether each secret is given once, and where it is needed.
    pub(crate) fn secret_faults(&self) -> Vec<String> {
        let uri = (&self.store.uri, self.store.uri_file.as_path());
        let twice = [("store.uri", uri), ("events.broker", (&self.events.broker, self.events.broker_file.as_path()))];
        let twice = twice.into_iter().filter(|(_, (value, file))| !value.is_empty() && !is_empty(file));
        let mut faults: Vec<_> = twice.map(|(key, _)| format!("{key}: set it or {key}_file, not both")).collect();
        if self.store.engine == Engine::MongoDb {
            if uri.0.is_empty() && is_empty(uri.1) {
                faults.push("store.uri: needed for mongodb, or store.uri_file".into());
            }
            if self.store.database.is_empty() {
                faults.push("store.database: needed for mongodb".into());
            }
        }
        faults
    }

    /// Address of MongoDB. Errors: as `broker`.
    pub(crate) fn store_uri(&self) -> Result<String> {
        secret(&self.store.uri, &self.store.uri_file)
    }

    /// Address of the broker; none without one. Errors: `SECRET_UNREADABLE`, `SECRET_EXPOSED`.
    pub(crate) fn broker(&self) -> Result<Option<String>> {
        let broker = secret(&self.events.broker, &self.events.broker_file)?;
        Ok(Some(broker).filter(|broker| !broker.is_empty()))
    }
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// The value, or what a file of one's own says. Errors: `SECRET_UNREADABLE`, `SECRET_EXPOSED`.
pub(crate) fn secret(value: &str, file: &Path) -> Result<String> {
    if is_empty(file) {
        return Ok(value.to_owned());
    }
    let unreadable = |cause| Error::refused("SECRET_UNREADABLE", format!("{} cannot be read", file.display())).because(cause);
    let mode = fs::metadata(file).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::refused("SECRET_EXPOSED", format!("{} may be read by others; run chmod 600 on it", file.display())));
    }
    Ok(fs::read_to_string(file).map_err(unreadable)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_secret_comes_once_and_from_a_file_of_ones_own() {
        let file = std::env::temp_dir().join(format!("mozaiks-secret-{}", std::process::id()));
        fs::write(&file, "amqp://ann:hidden@localhost\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let mut config = Config::default();
        config.events.broker_file = file.clone();
        let exposed = config.broker().unwrap_err();
        assert_eq!((exposed.reason(), exposed.message().contains("hidden")), ("SECRET_EXPOSED", false));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(config.broker().unwrap().as_deref(), Some("amqp://ann:hidden@localhost"));
        config.events.broker = "amqp://localhost".into();
        assert!(config.secret_faults().join("; ").contains("events.broker: set it or events.broker_file"));
        fs::remove_file(&file).unwrap();
        config.events = crate::config::Events { broker_file: file, ..Default::default() };
        assert_eq!(config.broker().unwrap_err().reason(), "SECRET_UNREADABLE");
        config.events.broker_file = PathBuf::new();
        config.store.engine = Engine::MongoDb;
        assert!(config.secret_faults().join("; ").contains("store.uri: needed for mongodb"));
        assert_eq!(config.broker().unwrap(), None);
    }
}
