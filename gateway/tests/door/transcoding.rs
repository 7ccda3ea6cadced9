//! Every rule of every contract, from the other side: a message is spelled as REST by an independent hand, goes through the
//! gateway, and must reach the peer as it does over the RPC wires. Answers are compared as well.

use std::fmt::Write as _;

use gateway::Rule;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::codecs::{Choices, message};
use crate::peer::{Door, SCHEMA};
use crate::wires::{RPC_WIRES, call, outcome};

/// Segments of names and single values; the last two only where a slash is data.
const SEGMENTS: [&str; 8] = ["acme", "a-b.c_d~e", "ä", "a:b", "a b", "100%", "%2F", "a/b"];

/// A request as REST spells it, and what it means.
struct Spelled {
    line: String,
    body: String,
    meaning: Value,
}

fn spell(rule: &Rule, choices: &mut Choices<'_>) -> Spelled {
    let ask = rule.method.descriptor.input();
    let whole = message(&ask, choices, 0, false).encode_to_vec();
    let mut fields: Value = serde_json::from_slice(&rpc::wire_to_json(&ask, &whole).unwrap()).unwrap();
    let mut meaning = json!({});
    let mut path = String::new();
    let mut rest = rule.template.as_str();
    while let Some((before, variable)) = rest.split_once('{') {
        let (variable, after) = variable.split_once('}').unwrap();
        let (name, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
        let (value, escaped) = fill(pattern, choices);
        let keys = json_path(&ask, name);
        let is_number = keys.last().is_some_and(|key| key == "count");
        let (value, escaped) = if is_number { (json!(7), "7".to_owned()) } else { (json!(value), escaped) };
        take(&mut fields, &keys);
        put(&mut meaning, &keys, value);
        path += before;
        path += &escaped;
        rest = after;
    }
    path += rest;
    let body = match body_of(rule).as_str() {
        "" => String::new(),
        "*" => std::mem::replace(&mut fields, json!({})).to_string(),
        name => {
            let key = ask.get_field_by_name(name).unwrap().json_name().to_owned();
            take(&mut fields, std::slice::from_ref(&key)).unwrap_or_else(|| json!({})).to_string()
        }
    };
    if !body.is_empty() {
        let inside: Value = serde_json::from_str(&body).unwrap();
        match body_of(rule).as_str() {
            "*" => merge(&mut meaning, &inside),
            name => {
                let key = ask.get_field_by_name(name).unwrap().json_name().to_owned();
                merge(&mut meaning, &json!({ key: inside }));
            }
        }
    }
    let mut query = String::new();
    flatten(&ask, &fields, &mut Vec::new(), &mut |keys, value| {
        for value in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = write!(query, "{}{}={}", if query.is_empty() { "?" } else { "&" }, keys.join("."), escape(&text));
        }
        put(&mut meaning, keys, value.clone());
    });
    Spelled { line: format!("{} {path}{query}", rule.verb), body, meaning }
}

/// The value of a variable, and how it stands in a path.
fn fill(pattern: &str, choices: &mut Choices<'_>) -> (String, String) {
    let is_single = pattern == "*";
    let parts = pattern.split('/').map(|part| match part {
        "*" | "**" => {
            let value = choices.one(if is_single { &SEGMENTS } else { &SEGMENTS[..6] });
            (value.to_owned(), escape(value))
        }
        literal => (literal.to_owned(), literal.to_owned()),
    });
    let (values, escaped): (Vec<String>, Vec<String>) = parts.unzip();
    (values.join("/"), escaped.join("/"))
}

