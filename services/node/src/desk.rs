//! What a node answers to the operator at its machine, be it over the control socket or, where no node runs, to the command
//! that has opened the store itself. Nothing here knows a socket.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::{Clock, Error, Result, Tenant};
use serde_json::{Value, json};
use storage::{Across, Claimed, Collection, MAX_CLAIM, Store};
use tokio::sync::mpsc::Sender;

use crate::control::{Aggregate, Ask};

/// What an answer needs.
pub(crate) struct Desk {
    store: Store,
    across: Across,
    operators: Option<identity::Operators>,
    public_url: String,
    clock: Clock,
    pause: Pause,
}

/// Whether changes are refused, and by which of all switches: an older one's end does not undo a newer one.
#[derive(Clone)]
struct Pause(Arc<Mutex<(bool, u64)>>);

impl Pause {
    /// Whether it was on before, and the number of this switch.
    fn switch(&self, store: &Store, on: bool) -> (bool, u64) {
        let mut pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.read_only(on);
        let was = pause.0;
        *pause = (on, pause.1 + 1);
        (was, pause.1)
    }

    /// Ends what this switch began; false when somebody has switched since.
    fn end(&self, store: &Store, switch: u64) -> bool {
        let mut pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_last = *pause == (true, switch);
        if is_last {
            store.read_only(false);
            pause.0 = false;
        }
        is_last
    }
}

impl Desk {
    /// `operators` is none where identity does not run.
    pub(crate) fn new(store: Store, operators: Option<identity::Operators>, public_url: String, clock: Clock) -> Self {
        let pause = Pause(Arc::new(Mutex::new((store.is_read_only(), 0))));
        Self { store, across: Across::granted(), operators, public_url, clock, pause }
    }

    /// Answers one question; rows go where `rows` leads.
    pub(crate) async fn answer(&self, ask: Ask, rows: Sender<Value>) -> Result<()> {
        match ask {
            Ask::Ping {} => Ok(()),
            Ask::InviteOperator {} => tell(&rows, json!({ "link": self.invitation().await? })).await,
            Ask::ReadOnly { on, seconds } => self.read_only(on, seconds, &rows).await,
            Ask::ListEvents {} => self.list_events(&rows).await,
            Ask::ReplayEvents { of } => tell(&rows, json!({ "documents": self.replay(of).await? })).await,
            Ask::DropEvents { of } => tell(&rows, json!({ "events": self.drop_events(of).await? })).await,
        }
    }

    /// Where a browser redeems an invitation. The secret stands in the fragment, which no server sees.
    async fn invitation(&self) -> Result<String> {
        let absent = || Error::refused("NOT_HERE", "identity does not run in this process");
        let invitation = self.operators.as_ref().ok_or_else(absent)?.invite().await?;
        Ok(format!("{}/register#invitation={invitation}", self.public_url))
    }

    /// Answers whether changes were refused before, once none is under way any more.
    async fn read_only(&self, on: bool, seconds: u64, rows: &Sender<Value>) -> Result<()> {
        let (was, switch) = self.pause.switch(&self.store, on);
        tracing::warn!(on, seconds, "changes are refused, or taken again, as an operator says");
        // A pause that ends by itself ends with the process, too: whoever asked for it finds that out.
        if seconds == 0 {
            self.store.note_read_only(on).await?;
        }
        if on && seconds > 0 {
            let (store, pause) = (self.store.clone(), self.pause.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                if pause.end(&store, switch) {
                    tracing::warn!("changes are taken again: nobody has prolonged the pause");
                }
            });
        }
        if on {
            self.store.settled().await?;
        }
        tell(rows, json!({ "was": was })).await
    }

    async fn list_events(&self, rows: &Sender<Value>) -> Result<()> {
        for kind in self.store.kinds() {
            let waiting = self.store.outbox(&self.across, kind).await?;
            let oldest = waiting.oldest.map(|at| self.clock.now().since(at).as_secs());
            tell(
                rows,
                json!({ "collection": kind.name, "documents": waiting.documents, "parked": waiting.parked, "oldest_seconds": oldest }),
            )
            .await?;
            for claimed in self.store.parked(&self.across, kind, MAX_CLAIM).await? {
                tell(rows, parked(kind, &claimed)).await?;
            }
        }
        Ok(())
    }

    async fn replay(&self, of: Aggregate) -> Result<usize> {
        let mut replayed = 0;
        match of {
            Aggregate::One { collection, tenant, id } => {
                let kind = self.kind(&collection)?;
                replayed += usize::from(self.store.replay(&self.across, kind, &Tenant::parse(&tenant)?, &id).await?);
            }
            Aggregate::AllParked => {
                for kind in self.store.kinds() {
                    replayed += self.replay_all(kind).await?;
                }
            }
        }
        Ok(replayed)
    }

    async fn replay_all(&self, kind: &'static Collection) -> Result<usize> {
        let mut all = 0;
        loop {
            let mut replayed = 0;
            for claimed in self.store.parked(&self.across, kind, MAX_CLAIM).await? {
                replayed += usize::from(self.store.replay(&self.across, kind, &claimed.tenant, &claimed.id).await?);
            }
            all += replayed;
            if replayed == 0 {
                return Ok(all);
            }
        }
    }

    async fn drop_events(&self, of: Aggregate) -> Result<usize> {
        let Aggregate::One { collection, tenant, id } = of else {
            return Err(Error::invalid("AGGREGATE_INVALID", "events are dropped of one document at a time"));
        };
        self.store.drop_events(&self.across, self.kind(&collection)?, &Tenant::parse(&tenant)?, &id).await
    }

    fn kind(&self, name: &str) -> Result<&'static Collection> {
        let found = self.store.kinds().into_iter().find(|kind| kind.name == name);
        found.ok_or_else(|| Error::invalid("AGGREGATE_INVALID", format!("there is no collection {name:?} here")))
    }
}

async fn tell(rows: &Sender<Value>, row: Value) -> Result<()> {
    let gone = |_| Error::unavailable("CONTROL_SOCKET", "whoever asked has gone");
    rows.send(row).await.map_err(gone)
}

fn parked(kind: &Collection, claimed: &Claimed) -> Value {
    let first = claimed.events.first();
    json!({
        "collection": kind.name,
        "tenant": claimed.tenant.as_str(),
        "id": claimed.id,
        "tries": claimed.tries,
        "events": claimed.events.len(),
        "kind": first.map(|event| event.kind.as_str()),
        "at": first.map(|event| event.at),
    })
}
