//! The options of two images side by side: those of ours as messages of ours, those of `google.api` by reflection.

use api::mozaiks::options::v1::{Access, Call, Stability};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor};

/// One way to call a method by REST: where, and what its bodies are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// `GET /api/core/…`.
    pub(crate) place: String,
    pub(crate) body: String,
    pub(crate) response_body: String,
}

fn of(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name(name).filter(|extension| options.has_extension(extension))?;
    options.get_extension(&extension).as_message().cloned()
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

pub(crate) fn access(pool: &DescriptorPool, method: &MethodDescriptor) -> Access {
    of(pool, &method.options(), "mozaiks.options.v1.access").map(|access| access.transcode_to().unwrap()).unwrap_or_default()
}

pub(crate) fn call(pool: &DescriptorPool, method: &MethodDescriptor) -> Call {
    of(pool, &method.options(), "mozaiks.options.v1.call").map(|call| call.transcode_to().unwrap()).unwrap_or_default()
}

pub(crate) fn stability(pool: &DescriptorPool, method: &MethodDescriptor) -> Stability {
    of(pool, &method.options(), "mozaiks.options.v1.stability").map(|said| said.transcode_to().unwrap()).unwrap_or_default()
}

pub(crate) fn field_stability(pool: &DescriptorPool, field: &FieldDescriptor) -> Stability {
    of(pool, &field.options(), "mozaiks.options.v1.field_stability").map(|said| said.transcode_to().unwrap()).unwrap_or_default()
}

pub(crate) fn bindings(pool: &DescriptorPool, method: &MethodDescriptor) -> Vec<Binding> {
    let Some(rule) = of(pool, &method.options(), "google.api.http") else { return Vec::new() };
    let more = rule.get_field_by_name("additional_bindings").unwrap();
    let more = more.as_list().unwrap().iter().map(|more| binding(more.as_message().unwrap()));
    std::iter::once(binding(&rule)).chain(more).collect()
}

fn binding(rule: &DynamicMessage) -> Binding {
    let verb = ["get", "put", "post", "delete", "patch"].into_iter().find(|verb| rule.has_field_by_name(verb));
    let place = match verb {
        Some(verb) => format!("{} {}", verb.to_ascii_uppercase(), text(rule, verb)),
        None => {
            let custom = rule.get_field_by_name("custom").unwrap();
            let custom = custom.as_message().unwrap();
            format!("{} {}", text(custom, "kind"), text(custom, "path"))
        }
    };
    Binding { place, body: text(rule, "body"), response_body: text(rule, "response_body") }
}

pub(crate) fn is_required(pool: &DescriptorPool, field: &FieldDescriptor) -> bool {
    const REQUIRED: i32 = 2;
    let Some(extension) = pool.get_extension_by_name("google.api.field_behavior") else { return false };
    let options = field.options();
    let value = options.get_extension(&extension);
    value.as_list().is_some_and(|values| values.iter().any(|value| value.as_enum_number() == Some(REQUIRED)))
}

/// Type and patterns of the resource that a message is.
pub(crate) fn resource(pool: &DescriptorPool, message: &MessageDescriptor) -> Option<(String, Vec<String>)> {
    let resource = of(pool, &message.options(), "google.api.resource")?;
    let patterns = resource.get_field_by_name("pattern")?;
    let patterns = patterns.as_list()?.iter().filter_map(|pattern| pattern.as_str().map(str::to_owned)).collect();
    Some((text(&resource, "type"), patterns))
}
