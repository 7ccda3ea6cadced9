//! The node's configuration: one TOML file, the environment on top, flags last. The only place that reads any of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kernel::{Error, Result};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::{catalog, secrets};

/// Names of environment variables begin with this; `__` separates the levels: `MOZAIKS_LISTEN__GATEWAY`.
pub(crate) const PREFIX: &str = "MOZAIKS_";

/// Everything that can be set. Unknown keys are errors.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Folder of the database, keys, lock and control socket.
    pub(crate) data_dir: PathBuf,
    /// Refuses what is only fit for trying out, such as a master key made on first start.
    pub(crate) production: bool,
    /// Allows plaintext on an address that is not loopback: for a proxy with TLS before it.
    pub(crate) insecure: bool,
    /// What runs in this process: `gateway`, `identity`. Empty = everything. Named services also listen for their peers.
    pub(crate) services: Vec<String>,
    /// Address under which browsers reach the gateway, such as `https://id.example.com`. Empty = the bound address.
    pub(crate) public_url: String,
    /// File of the master key: 64 hexadecimal digits, mode 0600. Empty = `master.key` in the data folder.
    pub(crate) master_key_file: PathBuf,
    /// Seconds of normal service after SIGTERM, while routers notice.
    pub(crate) drain_seconds: u64,
    /// Log filter, such as `info` or `info,rpc=debug`.
    pub(crate) log: String,
    /// For tests: a file holding seconds that are added to the clock. Refused in production.
    pub(crate) test_clock_file: PathBuf,
    pub(crate) listen: Listen,
    pub(crate) peers: Peers,
    pub(crate) store: Store,
    pub(crate) events: Events,
    pub(crate) identity: identity::Config,
    pub(crate) gateway: Gateway,
}

/// Addresses to listen on; port 0 takes a free one.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listen {
    /// Gateway and shell.
    pub(crate) gateway: String,
    /// Reflection, health and the operators' pages. Loopback only.
    pub(crate) admin: String,
    /// Identity, for its peers, where `services` names it. Whoever reaches it is believed to be one.
    pub(crate) identity: String,
}

/// Where services run that do not run here: `static:host:port,…`, or `dns:///host:port` for every address of a name.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Peers {
    pub(crate) identity: String,
}

/// How documents are kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Store {
    /// `sqlite`: in the data folder, for one process. `mongodb`: for any number of them.
    pub(crate) engine: Engine,
    /// Of SQLite. `full`: an acknowledged change survives a power cut. `normal`: it survives a crash of the process only.
    pub(crate) durability: Durability,
    /// Address of MongoDB with its credentials.
    pub(crate) uri: String,
    /// A file that holds it instead, mode 0600.
    pub(crate) uri_file: PathBuf,
    /// Database of MongoDB.
    pub(crate) database: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    Sqlite,
    MongoDb,
}

/// How events travel.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Events {
    /// Address of RabbitMQ with its credentials. Empty = events stay in the process.
    pub(crate) broker: String,
    /// A file that holds it instead, mode 0600.
    pub(crate) broker_file: PathBuf,
    /// First part of the names of queues and exchanges: installations that share a broker differ in it.
    pub(crate) namespace: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    Full,
    Normal,
}

/// The door for browsers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Gateway {
    /// Origins besides our own that may call from a browser.
    pub(crate) origins: Vec<String>,
    /// Addresses or networks of proxies whose `x-forwarded-for` is believed.
    pub(crate) trusted_proxies: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "data".into(),
            production: false,
            insecure: false,
            services: Vec::new(),
            public_url: String::new(),
            master_key_file: PathBuf::new(),
            drain_seconds: 5,
            log: "info".into(),
            test_clock_file: PathBuf::new(),
            listen: Listen::default(),
            peers: Peers::default(),
            store: Store::default(),
            events: Events::default(),
            identity: identity::Config::default(),
            gateway: Gateway::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self { gateway: "127.0.0.1:8010".into(), admin: "127.0.0.1:8019".into(), identity: "127.0.0.1:8001".into() }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            engine: Engine::Sqlite,
            durability: Durability::Full,
            uri: String::new(),
            uri_file: PathBuf::new(),
            database: "mozaiks".into(),
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { broker: String::new(), broker_file: PathBuf::new(), namespace: "mozaiks".into() }
    }
}

/// A configuration and, for each key that was set, who set it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) origins: BTreeMap<String, String>,
}

/// Where settings come from, the later ones winning.
#[derive(Debug, Default)]
pub(crate) struct Sources<'a> {
    /// What the command sets unless somebody says otherwise.
    pub(crate) command: &'a [(&'static str, &'static str)],
    pub(crate) file: Option<&'a Path>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) flags: Vec<(String, String)>,
}

