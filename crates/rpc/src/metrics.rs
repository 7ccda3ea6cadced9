//! A node in numbers, as Prometheus reads them. Every label comes from a closed set: a method of the contracts, a code, a
//! reason of ours, a listener. Never a tenant, never anything that a caller wrote.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use tokio::time::Instant;
use tonic::Code;

use crate::Body;
use crate::schema::{Method, Schema};
use crate::traffic::Traffic;

/// Upper bounds of the buckets, in milliseconds: a read, a durable write, a password, and what is too slow.
const BOUNDS_MILLISECONDS: [u64; 7] = [1, 5, 25, 100, 500, 2_500, 10_000];
/// Codes of gRPC, 0 to 16, by their names.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// One number of somebody else's, without labels. A name that ends in `_total` only ever grows.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// `[a-z][a-z0-9_]*`, its unit last.
    pub name: &'static str,
    /// One line that says what is counted.
    pub help: &'static str,
    /// The value now.
    pub value: f64,
}

/// What is told beside the calls themselves.
#[derive(Clone)]
pub struct Meters {
    /// The listeners of the process by name.
    pub listeners: Vec<(&'static str, Arc<Traffic>)>,
    /// Numbers of others, asked for at each reading: must be quick.
    pub others: Arc<dyn Fn() -> Vec<Number> + Send + Sync>,
}

impl Default for Meters {
    fn default() -> Self {
        Self { listeners: Vec::new(), others: Arc::new(Vec::new) }
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meters({:?})", self.listeners)
    }
}

/// What is counted of one method.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Calls by code.
    calls: [OnceLock<Box<Calls>>; CODES.len()],
    marks: [AtomicU64; Mark::ALL.len()],
}

/// What a door may notice of a call.
#[derive(Clone, Copy, Debug)]
pub enum Mark {
    /// Its method is on its way out.
    Deprecated,
    /// Its JSON was read or written by the dynamic codec.
    JsonFallback,
}

impl Mark {
    const ALL: [Self; 2] = [Self::Deprecated, Self::JsonFallback];

    fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Deprecated => ("deprecated_calls_total", "Calls of methods that are on their way out."),
            Self::JsonFallback => ("json_fallback_total", "JSON that the dynamic codec read or wrote, since no typed one could."),
        }
    }
}

impl Method {
    /// Counts a call that this was noticed of.
    pub fn mark(&self, mark: Mark) {
        self.meter.marks[mark as usize].fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Calls {
    microseconds: AtomicU64,
    /// Calls by the first bound that they stayed within; the last: by none.
    counts: [AtomicU64; BOUNDS_MILLISECONDS.len() + 1],
}

impl Meter {
    fn count(&self, code: Code, took: Duration) {
        let Some(slot) = usize::try_from(i32::from(code)).ok().and_then(|code| self.calls.get(code)) else { return };
        let calls = slot.get_or_init(Box::default);
        let within = BOUNDS_MILLISECONDS.iter().position(|bound| took <= Duration::from_millis(*bound));
        calls.microseconds.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        calls.counts[within.unwrap_or(BOUNDS_MILLISECONDS.len())].fetch_add(1, Ordering::Relaxed);
    }
}

/// Times one call. Whoever drops it before the end went away: CANCELLED.
pub(crate) struct Timer {
    method: Arc<Method>,
    began: Instant,
    code: Code,
}

impl Timer {
    /// Of a call that began then.
    pub(crate) fn start(method: Arc<Method>, began: Instant) -> Self {
        Self { method, began, code: Code::Cancelled }
    }

    /// The call ended like this.
    pub(crate) fn end(&mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.method.meter.count(self.code, self.began.elapsed());
    }
}

/// Failed calls by reason.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<&'static str, u64>>);

impl Refusals {
    pub(crate) fn count(&self, reason: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }
}

/// The answer to whoever reads the numbers.
pub(crate) fn answer(schema: &Schema, meters: &Meters) -> Response<Body> {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = calls(&mut text, schema)
        .and_then(|()| marks(&mut text, schema))
        .and_then(|()| refusals(&mut text, schema))
        .and_then(|()| others(&mut text, meters));
    let mut response = Response::new(Body::new(Full::new(text.into())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn calls(text: &mut String, schema: &Schema) -> fmt::Result {
    let name = "rpc_server_seconds";
    head(text, name, "histogram", "Time of calls, from their headers to the last byte of the answer.")?;
    for method in sorted(schema) {
        let rpc = method.path.trim_start_matches('/');
        let told = method.meter.calls.iter().zip(CODES).filter_map(|(calls, code)| Some((calls.get()?, code)));
        for (calls, code) in told {
            let labels = format!("rpc=\"{rpc}\",code=\"{code}\"");
            let mut total = 0;
            let bounds = BOUNDS_MILLISECONDS.iter().map(|bound| seconds(bound * 1_000)).chain(["+Inf".to_owned()]);
            for (count, bound) in calls.counts.iter().zip(bounds) {
                total += count.load(Ordering::Relaxed);
                writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}")?;
            }
            let sum = seconds(calls.microseconds.load(Ordering::Relaxed));
            writeln!(text, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {total}")?;
        }
    }
    Ok(())
}

fn sorted(schema: &Schema) -> Vec<&Arc<Method>> {
    let mut methods: Vec<_> = schema.methods().collect();
    methods.sort_by(|left, right| left.path.cmp(&right.path));
    methods
}

fn marks(text: &mut String, schema: &Schema) -> fmt::Result {
    for mark in Mark::ALL {
        let (name, help) = mark.name();
        head(text, name, "counter", help)?;
        for method in sorted(schema) {
            let count = method.meter.marks[mark as usize].load(Ordering::Relaxed);
            if count > 0 {
                writeln!(text, "{name}{{rpc=\"{}\"}} {count}", method.path.trim_start_matches('/'))?;
            }
        }
    }
    Ok(())
}

/// Microseconds as seconds, without the noise of binary fractions.
fn seconds(microseconds: u64) -> String {
    let text = format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn refusals(text: &mut String, schema: &Schema) -> fmt::Result {
    let name = "rpc_refused_total";
    head(text, name, "counter", "Failed calls by reason.")?;
    let counts = schema.refusals.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    counts.into_iter().try_for_each(|(reason, count)| writeln!(text, "{name}{{reason=\"{reason}\"}} {count}"))
}

fn others(text: &mut String, meters: &Meters) -> fmt::Result {
    let mut listeners: Vec<_> = meters.listeners.iter().map(|(listener, traffic)| (listener, traffic.numbers().into_iter())).collect();
    // One kind of number after another, each for every listener.
    for Number { name, help, .. } in Traffic::default().numbers() {
        head(text, name, kind(name), help)?;
        for (listener, numbers) in &mut listeners {
            let Some(Number { value, .. }) = numbers.next() else { continue };
            writeln!(text, "{name}{{listener=\"{listener}\"}} {value}")?;
        }
    }
    for Number { name, help, value } in (meters.others)() {
        head(text, name, kind(name), help)?;
        writeln!(text, "{name} {value}")?;
    }
    Ok(())
}

fn kind(name: &str) -> &'static str {
    if name.ends_with("_total") { "counter" } else { "gauge" }
}
