//! One connection to a server and one call over it, without a framework. Knows no method.
#![allow(dead_code)] // each bench uses its part

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// A whole request; cheap to clone.
pub type Ask = Request<Full<Bytes>>;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

/// A connection over HTTP/1.1, or one stream of a connection over HTTP/2.
pub enum Line {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

impl Line {
    pub async fn open(address: &str, version: Version) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = TokioIo::new(stream);
        if version == Version::HTTP_2 {
            let (line, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
            tokio::spawn(connection);
            return Self::H2(line);
        }
        let (line, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self::H1(line)
    }

    /// As many lines over the same connection, if the protocol can.
    pub fn streams(self, count: usize) -> Vec<Self> {
        match self {
            Self::H2(line) => std::iter::repeat_with(|| Self::H2(line.clone())).take(count).collect(),
            line @ Self::H1(_) => vec![line],
        }
    }

    pub async fn call(&mut self, ask: Ask) -> Answer {
        let response = match self {
            Self::H1(line) => {
                line.ready().await.unwrap();
                line.send_request(ask).await.unwrap()
            }
            Self::H2(line) => {
                line.ready().await.unwrap();
                line.send_request(ask).await.unwrap()
            }
        };
        let status = response.status();
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Answer { status, body: collected.to_bytes(), trailers }
    }
}
