//! Field behaviour (AIP-203) as generated code: what a request must carry, and what it may not set.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;
const IMMUTABLE: i32 = 5;

/// Messages of packages of ours, the options aside.
pub(crate) fn own_messages(pool: &DescriptorPool) -> impl Iterator<Item = MessageDescriptor> {
    pool.all_messages().filter(|message| {
        message.package_name().starts_with("mozaiks.") && message.package_name() != "mozaiks.options.v1" && !message.is_map_entry()
    })
}

/// Names of our packages, sorted.
pub(crate) fn packages(pool: &DescriptorPool) -> BTreeSet<String> {
    pool.files().map(|file| file.package_name().to_owned()).filter(|package| package.starts_with("mozaiks.")).collect()
}

/// Messages that hold a secret field: they get a `Debug` that prints none of it.
pub(crate) fn secret_messages(pool: &DescriptorPool) -> Vec<String> {
    own_messages(pool)
        .filter(|message| message.fields().any(|field| is_secret(pool, &field)))
        .map(|message| format!(".{}", message.full_name()))
        .collect()
}

/// What is wrong with the contracts themselves.
pub(crate) fn faults(pool: &DescriptorPool) -> Vec<String> {
    let mut faults = Vec::new();
    for message in own_messages(pool) {
        for field in message.fields().filter(|field| behaves(pool, field, REQUIRED)) {
            if !field.supports_presence() && !matches!(field.kind(), Kind::String | Kind::Bytes | Kind::Enum(_)) && !field.is_list() {
                faults.push(format!("{}: REQUIRED needs `optional`, its absence cannot be seen otherwise", field.full_name()));
            }
        }
    }
    faults
}

/// `impl Ask` for every message of ours, and an opaque `Debug` for those with secrets.
pub(crate) fn generate(pool: &DescriptorPool) -> String {
    let mut text = String::new();
    for message in own_messages(pool) {
        let path = rust_path(&message);
        let mut body = String::new();
        let partial = message.get_field_by_name("update_mask").is_some();
        for field in message.fields() {
            field_checks(pool, &field, partial, &mut body);
        }
        let _ = writeln!(
            text,
            "impl crate::Ask for crate::{path} {{\n    fn settle(&mut self, faults: &mut crate::Faults, partial: bool) {{\n        let _ = (&faults, partial);\n{body}    }}\n}}"
        );
        if message.fields().any(|field| is_secret(pool, &field)) {
            let _ = writeln!(
                text,
                "impl std::fmt::Debug for crate::{path} {{\n    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{\n        f.write_str(\"{} {{ .. }}\")\n    }}\n}}",
                message.name()
            );
        }
    }
    text
}

fn field_checks(pool: &DescriptorPool, field: &FieldDescriptor, partial: bool, body: &mut String) {
    let name = field.name();
    let in_oneof = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
    if in_oneof {
        return;
    }
    let rust = if name == "type" { "r#type" } else { name };
    if behaves(pool, field, OUTPUT_ONLY) {
        let _ = writeln!(body, "        self.{rust} = Default::default();");
        return;
    }
    if behaves(pool, field, REQUIRED) {
        let missing = match field.kind() {
            _ if field.supports_presence() => format!("self.{rust}.is_none()"),
            Kind::Enum(_) if !field.is_list() => format!("self.{rust} == 0"),
            _ => format!("self.{rust}.is_empty()"),
        };
        let _ = writeln!(body, "        if !partial && {missing} {{ faults.add(\"{name}\", \"is required\"); }}");
    }
    match (name, field.kind()) {
        ("page_size", Kind::Int32) => {
            let _ = writeln!(body, "        crate::ask::page_size(&mut self.{rust}, faults);");
        }
        ("request_id", Kind::String) => {
            let _ = writeln!(body, "        crate::ask::request_id(&self.{rust}, faults);");
        }
        ("update_mask", Kind::Message(_)) => {
            let _ =
                writeln!(body, "        crate::ask::mask(&self.{rust}, &{:?}, faults);", immutable_fields(pool, field.parent_message()));
        }
        (_, Kind::Message(inner)) if inner.package_name().starts_with("mozaiks.") && !field.is_map() => {
            let below =
                if field.is_list() { format!("for inner in &mut self.{rust}") } else { format!("if let Some(inner) = &mut self.{rust}") };
            let _ = writeln!(
                body,
                "        {below} {{ faults.below(\"{name}\", |faults| crate::Ask::settle(inner, faults, {partial} || partial)); }}"
            );
        }
        _ => {}
    }
}

/// Fields of the resource of an update that may not stand in its mask.
fn immutable_fields(pool: &DescriptorPool, request: &MessageDescriptor) -> Vec<String> {
    let resources = request.fields().filter_map(|field| match field.kind() {
        Kind::Message(inner) if inner.package_name().starts_with("mozaiks.") => Some(inner),
        _ => None,
    });
    resources
        .flat_map(|resource| resource.fields().collect::<Vec<_>>())
        .filter(|field| behaves(pool, field, IMMUTABLE) || behaves(pool, field, OUTPUT_ONLY))
        .map(|field| field.name().to_owned())
        .collect()
}

fn behaves(pool: &DescriptorPool, field: &FieldDescriptor, behaviour: i32) -> bool {
    let Some(extension) = pool.get_extension_by_name("google.api.field_behavior") else { return false };
    let options = field.options();
    let Value::List(values) = options.get_extension(&extension).into_owned() else { return false };
    values.iter().any(|value| value.as_enum_number() == Some(behaviour))
}

fn is_secret(pool: &DescriptorPool, field: &FieldDescriptor) -> bool {
    let Some(extension) = pool.get_extension_by_name("mozaiks.options.v1.field") else { return false };
    let options: DynamicMessage = field.options();
    let value = options.get_extension(&extension).into_owned();
    value.as_message().and_then(|field| field.get_field_by_name("secret").map(|secret| secret.as_bool() == Some(true))).unwrap_or(false)
}

/// `mozaiks::identity::v1::App`, or `…::app::Inner` for a nested message.
pub(crate) fn rust_path(message: &MessageDescriptor) -> String {
    let mut path = message.package_name().replace('.', "::");
    let mut parents = Vec::new();
    let mut above = message.parent_message();
    while let Some(parent) = above {
        parents.push(snake(parent.name()));
        above = parent.parent_message();
    }
    for parent in parents.iter().rev() {
        let _ = write!(path, "::{parent}");
    }
    format!("{path}::{}", message.name())
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
