//! One rule as an operation: its path, its parameters, bodies in and out, who may call it. Must not know any method.

use api::mozaiks::options::v1::{Caller, StabilityLevel};
use http::Method as Verb;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use rpc::Schema;
use serde_json::{Value, json};

use super::comments::{self, Comments};
use super::shape::Shapes;
use crate::json::Form;
use crate::rules::bind::FieldPath;
use crate::rules::template::Segment;
use crate::rules::{Rule, Takes};
use crate::stability;

/// One rule, as the `binding`-th of its method.
pub(super) struct Operation<'a> {
    pub(super) schema: &'a Schema,
    pub(super) comments: &'a Comments,
    pub(super) rule: &'a Rule,
    pub(super) binding: usize,
}

/// Segments of a resource name (AIP-122), as the kernel reads them.
const NAME_SEGMENT: &str = "^[A-Za-z0-9._~-]+$";
/// What any other segment may hold: nothing that could be read in two ways.
const OTHER_SEGMENT: &str = "^[^/\\u0000-\\u001f\\u007f]+$";

/// An open segment of a path.
struct Open<'a> {
    segment: &'a Segment,
    /// The literal that it stands behind.
    before: &'a str,
    /// The field that it fills alone; none when it is a part of a name.
    field: Option<&'a FieldDescriptor>,
}

fn open_segments(rule: &Rule) -> Vec<Open<'_>> {
    let (mut open, mut before) = (Vec::new(), "");
    for (at, segment) in rule.path.segments.iter().enumerate() {
        let own = rule.path.variables.iter().zip(&rule.variables).find(|(variable, _)| variable.is_alone_at(at));
        match segment {
            Segment::Literal(text) => before = text,
            Segment::Any | Segment::Rest => open.push(Open { segment, before, field: own.and_then(|(_, field)| field.last()) }),
        }
    }
    open
}

/// A name for every open segment of the path: `app` behind `apps`, the field's own where it fills one alone.
pub(super) fn names(rule: &Rule) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for open in open_segments(rule) {
        let name = match (open.field, open.segment) {
            (Some(field), _) => field.json_name().to_owned(),
            (None, Segment::Rest) => "rest".to_owned(),
            (None, _) => singular(open.before),
        };
        let repeats = names.iter().filter(|other| **other == name).count();
        names.push(if repeats == 0 { name } else { format!("{name}{}", repeats + 1) });
    }
    names
}

fn singular(plural: &str) -> String {
    match plural.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => plural.strip_suffix('s').unwrap_or(plural).to_owned(),
    }
}

/// The path with these names in its open segments.
pub(super) fn spell(rule: &Rule, names: &[String]) -> String {
    let mut names = names.iter();
    let segments = rule.path.segments.iter().map(|segment| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::Any | Segment::Rest => format!("/{{{}}}", names.next().map_or("", String::as_str)),
    });
    segments.collect::<String>() + &rule.path.verb.as_ref().map(|verb| format!(":{verb}")).unwrap_or_default()
}

