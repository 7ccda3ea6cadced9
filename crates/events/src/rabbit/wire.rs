//! An event as an AMQP message and back: the payload is the body, all else is in properties and headers.

use kernel::{Error, Result, Tenant, Time};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString};

use crate::event::{Delivered, PARTITIONS};

/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;
const REPLAY: &str = "replay";
/// How often the broker has delivered the message before; quorum queues count.
const DELIVERIES: &str = "x-delivery-count";

/// Where a message stands among the dead letters of its aggregate that are sent back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replay {
    pub(super) first: bool,
    pub(super) last: bool,
}

/// Properties of the message of this event.
pub(super) fn properties(event: &Delivered) -> BasicProperties {
    let mut headers = FieldTable::default();
    let texts = [
        ("event_id", &*event.id),
        ("type", &event.kind),
        ("tenant", event.tenant.as_str()),
        ("collection", &event.collection),
        ("aggregate", &event.aggregate),
        ("traceparent", &event.trace),
    ];
    for (name, value) in texts {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    }
    let numbers = [
        ("version", event.version),
        ("index", i64::from(event.index)),
        ("occurred_at", event.at.micros()),
        ("partition", i64::from(event.partition)),
    ];
    for (name, value) in numbers {
        headers.insert(name.into(), AMQPValue::LongLongInt(value));
    }
    BasicProperties::default()
        .with_message_id(event.id.as_str().into())
        .with_type(event.kind.as_str().into())
        .with_content_type("application/protobuf".into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers)
}

/// The same properties for a message that is sent back.
pub(super) fn replayed(event: &Delivered, replay: Replay) -> BasicProperties {
    let properties = properties(event);
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(REPLAY.into(), AMQPValue::LongLongInt(i64::from(replay.first) + 2 * i64::from(replay.last)));
    properties.with_headers(headers)
}

/// The event of a message. Errors: `EVENT_INVALID`.
pub(super) fn event(properties: &BasicProperties, payload: Vec<u8>) -> Result<Delivered> {
    let headers = Headers(properties);
    let partition = headers.number("partition")?;
    let partition = u8::try_from(partition).ok().filter(|partition| *partition < PARTITIONS).ok_or_else(|| invalid("partition"))?;
    Ok(Delivered {
        id: headers.text("event_id")?,
        kind: headers.text("type")?,
        payload,
        tenant: Tenant::parse(&headers.text("tenant")?).map_err(|_| invalid("tenant"))?,
        collection: headers.text("collection")?,
        aggregate: headers.text("aggregate")?,
        version: headers.number("version")?,
        index: u32::try_from(headers.number("index")?).map_err(|_| invalid("index"))?,
        at: Time::from_micros(headers.number("occurred_at")?),
        trace: headers.text("traceparent")?,
        partition,
    })
}

/// Whether a message was sent back from the dead letters.
pub(super) fn replay(properties: &BasicProperties) -> Option<Replay> {
    let bits = Headers(properties).number(REPLAY).ok()?;
    Some(Replay { first: bits & 1 == 1, last: bits & 2 == 2 })
}

/// How often the message was delivered before this time.
pub(super) fn deliveries(properties: &BasicProperties) -> i64 {
    Headers(properties).number(DELIVERIES).unwrap_or(0)
}

struct Headers<'a>(&'a BasicProperties);

impl Headers<'_> {
    fn get(&self, name: &str) -> Option<&AMQPValue> {
        self.0.headers().as_ref()?.inner().get(name)
    }

    fn text(&self, name: &str) -> Result<String> {
        match self.get(name) {
            Some(AMQPValue::LongString(value)) => std::str::from_utf8(value.as_bytes()).map(str::to_owned).map_err(|_| invalid(name)),
            _ => Err(invalid(name)),
        }
    }

    /// The broker writes numbers in the shortest form.
    fn number(&self, name: &str) -> Result<i64> {
        match self.get(name) {
            Some(AMQPValue::LongLongInt(value)) => Ok(*value),
            Some(AMQPValue::LongInt(value)) => Ok(i64::from(*value)),
            Some(AMQPValue::LongUInt(value)) => Ok(i64::from(*value)),
            Some(AMQPValue::ShortInt(value)) => Ok(i64::from(*value)),
            Some(AMQPValue::ShortUInt(value)) => Ok(i64::from(*value)),
            Some(AMQPValue::ShortShortInt(value)) => Ok(i64::from(*value)),
            Some(AMQPValue::ShortShortUInt(value)) => Ok(i64::from(*value)),
            _ => Err(invalid(name)),
        }
    }
}

fn invalid(header: &str) -> Error {
    Error::internal("EVENT_INVALID", format!("a message from the broker has no usable {header}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::event::partition;

    fn sample() -> Delivered {
        let tenant = Tenant::parse("acme").unwrap();
        Delivered {
            id: "evt_1".into(),
            kind: "test.thing.made".into(),
            payload: vec![1, 2, 0],
            partition: partition(&tenant),
            tenant,
            collection: "things".into(),
            aggregate: "ä/1".into(),
            version: i64::MAX,
            index: 31,
            at: Time::from_micros(-5),
            trace: String::new(),
        }
    }

    #[test]
    fn an_event_survives_the_wire() {
        let sample = sample();
        assert_eq!(event(&properties(&sample), sample.payload.clone()).unwrap(), sample);
        assert_eq!(replay(&properties(&sample)), None);
        for replay_at in [(true, false), (false, false), (false, true), (true, true)].map(|(first, last)| Replay { first, last }) {
            let properties = replayed(&sample, replay_at);
            assert_eq!((replay(&properties), event(&properties, sample.payload.clone()).unwrap()), (Some(replay_at), sample.clone()));
        }
    }

    #[test]
    fn a_message_that_is_no_event_is_refused() {
        for missing in
            ["event_id", "type", "tenant", "collection", "aggregate", "version", "index", "occurred_at", "partition", "traceparent"]
        {
            let properties = properties(&sample());
            let headers = properties.headers().as_ref().unwrap().inner().clone();
            let headers: std::collections::BTreeMap<_, _> = headers.into_iter().filter(|(name, _)| name.as_str() != missing).collect();
            let error = event(&properties.with_headers(FieldTable::from(headers)), Vec::new()).unwrap_err();
            assert_eq!(error.reason(), "EVENT_INVALID", "{missing}");
        }
    }
}
