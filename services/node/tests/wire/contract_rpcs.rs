//! The RPCs that there are, read from the contracts, and requests for them in which every name is as it is wanted.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, SerializeOptions};
use serde_json::{Map, Value, json};

use crate::node::PASSWORD;
use crate::wires::POOL;

/// Numbers of `google.api.FieldBehavior`.
const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;
const IDENTIFIER: i32 = 8;

#[derive(Clone)]
pub struct Rpc {
    pub method: MethodDescriptor,
    /// Its `mozaiks.options.v1.access`, as JSON.
    pub access: Value,
}

/// A field that carries a resource name.
pub struct NameField {
    /// JSON names from the request down to the field.
    pub path: Vec<String>,
    /// Such as `apps/*/users/*`; `*` for a bare app id.
    pub shape: String,
}

/// Where names lie: an app, somebody in it, a session of theirs; and what they could show for themselves.
#[derive(Clone)]
pub struct Place {
    pub app: String,
    pub user: String,
    pub session: String,
    pub email: String,
    pub refresh_token: String,
    pub token: String,
}

impl Place {
    /// The name of this shape in this place.
    pub fn name(&self, shape: &str) -> String {
        let mut collection = "apps";
        let mut segments = Vec::new();
        for segment in shape.split('/') {
            segments.push(if segment == "*" { self.id(collection) } else { segment });
            collection = segment;
        }
        segments.join("/")
    }

    fn id(&self, collection: &str) -> &str {
        match collection {
            "apps" => &self.app,
            "users" => &self.user,
            "sessions" => &self.session,
            other => panic!("a place has no {other} yet: add what the tests shall call by such a name"),
        }
    }
}

impl Rpc {
    pub fn all() -> Vec<Self> {
        let methods = POOL
            .services()
            .filter(|service| service.package_name().starts_with("mozaiks."))
            .flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.map(|method| Self { access: option(&method.options(), "mozaiks.options.v1.access").unwrap(), method }).collect()
    }

    pub fn label(&self) -> String {
        format!("{}/{}", self.method.parent_service().name(), self.method.name())
    }

    /// Nobody needs to be signed in.
    pub fn is_open(&self) -> bool {
        ["CALLER_ANYONE", "CALLER_PROOF"].contains(&self.access["caller"].as_str().unwrap())
    }

    /// `NO_SIDE_EFFECTS`, `IDEMPOTENT`, or neither.
    pub fn idempotency(&self) -> String {
        let level = self.method.options().get_field_by_name("idempotency_level").unwrap().as_enum_number().unwrap();
        ["", "NO_SIDE_EFFECTS", "IDEMPOTENT"][usize::try_from(level).unwrap()].to_owned()
    }

    /// A part of the access option, such as `plane`.
    pub fn says(&self, part: &str) -> &str {
        self.access[part].as_str().unwrap_or_default()
    }

    pub fn has(&self, field: &str) -> bool {
        self.method.input().get_field_by_name(field).is_some()
    }

    /// A request in which every name lies in `app`, shaped as the REST rule wants it.
    pub fn ask(&self, app: &str) -> Value {
        let named = |shape: &str| json!(shape.replacen('*', app, 1).replace('*', "x1"));
        let mut ask = Map::new();
        if self.has("target") {
            ask.insert("target".into(), named("apps/*"));
        }
        for (field, shape) in self.variables() {
            match field.split_once('.') {
                Some((outer, inner)) => ask.insert(outer.into(), json!({ inner: named(&shape) })),
                None => ask.insert(self.method.input().get_field_by_name(&field).unwrap().json_name().into(), named(&shape)),
            };
        }
        Value::Object(ask)
    }

    /// A request that lacks nothing, with every name in `place`.
    pub fn whole_ask(&self, place: &Place) -> Value {
        let mut ask = json!({});
        for field in self.method.input().fields().filter(|field| behaves(field, REQUIRED)) {
            if let Some(value) = self.valid(&field, place) {
                ask[field.json_name()] = value;
            }
        }
        for name in self.names() {
            *at(&mut ask, &name.path) = json!(place.name(&name.shape));
        }
        ask
    }

    /// Every field of the request that carries a name, at any depth.
    pub fn names(&self) -> Vec<NameField> {
        let mut found = Vec::new();
        self.names_in(&self.method.input(), &[], &mut found);
        found
    }

