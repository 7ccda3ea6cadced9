//! Log lines: JSON, one object a line; those of a call say which one. Set up once by the process's own main.

use std::fmt;
use std::io::stderr;

use kernel::{Error, Result};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer, format};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::trace::Call;

/// Starts logging, on stderr. `filter` is a level or a list of `target=level`, such as `info,rpc=debug`.
/// Errors: `LOG_FILTER_INVALID`, also when logging was started before.
pub fn log(filter: &str) -> Result<()> {
    lines(filter, stderr)?.try_init().map_err(|cause| invalid(filter).because(cause))
}

/// The lines that `log` writes, to somewhere else. A line that is written while a call is served has a member `call` with
/// its `call_id`, `rpc` and, once they are known, `tenant` and `subject`. Errors: `LOG_FILTER_INVALID`.
pub fn lines<W>(filter: &str, writer: W) -> Result<Dispatch>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let levels = EnvFilter::try_new(filter).map_err(|cause| invalid(filter).because(cause))?;
    let lines = tracing_subscriber::fmt().fmt_fields(JsonFields::new()).event_format(Lines(format().json()));
    Ok(lines.with_env_filter(levels).with_writer(writer).finish().into())
}

fn invalid(filter: &str) -> Error {
    Error::invalid("LOG_FILTER_INVALID", format!("{filter:?} is no log filter such as `info,rpc=debug`"))
}

/// A span would have its fields written for every call, whether it logs or not; here they are written for lines alone.
struct Lines(Format<Json>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(call) = Call::this() else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let open = line.trim_end().strip_suffix('}').ok_or(fmt::Error)?;
        writeln!(writer, "{open},{call}}}")
    }
}
