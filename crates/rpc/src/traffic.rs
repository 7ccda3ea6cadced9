//! What passes a listener, counted: connections, calls, bytes. Counts and judges nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::Number;

/// The counters of one listener, from when it was bound.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Connections let in.
    pub(crate) connections: AtomicU64,
    /// Connections closed again, of those let in.
    pub(crate) closed: AtomicU64,
    /// Connections turned away at once.
    pub(crate) refused: AtomicU64,
    /// Connections ended while calls were in flight.
    pub(crate) cut: AtomicU64,
    /// Calls begun.
    pub(crate) calls: AtomicU64,
    /// Calls over, of those begun.
    pub(crate) over: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
}

impl Traffic {
    pub(crate) fn numbers(&self) -> [Number; 8] {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let now = |begun: &AtomicU64, over: &AtomicU64| load(begun).saturating_sub(load(over));
        [
            Number::count("rpc_connections_open", "Connections now.", now(&self.connections, &self.closed)),
            Number::count("rpc_connections_total", "Connections let in.", load(&self.connections)),
            Number::count("rpc_connections_refused_total", "Connections turned away: too many.", load(&self.refused)),
            Number::count("rpc_connections_cut_total", "Connections ended with calls in flight.", load(&self.cut)),
            Number::count("rpc_streams_open", "Requests in flight.", now(&self.calls, &self.over)),
            Number::count("rpc_streams_total", "Requests begun.", load(&self.calls)),
            Number::count("rpc_received_bytes_total", "Bytes read from sockets.", load(&self.received_bytes)),
            Number::count("rpc_sent_bytes_total", "Bytes written to sockets.", load(&self.sent_bytes)),
        ]
    }
}

pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
}
