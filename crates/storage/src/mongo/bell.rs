//! The doorbell: a change stream of the database where there is one, a tick elsewhere. A hint, so that its failures are only
//! logged, and it ticks until the stream is open again.

use std::time::Duration;

use mongodb::Database;
use mongodb::bson::doc;
use tokio::time::sleep;

use crate::bell::Ringer;

/// Between two rings where nobody tells of changes.
const TICK: Duration = Duration::from_secs(1);
/// How long the server waits for a change before it says that there is none.
const MAX_AWAIT: Duration = Duration::from_secs(2);

/// Rings until it is given up.
pub(super) async fn ring(database: Database, standalone: bool, ringer: Ringer) {
    loop {
        if !standalone && let Err(error) = follow(&database, &ringer).await {
            tracing::debug!(cause = ?super::fault::unusable(&error), "the change stream broke");
        }
        sleep(TICK).await;
        ringer.ring();
    }
}

/// Rings for changes that set a time to publish or a due time.
async fn follow(database: &Database, ringer: &Ringer) -> mongodb::error::Result<()> {
    let touched = |field: &str| doc! { format!("updateDescription.updatedFields.{field}"): { "$exists": true } };
    let made = |field: &str| doc! { format!("fullDocument.{field}"): { "$exists": true } };
    let wanted = doc! { "$match": { "$or": [touched("obn"), touched("due"), made("obn"), made("due")] } };
    let lean = doc! { "$project": { "operationType": 1, "ns": 1 } };
    let mut stream = database.watch().pipeline([wanted, lean]).max_await_time(MAX_AWAIT).await?;
    while stream.is_alive() {
        if stream.next_if_any().await?.is_some() {
            ringer.ring();
        }
    }
    Ok(())
}
