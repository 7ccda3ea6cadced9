//! The socket of a connection: its bytes counted, its end unhurried. Knows no protocol.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::traffic::{Traffic, add};

/// How long the other side may take to close after us.
const LINGER: Duration = Duration::from_millis(500);
/// What it may still send meanwhile, a request that was refused before it was read.
const LINGER_BYTES: usize = 256 * 1024;

/// A socket whose bytes are counted. Whoever still sends when it is closed reads the last answer before the reset that
/// bytes into nowhere cause.
pub(crate) struct Metered {
    socket: TcpStream,
    traffic: Arc<Traffic>,
    /// While it waits for the other side to close.
    linger: Option<Linger>,
}

struct Linger {
    timer: Pin<Box<Sleep>>,
    left_bytes: usize,
}

impl Metered {
    pub(crate) fn new(socket: TcpStream, traffic: Arc<Traffic>) -> Self {
        Self { socket, traffic, linger: None }
    }

    /// Reads into nowhere until the other side has closed, or has sent or waited for too long.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let begin = || Linger { timer: Box::pin(sleep(LINGER)), left_bytes: LINGER_BYTES };
        let linger = self.linger.get_or_insert_with(begin);
        let mut nowhere = [MaybeUninit::uninit(); 4 * 1024];
        while linger.left_bytes > 0 && linger.timer.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::uninit(&mut nowhere);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    add(&self.traffic.received_bytes, buffer.filled().len());
                    linger.left_bytes = linger.left_bytes.saturating_sub(buffer.filled().len());
                }
                // It has closed, or there is nobody any more.
                _ => break,
            }
        }
        Poll::Ready(())
    }

    fn sent(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            add(&self.traffic.sent_bytes, bytes);
        }
        written
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        add(&self.traffic.received_bytes, buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.sent(written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.sent(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        }
        self.poll_linger(cx).map(Ok)
    }
}