impl Operation<'_> {
    pub(super) fn describe(&mut self, names: &[String], shapes: &mut Shapes<'_>) -> Value {
        let method = &self.rule.method.descriptor;
        let service = method.parent_service();
        let text = self.comments.on(&service.parent_file(), method.path());
        let suffix = if self.binding == 1 { String::new() } else { format!("_{}", self.binding) };
        let mut operation = json!({
            "operationId": format!("{}_{}{suffix}", service.name(), method.name()),
            "tags": [service.name()],
            "summary": comments::summary(&text),
            "description": text,
            "parameters": self.parameters(names, shapes),
            "responses": self.responses(shapes),
            "security": [],
        });
        let reasons = comments::reasons(&text);
        if !reasons.is_empty() {
            operation["x-mozaiks-reasons"] = json!(reasons);
        }
        if let Some(body) = self.body(shapes) {
            operation["requestBody"] = body;
        }
        self.access(&mut operation);
        self.stability(&mut operation);
        operation
    }

    fn access(&self, operation: &mut Value) {
        let Some(access) = &self.rule.method.access else { return };
        if !matches!(access.caller(), Caller::Anyone | Caller::Proof) {
            operation["security"] = json!([{ "bearer": [] }]);
        }
        if !access.permission.is_empty() {
            operation["x-mozaiks-permission"] = access.permission.as_str().into();
        }
        if access.max_auth_age_seconds > 0 {
            operation["x-mozaiks-max-auth-age-seconds"] = access.max_auth_age_seconds.into();
        }
    }

    fn stability(&self, operation: &mut Value) {
        let Some(stability) = stability::stability(self.schema.pool(), &self.rule.method.descriptor) else { return };
        let level = match stability.level() {
            StabilityLevel::Alpha => "alpha",
            StabilityLevel::Beta => "beta",
            StabilityLevel::Stable | StabilityLevel::Unspecified => "stable",
        };
        operation["x-mozaiks-stability"] = level.into();
        if !stability.deprecated_since.is_empty() {
            operation["deprecated"] = true.into();
        }
        for (key, text) in
            [("deprecated-since", &stability.deprecated_since), ("sunset", &stability.sunset), ("replacement", &stability.replacement)]
        {
            if !text.is_empty() {
                operation[format!("x-mozaiks-{key}")] = text.as_str().into();
            }
        }
    }

    fn parameters(&self, names: &[String], shapes: &mut Shapes<'_>) -> Value {
        let mut parameters: Vec<Value> = Vec::new();
        for (name, open) in names.iter().zip(open_segments(self.rule)) {
            let schema = match open.field {
                None => json!({ "type": "string", "pattern": NAME_SEGMENT }),
                Some(field) if matches!(field.kind(), Kind::String) => json!({ "type": "string", "pattern": OTHER_SEGMENT }),
                Some(field) => shapes.value(field),
            };
            let text = open.field.map(|field| shapes.comment(field)).unwrap_or_default();
            parameters.push(json!({ "name": name, "in": "path", "required": true, "description": text, "schema": schema }));
        }
        self.query(&self.rule.method.descriptor.input(), &mut Vec::new(), &mut parameters, shapes);
        let shared = [
            (self.rule.etag.is_some() && self.rule.gives.made.is_none(), "IfMatch"),
            (self.rule.request_id.is_some(), "IdempotencyKey"),
            (self.rule.verb == Verb::GET && self.rule.gives.etag.is_some(), "IfNoneMatch"),
        ];
        let shared = shared.into_iter().filter(|(due, _)| *due);
        parameters.extend(shared.map(|(_, name)| json!({ "$ref": format!("#/components/parameters/{name}") })));
        parameters.into()
    }

    /// Every field that a query key may fill; those below a message by their path.
    fn query(&self, message: &MessageDescriptor, above: &mut Vec<FieldDescriptor>, parameters: &mut Vec<Value>, shapes: &mut Shapes<'_>) {
        let fields: Vec<FieldDescriptor> = message.fields().filter(|field| !field.is_map() && !shapes.is_output_only(field)).collect();
        for field in fields {
            let key = above.iter().chain([&field]).map(FieldDescriptor::json_name).collect::<Vec<_>>().join(".");
            let Some(path) = self.rule.query_field(&key) else { continue };
            match field.kind() {
                Kind::Message(inner) if !FieldPath::is_text(&field) => {
                    let is_within_itself = above.iter().any(|field| field.parent_message() == &inner) || message == &inner;
                    if !field.is_list() && !is_within_itself {
                        above.push(field);
                        self.query(&inner, above, parameters, shapes);
                        above.pop();
                    }
                }
                _ => parameters.push(json!({
                    "name": key,
                    "in": "query",
                    "required": path.numbers().len() == 1 && shapes.is_required(&field),
                    "description": shapes.comment(&field),
                    "schema": shapes.value(&field),
                })),
            }
        }
    }

    /// Unknown fields of a request are refused; those of an answer may come any day.
    fn body(&self, shapes: &mut Shapes<'_>) -> Option<Value> {
        let is_partial = self.rule.verb == Verb::PATCH;
        let (form, mut schema) = match &self.rule.takes {
            Takes::Nothing => return None,
            Takes::Whole(form @ Form::Json(codec)) => {
                let in_path: Vec<u32> = self.rule.variables.iter().filter_map(|path| path.numbers().first().copied()).collect();
                (form, shapes.object(codec.message(), &in_path, is_partial))
            }
            // What a change leaves out stays as it is, whatever the resource itself requires.
            Takes::Field(_, form @ Form::Json(codec)) if is_partial => (form, shapes.object(codec.message(), &[], true)),
            Takes::Field(_, form @ Form::Json(codec)) => (form, shapes.reference(codec.message())),
            Takes::Whole(form) | Takes::Field(_, form) => (form, json!({})),
        };
        if matches!(form, Form::Json(_)) {
            schema["unevaluatedProperties"] = false.into();
        }
        Some(json!({ "required": false, "content": content(form, &schema) }))
    }

    fn responses(&self, shapes: &mut Shapes<'_>) -> Value {
        let gives = &self.rule.gives;
        let schema = match &gives.form {
            Form::Json(codec) => shapes.reference(codec.message()),
            Form::Raw => json!({}),
        };
        let mut done = json!({ "description": "Done.", "content": content(&gives.form, &schema) });
        for (due, name) in [(gives.etag.is_some(), "ETag"), (gives.made.is_some(), "Location")] {
            if due {
                done["headers"][name] = json!({ "$ref": format!("#/components/headers/{name}") });
            }
        }
        let mut responses = json!({ "200": done, "default": { "$ref": "#/components/responses/Error" } });
        if self.rule.verb == Verb::GET && gives.etag.is_some() {
            responses["304"] = json!({ "description": "The version that the caller holds is the newest." });
        }
        responses
    }
}

fn content(form: &Form, schema: &Value) -> Value {
    match form {
        Form::Json(_) => json!({ "application/json": { "schema": schema } }),
        Form::Raw => json!({ "*/*": { "schema": schema } }),
    }
}
