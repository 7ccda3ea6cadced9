//! What stands behind the nodes of the wire suite, as `WIRE_ENGINE` (`sqlite`, `mongo`) and `WIRE_BROKER` (`rabbitmq`) say:
//! servers of the tests, started once for the whole run, and what a node is told of them.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::LazyLock;

/// A server of the tests; it ends when its standard input does, which is with this process.
struct Server {
    uri: String,
    _child: Child,
    _input: ChildStdin,
}

static MONGO: LazyLock<String> = LazyLock::new(|| match std::env::var("STORE_TEST_MONGODB_URI") {
    Ok(uri) if !uri.is_empty() => uri,
    _ => {
        static STARTED: LazyLock<Server> = LazyLock::new(|| Server::start("secantus.sh"));
        STARTED.uri.clone()
    }
});

#[allow(clippy::zombie_processes)] // the shell outlives this process
static RABBIT: LazyLock<String> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("wire-rabbitmq-{}", std::process::id()));
    let started = Command::new(script("rabbitmq.sh")).arg("start").arg(&folder).output().unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    // Nothing of ours runs when the tests have ended: a shell waits for that, and ends the broker.
    let wait = format!(
        "while kill -0 {} 2>/dev/null; do sleep 1; done; {} stop {}",
        std::process::id(),
        script("rabbitmq.sh").display(),
        folder.display()
    );
    Command::new("sh").args(["-c", &wait]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    String::from_utf8(started.stdout).unwrap().trim().to_owned()
});

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/test").join(name)
}

impl Server {
    fn start(name: &str) -> Self {
        let mut child = Command::new(script(name)).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut uri = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut uri).unwrap();
        assert!(uri.starts_with("mongodb://"), "{name} did not start: {uri:?}");
        let input = child.stdin.take().unwrap();
        Self { uri: uri.trim().to_owned(), _child: child, _input: input }
    }
}

/// A broker of the tests. None where RabbitMQ is not installed.
pub fn broker() -> Option<&'static str> {
    Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").exists().then(|| RABBIT.as_str())
}

fn asked(variable: &str, usual: &str) -> String {
    std::env::var(variable).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| usual.to_owned())
}

/// Whether the stores of this run are files in the folders of their nodes.
pub fn in_folders() -> bool {
    asked("WIRE_ENGINE", "sqlite") == "sqlite"
}

/// What the node of this folder is told. A folder that is used again has the same store.
pub fn settings(folder: &Path) -> Vec<(String, String)> {
    let name = folder.file_name().unwrap().to_str().unwrap().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
    let mut told = Vec::new();
    let mut tell = |key: &str, value: &str| told.push((key.to_owned(), value.to_owned()));
    match asked("WIRE_ENGINE", "sqlite").as_str() {
        "sqlite" => {}
        "mongo" => {
            master_key(folder);
            tell("MOZAIKS_STORE__ENGINE", "mongodb");
            tell("MOZAIKS_STORE__URI", &MONGO);
            tell("MOZAIKS_STORE__DATABASE", &name);
        }
        other => panic!("WIRE_ENGINE is sqlite or mongo, not {other}"),
    }
    match asked("WIRE_BROKER", "none").as_str() {
        "none" => {}
        "rabbitmq" => {
            tell("MOZAIKS_EVENTS__BROKER", &RABBIT);
            tell("MOZAIKS_EVENTS__NAMESPACE", &name);
        }
        other => panic!("WIRE_BROKER is none or rabbitmq, not {other}"),
    }
    told
}

/// Beside a server nobody makes one.
fn master_key(folder: &Path) {
    let file = folder.join("master.key");
    if !file.exists() {
        std::fs::write(&file, "0123456789abcdef".repeat(4)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}
