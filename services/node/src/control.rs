//! What the operator at the machine itself can ask of a running node: one line over a Unix socket in the data folder.
//! Whoever may open the folder may ask; there is no other credential.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kernel::{Error, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Longest line in either direction.
const MAX_LINE_BYTES: u64 = 4096;
/// Longest time one conversation takes.
const LIMIT: Duration = Duration::from_secs(10);

/// An answer: one of the two fields is set.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Answer {
    #[serde(default)]
    pub(crate) link: Option<String>,
    #[serde(default)]
    pub(crate) error: Option<String>,
}

fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// Serves until dropped.
pub(crate) fn serve(data_dir: &Path, operators: identity::Operators, public_url: String) -> Result<Server> {
    let path = socket(data_dir);
    let failed = |cause| Error::internal("CONTROL_SOCKET", format!("{} cannot be opened", path.display())).because(cause);
    // The store's lock is held, so a socket that is there is a dead process's.
    if path.exists() {
        fs::remove_file(&path).map_err(failed)?;
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let task = tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(tokio::time::timeout(LIMIT, converse(stream, operators.clone(), public_url.clone())))),
                Err(cause) => {
                    tracing::warn!(%cause, "control socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(Server { path, task })
}

/// A control socket that is open; dropping it closes and removes it.
pub(crate) struct Server {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(cause) = fs::remove_file(&self.path) {
            tracing::warn!(%cause, "control socket cannot be removed");
        }
    }
}

async fn converse(stream: UnixStream, operators: identity::Operators, public_url: String) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_LINE_BYTES)).read_line(&mut line).await?;
    let answer = match line.trim() {
        "operator invite" => match operators.invite().await {
            Ok(invitation) => Answer { link: Some(link(&public_url, &invitation)), error: None },
            Err(error) => Answer { link: None, error: Some(error.to_string()) },
        },
        "ping" => Answer::default(),
        _ => Answer { link: None, error: Some("unknown command".into()) },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write.write_all(&text).await
}

/// Asks the node that runs on this data folder; none when no node does.
pub(crate) async fn ask(data_dir: &Path, line: &str) -> Result<Option<Answer>> {
    let failed = |cause| Error::unavailable("CONTROL_SOCKET", "the running node does not answer").because(cause);
    let stream = match UnixStream::connect(socket(data_dir)).await {
        Ok(stream) => stream,
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(cause) => return Err(failed(cause)),
    };
    let exchange = async {
        let (read, mut write) = stream.into_split();
        write.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(read.take(MAX_LINE_BYTES)).read_line(&mut answer).await?;
        Ok::<_, std::io::Error>(serde_json::from_str(&answer)?)
    };
    let answer = tokio::time::timeout(LIMIT, exchange).await.map_err(|_| Error::timeout())?;
    answer.map(Some).map_err(failed)
}

/// Where a browser redeems an invitation. The secret stands in the fragment, which no server sees.
pub(crate) fn link(public_url: &str, invitation: &str) -> String {
    format!("{public_url}/register#invitation={invitation}")
}