    fn names_in(&self, message: &MessageDescriptor, above: &[&FieldDescriptor], found: &mut Vec<NameField>) {
        for field in message.fields().filter(|field| !behaves(field, OUTPUT_ONLY)) {
            let path: Vec<&FieldDescriptor> = above.iter().copied().chain([&field]).collect();
            match (pattern(message, &field), field.kind()) {
                (Some(pattern), _) => {
                    let spelled = path.iter().map(|field| field.name()).collect::<Vec<_>>().join(".");
                    let of_rest = self.variables().into_iter().find(|(variable, _)| *variable == spelled);
                    let shape = of_rest.map_or_else(|| starred(&pattern), |(_, shape)| shape);
                    found.push(NameField { path: path.iter().map(|field| field.json_name().to_owned()).collect(), shape });
                }
                (None, Kind::Message(inner)) if !field.is_list() && !field.is_map() => self.names_in(&inner, &path, found),
                _ => {}
            }
        }
    }

    /// A value with which the call goes through. None for a name, which is set apart.
    fn valid(&self, field: &FieldDescriptor, place: &Place) -> Option<Value> {
        Some(match field.name() {
            "app" => json!({ "displayName": "Any" }),
            "user" => json!({ "email": fresh_address(), "profile": { "displayName": "Any" } }),
            "update_mask" => json!(if self.has("app") { "displayName" } else { "profile.displayName" }),
            "email" => json!(fresh_address()),
            "identifier" => json!({ "email": place.email }),
            "check" => json!({ "password": PASSWORD }),
            "password" | "current_password" => json!(PASSWORD),
            "new_password" => json!("another correct horse"),
            "reason" => json!("for a while"),
            "confirm" => json!(place.app),
            "refresh_token" => json!(place.refresh_token),
            "token" => json!(place.token),
            _ if pattern(&self.method.input(), field).is_some() => return None,
            other => panic!("{}: say here what a valid {other} is", self.label()),
        })
    }

    /// Fields in the path of the REST rule, with the shapes they have there.
    fn variables(&self) -> Vec<(String, String)> {
        let rule = option(&self.method.options(), "google.api.http").unwrap();
        let template = ["get", "post", "patch", "delete", "put"].iter().find_map(|verb| rule[verb].as_str()).unwrap();
        let variables = template.split('{').skip(1).filter_map(|part| part.split('}').next());
        variables.map(|variable| variable.split_once('=').unwrap_or((variable, "*"))).map(|(f, s)| (f.into(), s.into())).collect()
    }
}

/// The place of a field in a request, made where it is missing.
pub fn at<'a>(ask: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(ask, |value, key| &mut value[key.as_str()])
}

fn fresh_address() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    format!("fresh-{}@example.com", GIVEN.fetch_add(1, Ordering::Relaxed))
}

/// The first pattern of the resource that a field names; `{app}` for a bare app id.
fn pattern(message: &MessageDescriptor, field: &FieldDescriptor) -> Option<String> {
    let first = |resource: Value| resource["pattern"][0].as_str().unwrap().to_owned();
    if option(&field.options(), "mozaiks.options.v1.field").is_some_and(|field| field["appId"] == json!(true)) {
        return Some("{app}".into());
    }
    if behaves(field, IDENTIFIER) {
        return option(&message.options(), "google.api.resource").map(first);
    }
    let reference = option(&field.options(), "google.api.resource_reference")?;
    let resources = POOL.all_messages().filter_map(|message| option(&message.options(), "google.api.resource"));
    resources.filter(|resource| resource["type"] == reference["type"]).map(first).next()
}

fn starred(pattern: &str) -> String {
    pattern.split('/').map(|segment| if segment.starts_with('{') { "*" } else { segment }).collect::<Vec<_>>().join("/")
}

fn behaves(field: &FieldDescriptor, behavior: i32) -> bool {
    let extension = POOL.get_extension_by_name("google.api.field_behavior").unwrap();
    let options = field.options();
    let behaviors = options.get_extension(&extension);
    behaviors.as_list().unwrap().iter().any(|found| found.as_enum_number() == Some(behavior))
}

fn option(options: &DynamicMessage, extension: &str) -> Option<Value> {
    let extension = POOL.get_extension_by_name(extension).unwrap();
    options.has_extension(&extension).then(|| {
        let set = options.get_extension(&extension);
        set.as_message().unwrap().serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new()).unwrap()
    })
}
