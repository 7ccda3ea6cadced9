//! What is wrong with the servers that a node stands on: MongoDB, and the broker of events. Leaves them as they are.

use std::error::Error as StdError;

use events::{Address, Broker, Rabbit};
use kernel::{Error, Result};
use storage::mongo::{self, Look, Settings, Shape};

use super::{Finding, Grade, finding, graded_skew};
use crate::catalog;
use crate::config::Config;

/// Options of an address that would weaken what is promised of a change. They are not used.
const UNUSED: [&str; 4] = ["w", "journal", "wtimeoutms", "safe"];
/// Findings of one kind that are shown.
const SHOWN: usize = 3;

/// Whether the MongoDB server is as the store needs it.
pub(super) async fn store(config: &Config) -> Vec<Finding> {
    let clock = crate::clock::clock(&config.test_clock_file);
    let looked = async {
        let uri = config.store_uri()?;
        let unused = unused(&uri);
        Ok::<_, Error>((unused, mongo::look(&Settings::new(uri, config.store.database.clone())).await?, clock.now()))
    };
    match looked.await {
        Err(error) => vec![finding(Grade::Fault, "store", whole(&error))],
        Ok((unused, look, now)) => {
            let middle = now.micros() - i64::try_from(look.took.as_micros() / 2).unwrap_or(0);
            let skew = graded_skew("the MongoDB server", look.time.micros() - middle);
            unused.into_iter().chain([shape(look.shape), durable(&look), skew]).collect()
        }
    }
}

fn shape(shape: Shape) -> Finding {
    let told = match shape {
        Shape::Standalone => "the MongoDB server stands alone: with its disk everything is lost".to_owned(),
        Shape::ReplicaSet { members: 0 | 1, .. } => {
            "the MongoDB server is a replica set of one: with its disk everything is lost".to_owned()
        }
        Shape::ReplicaSet { members, arbiters: 1.. } => {
            format!("of the replica set only {members} members keep documents, the rest vote: changes wait while one of them is away")
        }
        Shape::ReplicaSet { members, arbiters: 0 } => return finding(Grade::Well, "store", format!("a replica set of {members} answers")),
        Shape::Sharded => return finding(Grade::Well, "store", "a sharded cluster answers"),
    };
    finding(Grade::Warning, "store", told)
}

fn durable(look: &Look) -> Finding {
    match &look.doubt {
        None => finding(Grade::Well, "durability", "changes are on the disks of a majority before they are acknowledged"),
        Some(doubt) => {
            finding(Grade::Fault, "durability", format!("a majority does not acknowledge that a change is on its disks: {doubt}"))
        }
    }
}

/// Says so of each option in an address that somebody may rely on in vain.
fn unused(uri: &str) -> Vec<Finding> {
    let options = uri.split_once('?').map_or("", |(_, options)| options);
    let names = options.split('&').filter_map(|option| option.split('=').next());
    let found = names.filter(|name| UNUSED.contains(&name.to_ascii_lowercase().as_str()));
    found
        .map(|name| finding(Grade::Warning, "store", format!("{name} in the address is not used: every change waits for a majority")))
        .collect()
}

/// Whether the broker has what the services need of it, as they need it.
pub(super) async fn broker(config: &Config) -> Vec<Finding> {
    // An address that cannot be read is told among the secrets.
    let Ok(Some(address)) = config.broker() else { return Vec::new() };
    match look(config, &address).await {
        Err(error) => vec![finding(Grade::Fault, "broker", whole(&error))],
        Ok(look) => compared(&look),
    }
}

async fn look(config: &Config, address: &str) -> Result<events::Look> {
    let broker = Broker::new(Address::parse(address, config.insecure)?, catalog::groups());
    Rabbit::new(Broker { namespace: config.events.namespace.clone(), ..broker }).look().await
}

fn compared(look: &events::Look) -> Vec<Finding> {
    let mut findings: Vec<_> = look.differing.iter().take(SHOWN).map(|told| finding(Grade::Fault, "broker", told)).collect();
    if look.differing.len() > SHOWN {
        findings.push(finding(Grade::Fault, "broker", format!("and {} more are not as declared", look.differing.len() - SHOWN)));
    }
    let waiting = [
        (look.dead, "events are dead letters: their subscriber failed eight times"),
        (look.unheard, "events wait in queues that nobody consumes: is a node of that service running?"),
    ];
    findings.extend(
        waiting.iter().filter(|(count, _)| *count > 0).map(|(count, told)| finding(Grade::Warning, "broker", format!("{count} {told}"))),
    );
    let told = match look.missing {
        0 => format!("{} exchanges and queues are durable and as declared", look.sound),
        missing => format!("answers; {} of its exchanges and queues are as declared, {missing} are made when a node connects", look.sound),
    };
    findings.push(finding(Grade::Well, "broker", told));
    findings
}

/// An error and what it came from. None of these causes holds an address.
fn whole(error: &Error) -> String {
    let (mut told, mut cause) = (error.to_string(), error.source());
    while let Some(next) = cause {
        told = format!("{told}: {next}");
        cause = next.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::Time;

    use super::*;

    #[test]
    fn a_server_whose_loss_or_doubt_costs_changes_is_found() {
        for (seen, grade) in [
            (Shape::Standalone, Grade::Warning),
            (Shape::ReplicaSet { members: 1, arbiters: 0 }, Grade::Warning),
            (Shape::ReplicaSet { members: 2, arbiters: 1 }, Grade::Warning),
            (Shape::ReplicaSet { members: 3, arbiters: 0 }, Grade::Well),
            (Shape::Sharded, Grade::Well),
        ] {
            assert!(shape(seen).grade == grade, "{seen:?}");
        }
        let look =
            Look { shape: Shape::Sharded, time: Time::default(), took: Duration::ZERO, doubt: Some("write concern error 64".into()) };
        assert!(durable(&look).grade == Grade::Fault && durable(&Look { doubt: None, ..look }).grade == Grade::Well);
    }

    #[test]
    fn options_that_are_not_used_are_named_without_their_values() {
        let found = unused("mongodb://ann:w@db/?W=secret&replicaSet=rs0&journal=false");
        let told: Vec<_> = found.iter().map(|finding| finding.told.split(' ').next().unwrap_or_default()).collect();
        assert_eq!(told, ["W", "journal"]);
        assert!(unused("mongodb://ann:w@db/mozaiks").is_empty());
    }

    #[test]
    fn a_broker_with_other_things_under_our_names_is_a_fault() {
        let look = events::Look { differing: vec!["PRECONDITION_FAILED".into(); 5], dead: 2, unheard: 3, sound: 30, missing: 0 };
        let findings = compared(&look);
        assert_eq!(findings.iter().filter(|finding| finding.grade == Grade::Fault).count(), SHOWN + 1);
        assert_eq!(findings.iter().filter(|finding| finding.grade == Grade::Warning).count(), 2);
        assert!(compared(&events::Look { sound: 35, ..events::Look::default() }).iter().all(|finding| finding.grade == Grade::Well));
    }
}
