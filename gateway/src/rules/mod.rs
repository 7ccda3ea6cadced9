//! The REST side of the contracts: rules of `google.api.http` read once into a trie, every fault of theirs at once.
//! Also what the description of the API is written from.

pub(crate) mod bind;
pub(crate) mod template;
pub(crate) mod trie;

use std::sync::Arc;

use http::Method as Verb;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use rpc::{Method, Schema};

use self::bind::FieldPath;
use self::template::{Segment, Template};
use self::trie::{Match, Trie};
use crate::json::Form;

/// Paths of earlier products that callers outside the repository use: area, path. Each is served as a further binding of the
/// method that took its place, for one major version; no other path lies outside `/api/core/<area>/`.
const ALIASES: [(&str, &str); 7] = [
    ("billing", "/api/mozaiks/pay/checkout"),
    ("billing", "/api/mozaiks/pay/subscription-status"),
    ("billing", "/api/mozaiks/pay/cancel"),
    ("billing", "/api/mozaiks/pay/webhook"),
    ("billing", "/api/payments/webhook"),
    ("insights", "/api/insights/ingest/kpis"),
    ("insights", "/api/insights/ingest/events"),
];

/// The segment behind `/api/core/<area>`.
const VERSION_AT: usize = 3;

/// One way to call a method by REST.
#[derive(Debug)]
pub struct Rule {
    /// The HTTP method.
    pub verb: Verb,
    /// The path, as the contract writes it.
    pub template: String,
    /// What is called.
    pub method: Arc<Method>,
    pub(crate) path: Template,
    /// In the order of the template's variables.
    pub(crate) variables: Vec<FieldPath>,
    pub(crate) takes: Takes,
    pub(crate) gives: Gives,
    /// What `if-match` fills.
    pub(crate) etag: Option<FieldPath>,
    /// What `idempotency-key` fills.
    pub(crate) request_id: Option<FieldPath>,
}

/// What the body of a request is.
#[derive(Debug)]
pub(crate) enum Takes {
    Nothing,
    Whole(Form),
    Field(u32, Form),
}

/// What the body of an answer is.
#[derive(Debug)]
pub(crate) struct Gives {
    /// One field of the answer; none = all of it.
    pub(crate) field: Option<u32>,
    pub(crate) form: Form,
    /// Number of the given message's own etag.
    pub(crate) etag: Option<u32>,
    /// Number of the name of what the call has made, where it makes something.
    pub(crate) made: Option<u32>,
}

/// All rules.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    trie: Trie,
}

/// What stands under a path and an HTTP method.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Rule(&'a Rule, Vec<&'a str>),
    Verbs(Vec<Verb>),
    Nothing,
}

/// Reads the rules of every method of ours. Errors: all their faults, each naming its method.
pub fn rules(schema: &Schema) -> Result<Rules, Vec<String>> {
    let Some(option) = schema.pool().get_extension_by_name("google.api.http") else { return Ok(Rules::default()) };
    let mut methods: Vec<&Arc<Method>> = schema.methods().filter(|method| !method.area.is_empty()).collect();
    methods.sort_by(|one, other| one.path.cmp(&other.path));
    let (mut rules, mut faults) = (Rules::default(), Vec::new());
    for method in methods {
        let options = method.descriptor.options();
        if !options.has_extension(&option) {
            continue;
        }
        let value = options.get_extension(&option);
        for binding in value.as_message().map(bindings).unwrap_or_default() {
            let added = Rule::read(method, &binding).and_then(|rule| rules.add(rule));
            faults.extend(added.err().map(|fault| format!("{}: {fault}", method.path)));
        }
    }
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}

/// A rule and those that stand beside it.
fn bindings(rule: &DynamicMessage) -> Vec<DynamicMessage> {
    let more = rule.get_field_by_name("additional_bindings");
    let more = more.iter().filter_map(|more| more.as_list()).flatten().filter_map(|more| more.as_message().cloned());
    std::iter::once(rule.clone()).chain(more).collect()
}

impl Rules {
    /// Every rule, by method.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    fn add(&mut self, rule: Rule) -> Result<(), String> {
        let same = |other: &Rule| format!("{} {} is also {} of {}", rule.verb, rule.template, other.template, other.method.path);
        match self.trie.insert(&rule.path, &rule.verb, self.rules.len()) {
            Ok(()) => self.rules.push(rule),
            Err(other) => return Err(self.rules.get(other).map_or_else(String::new, same)),
        }
        Ok(())
    }

    /// Where a resource of an area is read, by its full name; none when no rule reads it or the name is none.
    pub(crate) fn location(&self, area: &str, name: &str) -> Option<String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/');
        let path = format!("/api/core/{area}/{name}");
        let is_read = name.bytes().all(is_plain) && matches!(self.find(&path, &Verb::GET), Found::Rule(..));
        is_read.then_some(path)
    }

    pub(crate) fn find<'a>(&'a self, path: &'a str, verb: &Verb) -> Found<'a> {
        match self.trie.find(path, verb) {
            Match::Rule(rule, segments) => self.rules.get(rule).map_or(Found::Nothing, |rule| Found::Rule(rule, segments)),
            Match::Methods(verbs) => Found::Verbs(verbs),
            Match::Nothing => Found::Nothing,
        }
    }
}

