//! Events from the documents that made them to whoever wants to hear, and documents to the work they wait for.
//! Services implement `Subscriber` and `Worker`; node chooses a bus and starts it all. No service is known here.

mod appetite;
mod contract;
mod event;
mod hear;
mod inbox;
mod local;
mod meter;
mod pace;
mod rabbit;
mod relay;
mod run;
mod schedule;
mod stop;

pub use contract::{Bus, Refusal, Subscriber, Taken, Worker};
pub use event::{Delivered, PARTITIONS, partition};
pub use inbox::Inbox;
pub use local::Local;
pub use meter::{Lane, Metrics};
pub use pace::{Backoff, Pace, TRIES};
pub use rabbit::{Address, Broker, Group, Look, Rabbit, Traffic};
pub use run::{Running, Start, start};
