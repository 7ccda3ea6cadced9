//! The one error type: what kind of failure, a word for machines, a sentence for the caller, a cause for the log.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// `Result` with the house's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every way in which a call can fail. Closed: each kind has one row in the status table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is wrong, whatever the state of the system.
    Invalid,
    /// No credential, or one that proves nothing.
    Unauthenticated,
    /// The caller is known and may not.
    Forbidden,
    /// Absent, or in another tenant.
    NotFound,
    /// Already there.
    Exists,
    /// The caller's version is not the present one.
    Stale,
    /// The state of the system does not allow it.
    Refused,
    /// A limit is reached.
    Exhausted,
    /// Try again later; nothing is known to be wrong with the request.
    Unavailable,
    /// The deadline passed.
    Timeout,
    /// Not offered here.
    Unsupported,
    /// A defect of ours. The caller reads a fixed sentence.
    Internal,
}

/// A failure. `reason` is a key of `docs/ERRORS.md`; `message` is for the caller; the cause is for the log alone.
pub struct Error {
    kind: Kind,
    reason: &'static str,
    message: String,
    fields: Vec<(String, String)>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// The request is wrong whatever the state of the system.
    pub fn invalid(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, reason, message)
    }

    /// The caller has not proved who they are.
    pub fn unauthenticated(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Unauthenticated, reason, message)
    }

    /// The caller is known and may not.
    pub fn forbidden(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, reason, message)
    }

    /// The named thing is absent or foreign. One sentence for both, so that nobody can tell which.
    pub fn not_found(name: &str) -> Self {
        Self::new(Kind::NotFound, "NOT_FOUND", format!("{name} was not found"))
    }

    /// Nothing is served under the address that was asked.
    pub fn route_unknown() -> Self {
        Self::new(Kind::NotFound, "ROUTE_UNKNOWN", "nothing is served here")
    }

    /// What the caller wants to make is there already.
    pub fn exists(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Exists, reason, message)
    }

    /// The version the caller read is no longer the present one.
    pub fn stale(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Stale, reason, message)
    }

    /// A domain rule says no in the present state.
    pub fn refused(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, reason, message)
    }

    /// A limit is reached. Add `retry_after` when waiting helps.
    pub fn exhausted(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Exhausted, reason, message)
    }

    /// Nothing is wrong with the request; it may succeed later or elsewhere.
    pub fn unavailable(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, reason, message)
    }

    /// The deadline passed.
    pub fn timeout() -> Self {
        Self::new(Kind::Timeout, "DEADLINE_EXCEEDED", "the deadline passed")
    }

    /// Not offered here.
    pub fn unsupported(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, reason, message)
    }

    /// A defect of ours. `message` goes to the log; the caller reads "internal error".
    pub fn internal(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, reason, message)
    }

    fn new(kind: Kind, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, reason, message: message.into(), fields: Vec::new(), retry_after: None, source: None }
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// Names a field of the request (proto path, such as `user.profile.locale`) and what is wrong with it.
    #[must_use]
    pub fn field(mut self, path: impl Into<String>, description: impl Into<String>) -> Self {
        self.fields.push((path.into(), description.into()));
        self
    }

    /// Tells the caller how long to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The word for machines.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// What the caller reads; a defect of ours is not explained to them.
    pub fn message(&self) -> &str {
        if self.kind == Kind::Internal { "internal error" } else { &self.message }
    }

    /// Faulty fields: path and description.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// How long the caller should wait.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {self}", self.kind)?;
        let mut cause = self.source();
        while let Some(next) = cause {
            write!(f, " <- {next}")?;
            cause = next.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}
