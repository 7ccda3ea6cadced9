//! The first line of every handler: the context of the call and the checked request.

use api::{Ask, Faults};
use kernel::{Cx, Error, Result};

/// Opens a request.
pub trait Open<T> {
    /// The context that `auth` and `access` made, and the request with its field behaviour enforced: what only the server
    /// sets is cleared, page sizes are cut. Errors: `FIELDS_INVALID` naming every faulty field.
    fn open(self) -> Result<(Cx, T)>;
}

impl<T: Ask> Open<T> for tonic::Request<T> {
    fn open(mut self) -> Result<(Cx, T)> {
        let cx = self.extensions_mut().remove::<Cx>();
        let cx = cx.ok_or_else(|| Error::internal("CONTEXT_MISSING", "the call did not pass through a stack"))?;
        let mut ask = self.into_inner();
        let mut faults = Faults::default();
        ask.settle(&mut faults, false);
        let faults = faults.into_vec();
        if faults.is_empty() {
            return Ok((cx, ask));
        }
        let error = Error::invalid("FIELDS_INVALID", "fields of the request are missing or wrong");
        Err(faults.into_iter().fold(error, |error, (path, fault)| error.field(path, fault)))
    }
}
