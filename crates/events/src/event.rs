//! An event on its way: what happened, to which document of which tenant, and where it stands in that document's order.

use kernel::{Tenant, Time, id};

/// Parts into which tenants are hashed. Fixed for ever: queues are named by them.
pub const PARTITIONS: u8 = 32;

/// An event as a subscriber meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// `evt_…`; the same each time the event is delivered.
    pub id: String,
    /// What happened, such as `identity.user.created`.
    pub kind: String,
    /// The protobuf message of that kind.
    pub payload: Vec<u8>,
    /// The app it happened in.
    pub tenant: Tenant,
    /// The kind of document it happened to.
    pub collection: String,
    /// The id of that document.
    pub aggregate: String,
    /// The version that the change made.
    pub version: i64,
    /// Position among the events of that change, from 0.
    pub index: u32,
    /// When the change was made.
    pub at: Time,
    /// W3C traceparent of the change; empty when there was none.
    pub trace: String,
    /// The tenant's part of all, below `PARTITIONS`.
    pub partition: u8,
}

impl Delivered {
    /// Grows from event to event of one aggregate: whoever keeps the last mark in the document of its effect tells a
    /// duplicate by a mark that is not greater. Patches of a counter leave its version; their events are told by `id`.
    pub fn mark(&self) -> (i64, u32) {
        (self.version, self.index)
    }
}

/// The part that a tenant falls into.
pub fn partition(tenant: &Tenant) -> u8 {
    id::digest(&[tenant.as_str()])[0] % PARTITIONS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn partitions_are_even_and_stay() {
        let mut sizes = [0_u32; PARTITIONS as usize];
        for n in 0..3_200 {
            sizes[usize::from(partition(&Tenant::parse(&format!("app-{n}")).unwrap()))] += 1;
        }
        assert!(sizes.iter().all(|size| (50..=150).contains(size)), "{sizes:?}");
        // A change of these numbers would leave events in queues that nobody of that tenant reads.
        let of = |tenant: &str| partition(&Tenant::parse(tenant).unwrap());
        assert_eq!([of("acme"), of("platform"), of("system")], [1, 30, 14]);
    }
}
