//! `mozaiks events`: documents whose events could not be published, and what is to become of them.

use clap::Subcommand;
use kernel::{Error, Result, Time};
use serde_json::Value;

use super::backup::rfc3339;
use super::operator::asked;
use super::print;
use crate::config::Config;
use crate::control::{Aggregate, Ask};

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Lists what waits in each collection, and every document whose events are parked after too many failures.
    List,
    /// Lets parked events be tried again.
    Replay {
        /// Every parked document, instead of one.
        #[arg(long, conflicts_with_all = ["collection", "document"], required_unless_present = "document")]
        all: bool,
        /// The collection, as `list` names it.
        #[arg(requires = "document")]
        collection: Option<String>,
        /// The document, as `list` names it: `app/id`.
        document: Option<String>,
    },
    /// Drops the events of one document for ever: nobody will ever hear of them.
    Drop {
        /// The collection, as `list` names it.
        collection: String,
        /// The document, as `list` names it: `app/id`.
        document: String,
    },
}

/// Errors: `AGGREGATE_INVALID`, `EVENTS_ABSENT` when nothing waits there.
pub(super) async fn run(action: Action, config: &Config) -> Result<()> {
    match action {
        Action::List => list(&asked(config, Ask::ListEvents {}).await?),
        Action::Replay { collection, document, .. } => {
            let of = match (collection, document) {
                (Some(collection), Some(document)) => aggregate(collection, &document)?,
                _ => Aggregate::AllParked,
            };
            let all = matches!(of, Aggregate::AllParked);
            let replayed = number(&asked(config, Ask::ReplayEvents { of }).await?, "documents");
            if replayed == 0 && !all {
                return Err(Error::refused("EVENTS_ABSENT", "no events wait in this document"));
            }
            print(&format!("{replayed} documents are tried again"))
        }
        Action::Drop { collection, document } => {
            let of = aggregate(collection, &document)?;
            match number(&asked(config, Ask::DropEvents { of }).await?, "events") {
                0 => Err(Error::refused("EVENTS_ABSENT", "no events wait in this document")),
                dropped => print(&format!("{dropped} events are dropped")),
            }
        }
    }
}

fn aggregate(collection: String, document: &str) -> Result<Aggregate> {
    let wrong = || Error::invalid("AGGREGATE_INVALID", format!("{document:?} is no document such as demo/usr_1"));
    let (tenant, id) = document.split_once('/').ok_or_else(wrong)?;
    Ok(Aggregate::One { collection, tenant: tenant.into(), id: id.into() })
}

fn number(rows: &[Value], field: &str) -> u64 {
    rows.iter().filter_map(|row| row[field].as_u64()).sum()
}

fn list(rows: &[Value]) -> Result<()> {
    for row in rows {
        let text = |field: &str| row[field].as_str().unwrap_or("-").to_owned();
        let count = |field: &str| row[field].as_u64().unwrap_or(0);
        if row["id"].is_string() {
            let at = row["at"].as_i64().map(|micros| rfc3339(Time::from_micros(micros))).transpose()?;
            print(&format!(
                "parked  {:<16} {}/{}  {} events after {} tries, the first {} at {}",
                text("collection"),
                text("tenant"),
                text("id"),
                count("events"),
                count("tries"),
                text("kind"),
                at.unwrap_or_default()
            ))?;
        } else {
            let oldest = row["oldest_seconds"].as_u64().map_or_else(String::new, |seconds| format!(", the oldest for {seconds} s"));
            print(&format!("waiting {:<16} {} documents, {} parked{oldest}", text("collection"), count("documents"), count("parked")))?;
        }
    }
    Ok(())
}
