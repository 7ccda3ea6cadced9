//! What the operator at the machine can ask of a running node, over a Unix socket in the data folder: one line of JSON asks,
//! lines of JSON answer. Whoever may open the folder may ask; there is no other credential. What is answered is in `desk`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kernel::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use crate::desk::Desk;

/// Longest line in either direction.
const MAX_LINE_BYTES: u64 = 16 * 1024;
/// Longest time until a question has come, and between two lines of an answer.
const LIMIT: Duration = Duration::from_secs(15);
/// Conversations at once; further ones wait at the socket.
const MAX_CONVERSATIONS: usize = 16;
/// Rows of an answer that wait to be written.
const ROWS_AHEAD: usize = 64;

/// A question.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// Whether somebody is there.
    Ping {},
    /// A one-time link for an operator: one row.
    InviteOperator {},
    /// Refuses all changes, or takes them again. Answered once no change is under way any more.
    ReadOnly {
        on: bool,
        /// It ends by itself after so long, so that nobody has to outlive whoever asked; 0 = when told.
        seconds: u64,
    },
    /// Documents whose events are parked, and how much waits besides: one row a document, one a collection.
    ListEvents {},
    /// Lets parked events be tried again: the number of documents as one row.
    ReplayEvents { of: Aggregate },
    /// Drops the events of a document: their number as one row.
    DropEvents { of: Aggregate },
}

/// A document by its full address, or all that are parked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Aggregate {
    One { collection: String, tenant: String, id: String },
    AllParked,
}

/// A line of an answer. The last one is `Done` or `Refused`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Row(Value),
    Done,
    /// Reason and message.
    Refused(String),
}

fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// Serves until dropped.
pub(crate) fn serve(data_dir: &Path, desk: Desk) -> Result<Server> {
    let path = socket(data_dir);
    let failed = |cause| Error::internal("CONTROL_SOCKET", format!("{} cannot be opened", path.display())).because(cause);
    // The store's lock is held, so a socket that is there is a dead process's.
    if path.exists() {
        fs::remove_file(&path).map_err(failed)?;
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(Server { path, task: tokio::spawn(accept(listener, Arc::new(desk))) })
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

async fn accept(listener: UnixListener, desk: Arc<Desk>) {
    let seats = Arc::new(Semaphore::new(MAX_CONVERSATIONS));
    loop {
        let Ok(seat) = seats.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = desk.clone();
                tokio::spawn(async move {
                    if let Err(cause) = converse(stream, desk).await {
                        tracing::debug!(%cause, "a conversation over the control socket broke off");
                    }
                    drop(seat);
                });
            }
            Err(cause) => {
                tracing::warn!(%cause, "control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, desk: Arc<Desk>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let line = next_line(&mut BufReader::new(read)).await?;
    let ask = match serde_json::from_str(&line) {
        Ok(ask) => ask,
        Err(cause) => return write_line(&mut write, &Line::Refused(format!("the question cannot be read: {cause}"))).await,
    };
    let (rows, mut told) = mpsc::channel(ROWS_AHEAD);
    let work = tokio::spawn(async move { desk.answer(ask, rows).await });
    while let Some(row) = told.recv().await {
        write_line(&mut write, &Line::Row(row)).await?;
    }
    let last = match work.await {
        Ok(Ok(())) => Line::Done,
        Ok(Err(error)) => {
            tracing::warn!(?error, "a question over the control socket was refused");
            Line::Refused(error.to_string())
        }
        Err(cause) => {
            tracing::error!(%cause, "an answer over the control socket panicked");
            Line::Refused("the node failed; its log says how".into())
        }
    };
    write_line(&mut write, &last).await
}

async fn next_line(read: &mut BufReader<OwnedReadHalf>) -> std::io::Result<String> {
    let mut line = String::new();
    let mut bounded = read.take(MAX_LINE_BYTES);
    tokio::time::timeout(LIMIT, bounded.read_line(&mut line)).await??;
    Ok(line)
}

async fn write_line<T: Serialize>(write: &mut OwnedWriteHalf, line: &T) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    tokio::time::timeout(LIMIT, write.write_all(&text)).await?
}

/// Asks the node that runs on this data folder; the rows of its answer, or none when no node runs.
/// Errors: `CONTROL_SOCKET` when it does not answer, or refuses in its own words.
pub(crate) async fn ask(data_dir: &Path, ask: &Ask) -> Result<Option<Vec<Value>>> {
    let failed = |cause| Error::unavailable("CONTROL_SOCKET", "the running node does not answer").because(cause);
    let stream = match UnixStream::connect(socket(data_dir)).await {
        Ok(stream) => stream,
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(cause) => return Err(failed(cause)),
    };
    let (read, mut write) = stream.into_split();
    write_line(&mut write, ask).await.map_err(failed)?;
    let (mut read, mut rows) = (BufReader::new(read), Vec::new());
    loop {
        let line = next_line(&mut read).await.map_err(failed)?;
        match serde_json::from_str(&line).map_err(|cause| failed(cause.into()))? {
            Line::Row(row) => rows.push(row),
            Line::Done => return Ok(Some(rows)),
            Line::Refused(why) => return Err(Error::unavailable("CONTROL_SOCKET", format!("the running node refuses: {why}"))),
        }
    }
}

/// Whether a node runs on this data folder.
pub(crate) async fn is_running(data_dir: &Path) -> Result<bool> {
    Ok(ask(data_dir, &Ask::Ping {}).await?.is_some())
}