/// Reads all sources. Errors: `CONFIG_INVALID` naming every fault.
pub(crate) fn load(sources: Sources<'_>) -> Result<Loaded> {
    let mut table = Table::new();
    let mut origins = BTreeMap::new();
    for (path, value) in sources.command {
        set(&mut table, path, value)?;
        origins.insert((*path).to_owned(), "this command".into());
    }
    if let Some(file) = sources.file {
        let text = std::fs::read_to_string(file).map_err(|cause| invalid(format!("{} cannot be read", file.display())).because(cause))?;
        let read: Table = text.parse().map_err(|cause| invalid(format!("{} is no TOML: {cause}", file.display())))?;
        note(&read, "", &file.display().to_string(), &mut origins);
        merge(&mut table, read);
    }
    for (name, value) in sources.environment {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let path = path.to_lowercase().replace("__", ".");
        set(&mut table, &path, &value)?;
        origins.insert(path, name);
    }
    for (path, value) in sources.flags {
        set(&mut table, &path, &value)?;
        origins.insert(path, "command line".into());
    }
    check_known(&table, &origins)?;
    let config: Config = Value::Table(table).try_into().map_err(|cause| invalid(format!("{cause}")))?;
    config.check()?;
    Ok(Loaded { config, origins })
}

impl Config {
    /// Reports all faults at once. Errors: `CONFIG_INVALID`.
    fn check(&self) -> Result<()> {
        let mut faults = self.identity.check();
        faults.extend(self.address_faults());
        faults.extend(self.layout_faults());
        faults.extend(self.secret_faults());
        if self.production && !self.test_clock_file.as_os_str().is_empty() {
            faults.push("test_clock_file: refused in production".into());
        }
        faults.extend(self.gateway_config(&self.public_url).check().err().into_iter().flatten());
        let url = &self.public_url;
        if !url.is_empty() && (!(url.starts_with("http://") || url.starts_with("https://")) || url.ends_with('/')) {
            faults.push("public_url: must be http:// or https:// without a slash at its end".into());
        }
        if faults.is_empty() { Ok(()) } else { Err(invalid(faults.join("; "))) }
    }

    fn address_faults(&self) -> Vec<String> {
        let meshed = catalog::SERVICES.iter().map(|service| (format!("listen.{service}"), self.listens(service), !self.insecure));
        let own = [("listen.gateway", &self.listen.gateway, !self.insecure), ("listen.admin", &self.listen.admin, true)];
        let own = own.map(|(key, address, must)| (key.to_owned(), address.as_str(), must));
        let fault = |(key, address, must_be_loopback): (String, &str, bool)| match address.parse::<SocketAddr>() {
            Err(_) => Some(format!("{key}: {address:?} is no address such as 127.0.0.1:8010")),
            Ok(bound) if must_be_loopback && !bound.ip().is_loopback() => {
                let cure = "set `insecure = true` behind a proxy with TLS, or for peers in a network of their own";
                Some(format!("{key}: plaintext on {address}, which is not loopback; {cure}"))
            }
            Ok(_) => None,
        };
        own.into_iter().chain(meshed).filter_map(fault).collect()
    }

    /// The gateway's settings, once it is known where browsers reach it.
    pub(crate) fn gateway_config(&self, public_url: &str) -> gateway::Config {
        let own = Some(public_url.to_owned()).filter(|url| !url.is_empty());
        gateway::Config {
            public_origins: own.into_iter().chain(self.gateway.origins.iter().cloned()).collect(),
            trusted_proxies: self.gateway.trusted_proxies.clone(),
            secure_cookies: public_url.starts_with("https://"),
            bootstrap: serde_json::json!({ "app": "platform", "version": env!("CARGO_PKG_VERSION") }),
            ..gateway::Config::default()
        }
    }

    /// Where the master key stands.
    pub(crate) fn master_key_path(&self) -> PathBuf {
        if self.master_key_file.as_os_str().is_empty() { self.data_dir.join("master.key") } else { self.master_key_file.clone() }
    }
}

impl Loaded {
    /// One `key = value  # origin` line a key, secrets masked.
    pub(crate) fn print(&self) -> Result<String> {
        let table = Table::try_from(&self.config).map_err(|cause| invalid(format!("{cause}")))?;
        let mut lines = Vec::new();
        self.lines(&table, "", &mut lines);
        Ok(lines.join("\n"))
    }

    fn lines(&self, table: &Table, prefix: &str, lines: &mut Vec<String>) {
        for (key, value) in table {
            let path = format!("{prefix}{key}");
            match value {
                Value::Table(inner) => self.lines(inner, &format!("{path}."), lines),
                value => {
                    let origin = self.origins.get(&path).map_or("default", String::as_str);
                    let is_hidden = secrets::KEYS.contains(&path.as_str()) && value.as_str() != Some("");
                    let shown = if is_hidden { "\"***\"".to_owned() } else { value.to_string() };
                    lines.push(format!("{path} = {shown}  # {origin}"));
                }
            }
        }
    }
}

fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => drop(below.insert(key, value)),
        }
    }
}

fn note(table: &Table, prefix: &str, origin: &str, origins: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => note(inner, &format!("{path}."), origin, origins),
            _ => drop(origins.insert(path, origin.to_owned())),
        }
    }
}

