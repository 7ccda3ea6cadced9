//! What a node refuses to start on, judged from the contracts alone. Rules about REST are the gateway's.

use std::collections::BTreeSet;

use api::mozaiks::options::v1::{Access, Caller, Plane, Tenancy, Within};
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use crate::names::NameField;
use crate::options::Options;
use crate::schema::{Method, OURS};

/// Everything wrong with the access rule of a method of ours.
pub(crate) fn refusals(method: &Method) -> Vec<&'static str> {
    let Some(access) = &method.access else { return vec!["no access option"] };
    let rules = [
        (access.plane() == Plane::Unspecified, "plane is unspecified"),
        (access.caller() == Caller::Unspecified, "caller is unspecified"),
        (access.tenancy() == Tenancy::Unspecified, "tenancy is unspecified"),
        (access.permission.is_empty() && !may_lack_permission(access), "permission is empty"),
        (has_no_side_effects(&method.descriptor) && access.permission.ends_with(".write"), "NO_SIDE_EFFECTS with a permission to write"),
        (access.test_apps_only, "test_apps_only is not enforced yet"),
    ];
    let tenancy = tenancy_rules(access, method.names.is_empty());
    rules.into_iter().chain(tenancy).filter(|(broken, _)| *broken).map(|(_, fault)| fault).collect()
}

fn tenancy_rules(access: &Access, nameless: bool) -> [(bool, &'static str); 5] {
    let open = is_open(access);
    let tenancy = access.tenancy();
    let needs_caller = matches!(tenancy, Tenancy::Caller | Tenancy::Creates | Tenancy::Enters | Tenancy::Installation);
    let installation_wide = access.caller() == Caller::Service || access.plane() == Plane::Operator;
    [
        (open && (needs_caller || access.within() == Within::Self_), "the rule needs a caller, but anyone may call"),
        (open && matches!(access.plane(), Plane::App | Plane::Operator), "only the PUBLIC plane is open to anyone"),
        (tenancy == Tenancy::Name && nameless, "tenancy NAME, but no field of the request names a resource"),
        (tenancy == Tenancy::Caller && !nameless, "tenancy CALLER, but the request names resources"),
        (tenancy == Tenancy::Installation && !installation_wide, "tenancy INSTALLATION is for services and operators"),
    ]
}

/// Whether the method lets in whoever comes: nobody's credential is looked at.
pub(crate) fn is_open(access: &Access) -> bool {
    matches!(access.caller(), Caller::Anyone | Caller::Proof)
}

fn may_lack_permission(access: &Access) -> bool {
    is_open(access) || access.within() == Within::Self_
}

pub(crate) fn has_no_side_effects(method: &MethodDescriptor) -> bool {
    let proto = method.method_descriptor_proto();
    proto.options.as_ref().is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects)
}

/// The name fields of a request at any depth, and what is wrong with its fields.
pub(crate) fn request_fields(options: &Options, request: &MessageDescriptor) -> (Vec<NameField>, Vec<String>) {
    let mut walk = Walk { options, open: Vec::new(), recursive: BTreeSet::new(), names: Vec::new(), faults: Vec::new() };
    walk.message(request, &[], "");
    (walk.names, walk.faults)
}

struct Walk<'a> {
    options: &'a Options,
    /// Messages on the way down.
    open: Vec<String>,
    recursive: BTreeSet<String>,
    names: Vec<NameField>,
    faults: Vec<String>,
}

impl Walk<'_> {
    fn message(&mut self, message: &MessageDescriptor, path: &[u32], prefix: &str) {
        let names_before = self.names.len();
        self.open.push(message.full_name().to_owned());
        for field in message.fields() {
            // What only the server sets is cleared before the handler sees it.
            if !self.options.is_output_only(&field) {
                let path = [path, &[field.number()]].concat();
                self.field(&field, path, format!("{prefix}{}", field.name()));
            }
        }
        self.open.pop();
        if self.recursive.contains(message.full_name()) && self.names.len() > names_before {
            self.faults.push(format!("{} holds names and contains itself", message.full_name()));
        }
    }

    fn field(&mut self, field: &FieldDescriptor, path: Vec<u32>, spelled: String) {
        if self.options.is_required(field) && !absence_is_seen(field) {
            self.faults.push(format!("{spelled} is REQUIRED and needs `optional`, its absence cannot be seen otherwise"));
        }
        let app_id = self.options.is_app_id(field);
        if let Some(patterns) = self.patterns(field, &spelled).or(app_id.then(Vec::new)) {
            return self.names.push(NameField { path, field: spelled, app_id, patterns });
        }
        let Kind::Message(inner) = field.kind() else { return };
        if self.open.iter().any(|open| open == inner.full_name()) {
            self.recursive.insert(inner.full_name().to_owned());
        } else if inner.package_name().starts_with(OURS) {
            self.message(&inner, &path, &format!("{spelled}."));
        }
    }

    /// The patterns of a field that holds a resource name; none for other fields.
    fn patterns(&mut self, field: &FieldDescriptor, spelled: &str) -> Option<Vec<String>> {
        let patterns = match self.options.reference(field) {
            Some((kind, _)) if kind == "*" => return Some(Vec::new()),
            Some((kind, child)) => self.referenced(field, &kind, &child),
            None if self.options.is_identifier(field) => self.options.resource(field.parent_message())?.patterns,
            None => return None,
        };
        if patterns.is_empty() {
            self.faults.push(format!("{spelled} refers to a resource that no message declares"));
        }
        if patterns.iter().any(|pattern| !pattern.starts_with("apps/")) {
            self.faults.push(format!("{spelled} has a name pattern that does not start with apps/"));
        }
        Some(patterns)
    }

    fn referenced(&self, field: &FieldDescriptor, kind: &str, child: &str) -> Vec<String> {
        let wanted = if kind.is_empty() { child } else { kind };
        let resources = field.parent_pool().all_messages().filter_map(|message| self.options.resource(&message));
        let patterns = resources.filter(|resource| resource.kind == wanted).flat_map(|resource| resource.patterns);
        if kind.is_empty() { patterns.filter_map(|pattern| parent_of(&pattern)).collect() } else { patterns.collect() }
    }
}

/// `apps/{app}` for `apps/{app}/users/{user}` and for `apps/{app}/me`.
fn parent_of(pattern: &str) -> Option<String> {
    let (rest, last) = pattern.rsplit_once('/')?;
    let parent = if last.starts_with('{') { rest.rsplit_once('/')?.0 } else { rest };
    Some(parent.to_owned())
}

fn absence_is_seen(field: &FieldDescriptor) -> bool {
    field.supports_presence() || field.is_list() || field.is_map() || matches!(field.kind(), Kind::String | Kind::Bytes | Kind::Enum(_))
}
