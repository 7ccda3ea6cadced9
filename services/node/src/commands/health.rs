//! `mozaiks health`: for probes in containers; asks the admin listener of this machine, so no extra port is opened.

use std::time::Duration;

use kernel::{Error, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::config::Config;

/// Longest time a healthy node takes to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Errors: `NOT_HEALTHY` when the node does not answer well within 2 s.
pub(super) async fn run(config: &Config, ready: bool) -> Result<()> {
    let path = if ready { "/readyz" } else { "/healthz" };
    let unwell = || Error::unavailable("NOT_HEALTHY", format!("{path} on {} does not answer 200", config.listen.admin));
    let status = tokio::time::timeout(LIMIT, status(&config.listen.admin, path)).await.map_err(|_| unwell())?;
    match status {
        Ok(line) if line.split(' ').nth(1) == Some("200") => Ok(()),
        Ok(_) => Err(unwell()),
        Err(cause) => Err(unwell().because(cause)),
    }
}

async fn status(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