fn escape(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn json_path(ask: &MessageDescriptor, path: &str) -> Vec<String> {
    let mut message = Some(ask.clone());
    let names = path.split('.').map(|name| {
        let field = message.clone().unwrap().get_field_by_name(name).unwrap();
        message = match field.kind() {
            Kind::Message(inner) => Some(inner),
            _ => None,
        };
        field.json_name().to_owned()
    });
    names.collect()
}

fn take(value: &mut Value, keys: &[String]) -> Option<Value> {
    let (first, below) = keys.split_first()?;
    let fields = value.as_object_mut()?;
    if below.is_empty() { fields.remove(first) } else { take(fields.get_mut(first)?, below) }
}

fn put(value: &mut Value, keys: &[String], what: Value) {
    match keys {
        [] => *value = what,
        [first, below @ ..] => put(value.as_object_mut().unwrap().entry(first).or_insert_with(|| json!({})), below, what),
    }
}

/// Adds what is not there yet.
fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().unwrap() {
        match into.as_object_mut().unwrap().entry(key) {
            serde_json::map::Entry::Vacant(free) => _ = free.insert(value.clone()),
            serde_json::map::Entry::Occupied(mut taken) if taken.get().is_object() => merge(taken.get_mut(), value),
            serde_json::map::Entry::Occupied(_) => {}
        }
    }
}

/// Every value that a query can say, with its path; lists of messages and maps are left out.
fn flatten(message: &MessageDescriptor, fields: &Value, above: &mut Vec<String>, found: &mut impl FnMut(&[String], &Value)) {
    for (key, value) in fields.as_object().unwrap_or(&Map::new()) {
        let field = message.get_field_by_json_name(key).unwrap();
        above.push(key.clone());
        match field.kind() {
            Kind::Message(inner) if value.is_object() && !field.is_map() => flatten(&inner, value, above, found),
            Kind::Message(_) if field.is_map() || field.is_list() => {}
            _ => found(above, value),
        }
        above.pop();
    }
}

/// `body` of the rule that has this template.
fn body_of(rule: &Rule) -> String {
    field_of(rule, "body")
}

fn field_of(rule: &Rule, name: &str) -> String {
    let option = SCHEMA.pool().get_extension_by_name("google.api.http").unwrap();
    let options = rule.method.descriptor.options();
    let http = options.get_extension(&option).as_message().unwrap().clone();
    let more = http.get_field_by_name("additional_bindings").unwrap().into_owned();
    let more: Vec<DynamicMessage> = more.as_list().unwrap().iter().map(|more| more.as_message().unwrap().clone()).collect();
    let text = |http: &DynamicMessage, name: &str| http.get_field_by_name(name).unwrap().as_str().unwrap().to_owned();
    let has = |http: &&DynamicMessage| ["get", "put", "post", "delete", "patch"].iter().any(|verb| text(http, verb) == rule.template);
    text(std::iter::once(&http).chain(&more).find(has).unwrap(), name)
}

/// What of an answer REST gives.
fn part(rule: &Rule, answer: Value) -> Value {
    match field_of(rule, "response_body").as_str() {
        "" => answer,
        name => {
            let key = rule.method.descriptor.output().get_field_by_name(name).unwrap().json_name().to_owned();
            answer.get(key).cloned().unwrap_or_else(|| json!({}))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn every_rule_means_over_rest_what_its_method_means_over_the_rpc_wires(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let door = Door::open();
        let rules = gateway::rules(&SCHEMA).unwrap();
        let is_offered = |rule: &&Rule| rule.method.access.as_ref().unwrap().plane != 3;
        let has_json = |rule: &&Rule| !rule.template.ends_with("/file") && !rule.template.ends_with("/echo");
        for rule in rules.iter().filter(is_offered).filter(has_json) {
            let spelled = spell(rule, &mut Choices(&bytes));
            let told = runtime.block_on(door.rest(&spelled.line, &[], &spelled.body));
            let context = format!("{} {} {told:?}", spelled.line, spelled.body);
            prop_assert_eq!(told.status, 200, "{}", context);
            let seen = door.seen();
            prop_assert_eq!(&seen[0].ask, &spelled.meaning, "{}", context);
            let path = &rule.method.path;
            for wire in RPC_WIRES {
                let over_rpc = runtime.block_on(call(&door, wire, path, &spelled.meaning, &[]));
                prop_assert_eq!(&door.seen()[0].ask, &spelled.meaning, "{} {}", wire, context);
                let answer = outcome(wire, path, &over_rpc).unwrap();
                prop_assert_eq!(&told.json(), &part(rule, answer), "{} {}", wire, context);
            }
        }
    }
}
