//! Message to REST call and back by the `google.api.http` rule, written apart from the gateway's own code.

use http::Method;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, ReflectMessage as _, SerializeOptions};
use serde_json::{Map, Value, json};

use crate::wires::{Answer, POOL, Raw, failure_of_json};

/// A REST call.
pub struct Parts {
    pub verb: Method,
    pub path: String,
    pub body: Vec<u8>,
}

struct Rule {
    verb: Method,
    template: String,
    body: String,
    response_body: String,
}

fn rule(method: &MethodDescriptor) -> Rule {
    let extension = POOL.get_extension_by_name("google.api.http").unwrap();
    let options = method.options();
    let http = options.get_extension(&extension).into_owned();
    let http = http.as_message().unwrap();
    let text = |field: &str| http.get_field_by_name(field).unwrap().as_str().unwrap_or_default().to_owned();
    let verbs = [("get", Method::GET), ("post", Method::POST), ("put", Method::PUT), ("patch", Method::PATCH), ("delete", Method::DELETE)];
    let (field, verb) = verbs.into_iter().find(|(field, _)| !text(field).is_empty()).unwrap();
    Rule { verb, template: text(field), body: text("body"), response_body: text("response_body") }
}

/// The REST form of a request.
pub fn transcode(method: &MethodDescriptor, ask: &DynamicMessage) -> Parts {
    let rule = rule(method);
    let mut rest = json_of(ask).as_object().cloned().unwrap();
    let mut path = String::new();
    let mut template = rule.template.as_str();
    while let Some((before, after)) = template.split_once('{') {
        let (variable, after) = after.split_once('}').unwrap();
        let field = variable.split('=').next().unwrap();
        let value = take(&ask.descriptor(), &mut rest, field).unwrap_or_else(|| panic!("{variable} is empty and cannot stand in a path"));
        path = path + before + value.as_str().unwrap();
        template = after;
    }
    path += template;
    let body = match rule.body.as_str() {
        "" => Vec::new(),
        "*" => serde_json::to_vec(&std::mem::take(&mut rest)).unwrap(),
        field => {
            serde_json::to_vec(&rest.remove(ask.descriptor().get_field_by_name(field).unwrap().json_name()).unwrap_or(json!({}))).unwrap()
        }
    };
    let query: Vec<String> = rest.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
    let path = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
    Parts { verb: rule.verb, path, body }
}

/// Takes a field out of a message's JSON, by a path such as `app.name`.
fn take(message: &MessageDescriptor, json: &mut Map<String, Value>, path: &str) -> Option<Value> {
    match path.split_once('.') {
        None => json.remove(message.get_field_by_name(path)?.json_name()),
        Some((field, below)) => {
            let field = message.get_field_by_name(field)?;
            take(field.kind().as_message()?, json.get_mut(field.json_name())?.as_object_mut()?, below)
        }
    }
}

/// The answer's message, whatever part of it the rule shows.
pub fn answer(method: &MethodDescriptor, raw: &Raw) -> Answer {
    let body: Value = serde_json::from_slice(&raw.body).unwrap_or_else(|_| panic!("not JSON: {raw:?}"));
    if raw.http != 200 {
        return Err(failure_of_json(&body, raw.http));
    }
    match rule(method).response_body.as_str() {
        "" => Ok(body),
        field => Ok(Value::Object(Map::from_iter([(method.output().get_field_by_name(field).unwrap().json_name().to_owned(), body)]))),
    }
}

fn json_of(message: &DynamicMessage) -> Value {
    message.serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new()).unwrap()
}

fn escaped(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}
