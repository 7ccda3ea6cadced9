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

impl Number {
    /// A number of things.
    pub fn count(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, value: value as f64 }
    }
}

/// How values of somebody else's were spread, without labels.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// `[a-z][a-z0-9_]*`, its unit last.
    pub name: &'static str,
    /// One line that says what is measured.
    pub help: &'static str,
    /// Upper bounds, inclusive, from the least on.
    pub bounds: Vec<f64>,
    /// Values of each bucket, not added up: one for each bound, and a last one for what is above all of them.
    pub counts: Vec<u64>,
    /// Of all values.
    pub sum: f64,
}

/// What somebody counts, read at one moment.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Plain numbers.
    pub numbers: Vec<Number>,
    /// Spreads.
    pub histograms: Vec<Histogram>,
}

/// Reads what somebody counts. Must be quick.
pub type Reader = Arc<dyn Fn() -> Reading + Send + Sync>;

/// How long something took, each time that it was done.
#[derive(Debug, Default)]
pub struct Times {
    microseconds: AtomicU64,
    /// Times by the first bound that they stayed within; the last: by none.
    counts: [AtomicU64; BOUNDS_MILLISECONDS.len() + 1],
}

impl Times {
    /// It was done once more.
    pub fn add(&self, took: Duration) {
        let within = BOUNDS_MILLISECONDS.iter().position(|bound| took <= Duration::from_millis(*bound));
        self.microseconds.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.counts[within.unwrap_or(BOUNDS_MILLISECONDS.len())].fetch_add(1, Ordering::Relaxed);
    }

    /// In seconds.
    pub fn histogram(&self, name: &'static str, help: &'static str) -> Histogram {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let bounds = BOUNDS_MILLISECONDS.iter().map(|bound| *bound as f64 / 1e3).collect();
        Histogram { name, help, bounds, counts: self.counts.iter().map(load).collect(), sum: load(&self.microseconds) as f64 / 1e6 }
    }
}

/// What is told beside the calls themselves.
#[derive(Clone)]
pub struct Meters {
    /// The listeners of the process by name.
    pub listeners: Vec<(&'static str, Arc<Traffic>)>,
    /// What others count, asked at each reading.
    pub others: Reader,
}

impl Default for Meters {
    fn default() -> Self {
        Self { listeners: Vec::new(), others: Arc::new(Reading::default) }
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
    calls: [OnceLock<Box<Times>>; CODES.len()],
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

impl Meter {
    fn count(&self, code: Code, took: Duration) {
        let Some(slot) = usize::try_from(i32::from(code)).ok().and_then(|code| self.calls.get(code)) else { return };
        slot.get_or_init(Box::default).add(took);
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
    let (name, help) = ("rpc_server_seconds", "Time of calls, from their headers to the last byte of the answer.");
    head(text, name, "histogram", help)?;
    for method in sorted(schema) {
        let rpc = method.path.trim_start_matches('/');
        let told = method.meter.calls.iter().zip(CODES).filter_map(|(calls, code)| Some((calls.get()?, code)));
        for (calls, code) in told {
            spread(text, &calls.histogram(name, help), &format!("rpc=\"{rpc}\",code=\"{code}\""))?;
        }
    }
    Ok(())
}

/// Buckets, sum and count of a histogram, whose labels are these.
fn spread(text: &mut String, histogram: &Histogram, labels: &str) -> fmt::Result {
    let Histogram { name, bounds, counts, sum, .. } = histogram;
    let (comma, braced) = if labels.is_empty() { ("", String::new()) } else { (",", format!("{{{labels}}}")) };
    let mut total = 0;
    for (count, bound) in counts.iter().zip(bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()])) {
        total += count;
        writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}")?;
    }
    writeln!(text, "{name}_sum{braced} {sum}\n{name}_count{braced} {total}")
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
    let Reading { numbers, histograms } = (meters.others)();
    for Number { name, help, value } in numbers {
        head(text, name, kind(name), help)?;
        writeln!(text, "{name} {value}")?;
    }
    histograms.iter().try_for_each(|histogram| {
        head(text, histogram.name, "histogram", histogram.help)?;
        spread(text, histogram, "")
    })
}

fn kind(name: &str) -> &'static str {
    if name.ends_with("_total") { "counter" } else { "gauge" }
}