/// Every key that was set must be one that there is. Errors: `CONFIG_INVALID` naming the others and who set them.
fn check_known(table: &Table, origins: &BTreeMap<String, String>) -> Result<()> {
    let mut set = BTreeMap::new();
    note(table, "", "", &mut set);
    let unknown = set.keys().filter(|path| default_of(path).is_none());
    let faults: Vec<String> =
        unknown.map(|path| format!("unknown key {path}, set by {}", origins.get(path).map_or("?", String::as_str))).collect();
    if faults.is_empty() { Ok(()) } else { Err(invalid(faults.join("; "))) }
}

/// What a key is when nobody sets it.
fn default_of(path: &str) -> Option<Value> {
    let mut at = Value::Table(Table::try_from(Config::default()).ok()?);
    for key in path.split('.') {
        at = at.as_table_mut()?.remove(key)?;
    }
    Some(at)
}

/// `a,b`, which a shell takes more kindly than `["a", "b"]`.
fn list(text: &str) -> Value {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
}

/// Sets a dotted path. A value is read as TOML (`true`, `5`, `["a"]`) unless the key holds text.
fn set(table: &mut Table, path: &str, value: &str) -> Result<()> {
    let mut at = table;
    let mut keys = path.split('.').peekable();
    while let Some(key) = keys.next() {
        if keys.peek().is_none() {
            let is_text = default_of(path).is_some_and(|default| default.is_str());
            let is_list = default_of(path).is_some_and(|default| default.is_array());
            let typed = format!("v = {value}").parse::<Table>().ok().and_then(|mut parsed| parsed.remove("v")).filter(|_| !is_text);
            let plain = || if is_list { list(value) } else { Value::String(value.to_owned()) };
            at.insert(key.to_owned(), typed.unwrap_or_else(plain));
            return Ok(());
        }
        let next = at.entry(key).or_insert_with(|| Value::Table(Table::new()));
        at = next.as_table_mut().ok_or_else(|| invalid(format!("{path}: {key} is a value, not a group")))?;
    }
    Ok(())
}

fn invalid(message: String) -> Error {
    Error::invalid("CONFIG_INVALID", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_env(vars: &[(&str, &str)]) -> Result<Loaded> {
        let environment = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(Sources { environment, ..Sources::default() })
    }

    #[test]
    fn later_sources_win_and_are_named() {
        let environment = vec![("MOZAIKS_LISTEN__GATEWAY".to_owned(), "127.0.0.1:1".to_owned()), ("PATH".to_owned(), "/bin".to_owned())];
        let command = &[("log", "warn"), ("listen.gateway", "127.0.0.1:9")];
        let loaded =
            load(Sources { command, environment, flags: vec![("listen.admin".into(), "127.0.0.1:2".into())], file: None }).unwrap();
        assert_eq!(loaded.config.log, "warn");
        assert_eq!((loaded.config.listen.gateway.as_str(), loaded.config.listen.admin.as_str()), ("127.0.0.1:1", "127.0.0.1:2"));
        let printed = loaded.print().unwrap();
        assert!(printed.contains("listen.gateway = \"127.0.0.1:1\"  # MOZAIKS_LISTEN__GATEWAY"), "{printed}");
        assert!(printed.contains("production = false  # default"), "{printed}");
    }

    #[test]
    fn unknown_keys_and_unsafe_values_are_errors() {
        let text = from_env(&[("MOZAIKS_DATA_DIR", "2024"), ("MOZAIKS_DRAIN_SECONDS", "5")]).unwrap().config;
        assert_eq!((text.data_dir.as_path(), text.drain_seconds), (Path::new("2024"), 5));
        assert!(from_env(&[("MOZAIKS_LISTNE__GATEWAY", "x")]).unwrap_err().message().contains("set by MOZAIKS_LISTNE__GATEWAY"));
        assert!(from_env(&[("MOZAIKS_GATEWAY__TRUSTED_PROXIES", "[\"x\"]")]).unwrap_err().message().contains("trusted_proxies"));
        for (name, value) in [
            ("MOZAIKS_LISTNE__GATEWAY", "x"),
            ("MOZAIKS_LISTEN__GATEWAY", "0.0.0.0:80"),
            ("MOZAIKS_PUBLIC_URL", "ftp://x"),
            ("MOZAIKS_PRODUCTION", "perhaps"),
        ] {
            assert_eq!(from_env(&[(name, value)]).unwrap_err().reason(), "CONFIG_INVALID", "{name}");
        }
        let both = from_env(&[("MOZAIKS_LISTEN__ADMIN", "0.0.0.0:1"), ("MOZAIKS_PUBLIC_URL", "x")]).unwrap_err();
        assert!(both.message().contains("listen.admin") && both.message().contains("public_url"));
        assert!(from_env(&[("MOZAIKS_PRODUCTION", "true"), ("MOZAIKS_TEST_CLOCK_FILE", "/x")]).is_err());
        assert_eq!(
            from_env(&[("MOZAIKS_GATEWAY__ORIGINS", "https://a.example, https://b.example")]).unwrap().config.gateway.origins.len(),
            2
        );
    }
}
