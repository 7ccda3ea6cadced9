//! The words that every crate shares: errors, names, tenants, time, the context of a call.
//! No I/O and no knowledge of any service; stays under 1,200 lines.

mod clock;
mod cx;
mod error;
mod etag;
pub mod id;
mod name;
mod page;
mod status;
mod tenant;

pub use clock::{Clock, Hand, Time};
pub use cx::{Credential, Cx, Subject, SubjectKind, Verified};
pub use error::{Error, Kind, Result};
pub use etag::Etag;
pub use name::Name;
pub use page::Page;
pub use status::{DOMAIN, error_info, http_status, stamp};
pub use tenant::Tenant;