impl Rule {
    fn read(method: &Arc<Method>, rule: &DynamicMessage) -> Result<Self, String> {
        let (verb, template) = pattern(rule).ok_or("a rule has no path")?;
        let fault = |fault: &str| format!("{verb} {template}: {fault}");
        let parsed_verb = Verb::from_bytes(verb.as_bytes()).map_err(|_| fault("the verb is malformed"))?;
        let path = Template::parse(&template).map_err(fault)?;
        let is_at_home = template.starts_with(&format!("/api/core/{}/", method.area));
        if !is_at_home && !ALIASES.contains(&(&*method.area, template.as_str())) {
            return Err(fault("the path lies outside of its area"));
        }
        if is_at_home && !names_its_version(&path, method.descriptor.parent_service().package_name()) {
            return Err(fault("a segment like v2 stands behind the area, in the paths of that version alone"));
        }
        if method.descriptor.is_client_streaming() || method.descriptor.is_server_streaming() {
            return Err(fault("streams are not offered over REST"));
        }
        let ask = method.descriptor.input();
        let variables = path.variables.iter().map(|variable| variable_field(&ask, &variable.path).map_err(|why| fault(&why)));
        let variables = variables.collect::<Result<_, _>>()?;
        let (takes, resource) = takes(&ask, &text(rule, "body")).map_err(|why| fault(&why))?;
        let mut gives = gives(method.descriptor.output(), &text(rule, "response_body")).map_err(|why| fault(&why))?;
        if parsed_verb != Verb::POST || path.verb.is_some() || !method.descriptor.name().starts_with("Create") {
            gives.made = None;
        }
        let etag = resource.map(|field| format!("{}.etag", field.name()));
        let etag = etag.and_then(|path| text_field(&ask, &path)).or_else(|| text_field(&ask, "etag"));
        let request_id = text_field(&ask, "request_id");
        Ok(Self { verb: parsed_verb, template, method: method.clone(), path, variables, takes, gives, etag, request_id })
    }

    /// The field that a query key fills: one that neither the path nor the body covers.
    pub(crate) fn query_field(&self, key: &str) -> Option<FieldPath> {
        let field = FieldPath::find(&self.method.descriptor.input(), key)?;
        let numbers = field.numbers();
        let in_body = match &self.takes {
            Takes::Nothing => false,
            Takes::Whole(_) => true,
            Takes::Field(number, _) => numbers.first() == Some(number),
        };
        let in_path = self.variables.iter().any(|variable| variable.numbers() == numbers);
        (!in_body && !in_path).then_some(field)
    }
}

/// The first version stays bare; a later one stands behind the area, and no other segment may look like one.
fn names_its_version(path: &Template, package: &str) -> bool {
    let is_version =
        |text: &str| text.strip_prefix('v').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let named = path.segments.iter().enumerate().filter_map(|(at, segment)| match segment {
        Segment::Literal(text) if is_version(text) => Some((at, text.as_str())),
        _ => None,
    });
    let version = package.rsplit('.').next().filter(|version| is_version(version) && *version != "v1");
    named.eq(version.map(|version| (VERSION_AT, version)))
}

fn pattern(rule: &DynamicMessage) -> Option<(String, String)> {
    let verb = ["get", "put", "post", "delete", "patch"].into_iter().find(|verb| rule.has_field_by_name(verb));
    if let Some(verb) = verb {
        return Some((verb.to_ascii_uppercase(), text(rule, verb)));
    }
    let custom = rule.get_field_by_name("custom").filter(|_| rule.has_field_by_name("custom"))?;
    let custom = custom.as_message()?;
    Some((text(custom, "kind"), text(custom, "path")))
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn variable_field(ask: &MessageDescriptor, path: &str) -> Result<FieldPath, String> {
    let field = FieldPath::find(ask, path).ok_or_else(|| format!("{path} is no field of the request"))?;
    let is_one_text = field.last().is_some_and(bind::is_scalar) && !field.is_choice();
    if is_one_text { Ok(field) } else { Err(format!("{path} is repeated, a message, or in a oneof")) }
}

fn text_field(ask: &MessageDescriptor, path: &str) -> Option<FieldPath> {
    let is_text = |field: &FieldDescriptor| bind::is_scalar(field) && matches!(field.kind(), Kind::String);
    FieldPath::find(ask, path).filter(|path| path.last().is_some_and(is_text))
}

fn takes(ask: &MessageDescriptor, body: &str) -> Result<(Takes, Option<FieldDescriptor>), String> {
    match body {
        "" => Ok((Takes::Nothing, None)),
        "*" => Ok((Takes::Whole(Form::of(ask.clone())), None)),
        name => {
            let (field, message) = message_field(ask, name).map_err(|fault| format!("body {fault}"))?;
            Ok((Takes::Field(field.number(), Form::of(message)), Some(field)))
        }
    }
}

fn gives(answer: MessageDescriptor, body: &str) -> Result<Gives, String> {
    let (field, message) = match body {
        "" => (None, answer),
        name => {
            let (field, message) = message_field(&answer, name).map_err(|fault| format!("response_body {fault}"))?;
            (Some(field.number()), message)
        }
    };
    let text = |name| message.get_field_by_name(name).filter(|field| bind::is_scalar(field) && matches!(field.kind(), Kind::String));
    let number = |name| text(name).map(|field| field.number());
    Ok(Gives { field, etag: number("etag"), made: number("name"), form: Form::of(message) })
}

/// A field that holds one message and no choice.
fn message_field(message: &MessageDescriptor, name: &str) -> Result<(FieldDescriptor, MessageDescriptor), String> {
    let field = message.get_field_by_name(name).ok_or_else(|| format!("{name} is no field of {}", message.full_name()))?;
    let in_oneof = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
    match field.kind() {
        Kind::Message(inner) if !field.is_list() && !field.is_map() && !in_oneof => Ok((field, inner)),
        _ => Err(format!("{name} is repeated, a map, in a oneof, or no message")),
    }
}
