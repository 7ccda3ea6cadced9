//! Messages, fields and enums as JSON Schema, in their proto3 JSON form. Knows no paths.

use std::collections::{BTreeMap, BTreeSet};

use api::mozaiks::options::v1 as pb;
use prost_reflect::{DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

use super::comments::Comments;

const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;
const INPUT_ONLY: i32 = 4;
const IMMUTABLE: i32 = 5;

/// What the operations refer to, collected as they are written.
pub(super) struct Shapes<'a> {
    comments: &'a Comments,
    behaviour: Option<ExtensionDescriptor>,
    field: Option<ExtensionDescriptor>,
    messages: BTreeMap<String, MessageDescriptor>,
    enums: BTreeMap<String, EnumDescriptor>,
}

impl<'a> Shapes<'a> {
    pub(super) fn of(pool: &DescriptorPool, comments: &'a Comments) -> Self {
        let find = |name: &str| pool.get_extension_by_name(name);
        let (behaviour, field) = (find("google.api.field_behavior"), find("mozaiks.options.v1.field"));
        Self { comments, behaviour, field, messages: BTreeMap::new(), enums: BTreeMap::new() }
    }

    /// Everything referred to, at any depth, with these beside.
    pub(super) fn into_schemas<const N: usize>(mut self, more: [(&str, Value); N]) -> Value {
        let mut schemas: BTreeMap<String, Value> = more.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
        let mut done = BTreeSet::new();
        while let Some((name, message)) =
            self.messages.iter().find(|(name, _)| !done.contains(*name)).map(|(name, message)| (name.clone(), message.clone()))
        {
            let schema = self.object(&message, &[], false);
            done.insert(name.clone());
            schemas.insert(name, schema);
        }
        for (name, descriptor) in &self.enums {
            let values: Vec<Value> = descriptor.values().map(|value| value.name().into()).collect();
            let meanings = descriptor.values().map(|value| {
                let text = self.comments.on(&descriptor.parent_file(), value.path());
                format!("- `{}`: {text}", value.name())
            });
            let text = self.comments.on(&descriptor.parent_file(), descriptor.path());
            let text = format!("{text}\n\n{}", meanings.collect::<Vec<_>>().join("\n"));
            schemas.insert(name.clone(), json!({ "type": "string", "enum": values, "description": text.trim() }));
        }
        json!(schemas)
    }

    /// A message by its name among the components.
    pub(super) fn reference(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known(message) {
            return schema;
        }
        let name = component(message.full_name());
        self.messages.insert(name.clone(), message.clone());
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// A message in place, without the fields that stand elsewhere. `is_partial`: nothing has to be there.
    pub(super) fn object(&mut self, message: &MessageDescriptor, elsewhere: &[u32], is_partial: bool) -> Value {
        let (mut properties, mut required) = (serde_json::Map::new(), Vec::new());
        for field in message.fields().filter(|field| !elsewhere.contains(&field.number())) {
            let schema = self.property(&field);
            properties.insert(field.json_name().to_owned(), schema);
            if !is_partial && self.is_required(&field) {
                required.push(field.json_name().to_owned());
            }
        }
        let text = self.comments.on(&message.parent_file(), message.path());
        let mut object = json!({ "type": "object", "description": text, "properties": properties });
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        let choices = message.oneofs().filter(|oneof| !oneof.is_synthetic());
        let choices = choices.map(|oneof| oneof.fields().map(|field| field.json_name().to_owned()).collect::<Vec<_>>());
        let choices: Vec<Vec<String>> = choices.collect();
        if !choices.is_empty() {
            object["x-mozaiks-at-most-one-of"] = json!(choices);
        }
        object
    }

    fn property(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = self.value(field);
        let text = self.comment(field);
        if !text.is_empty() {
            schema["description"] = text.into();
        }
        for (behaviour, key) in [(OUTPUT_ONLY, "readOnly"), (INPUT_ONLY, "writeOnly"), (IMMUTABLE, "x-mozaiks-immutable")] {
            if self.behaves(field, behaviour) {
                schema[key] = true.into();
            }
        }
        schema
    }

    /// What a field holds, lists and maps as such.
    pub(super) fn value(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                json!({ "type": "object", "additionalProperties": self.single(&entry.map_entry_value_field()) })
            }
            _ if field.is_list() => json!({ "type": "array", "items": self.single(field) }),
            _ => self.single(field),
        }
    }

    fn single(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Message(message) => self.reference(&message),
            Kind::Enum(descriptor) => {
                let name = component(descriptor.full_name());
                self.enums.insert(name.clone(), descriptor);
                json!({ "$ref": format!("#/components/schemas/{name}") })
            }
            Kind::String if self.is_secret(field) => json!({ "type": "string", "format": "password" }),
            kind => scalar(&kind),
        }
    }

    pub(super) fn comment(&self, field: &FieldDescriptor) -> String {
        self.comments.on(&field.parent_file(), field.path())
    }

    pub(super) fn is_required(&self, field: &FieldDescriptor) -> bool {
        self.behaves(field, REQUIRED)
    }

    pub(super) fn is_output_only(&self, field: &FieldDescriptor) -> bool {
        self.behaves(field, OUTPUT_ONLY)
    }

    fn behaves(&self, field: &FieldDescriptor, behaviour: i32) -> bool {
        let Some(extension) = &self.behaviour else { return false };
        let options = field.options();
        let value = options.get_extension(extension);
        value.as_list().is_some_and(|values| values.iter().any(|value| value.as_enum_number() == Some(behaviour)))
    }

    fn is_secret(&self, field: &FieldDescriptor) -> bool {
        let Some(extension) = &self.field else { return false };
        let options = field.options();
        let value = options.get_extension(extension);
        value.as_message().and_then(|ours| ours.transcode_to::<pb::Field>().ok()).is_some_and(|ours| ours.secret)
    }
}

/// `identity.v1.App`: components have no slashes, and ours need no first name.
fn component(full_name: &str) -> String {
    full_name.strip_prefix("mozaiks.").unwrap_or(full_name).to_owned()
}

fn scalar(kind: &Kind) -> Value {
    match kind {
        Kind::Double | Kind::Float => json!({ "type": "number" }),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
        Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX }),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]+$" }),
        Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64", "pattern": "^[0-9]+$" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::String | Kind::Enum(_) | Kind::Message(_) => json!({ "type": "string" }),
    }
}

/// The messages with a JSON of their own.
fn well_known(message: &MessageDescriptor) -> Option<Value> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    Some(match name {
        "Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "Duration" => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$" }),
        "FieldMask" => json!({ "type": "string", "pattern": "^[A-Za-z0-9_.,]*$" }),
        "Struct" | "Any" => json!({ "type": "object", "additionalProperties": true }),
        "ListValue" => json!({ "type": "array", "items": {} }),
        "Empty" => json!({ "type": "object" }),
        "Value" => json!({}),
        _ => scalar(&message.get_field(1)?.kind()),
    })
}
