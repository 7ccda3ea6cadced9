//! Reads the options of the contracts out of a descriptor pool: ours, and those of `google.api`. No judgement here.

use api::mozaiks::options::v1 as pb;
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value};

const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;
const IDENTIFIER: i32 = 8;

/// The options that rpc reads, looked up once. One that no contract uses is absent.
pub(crate) struct Options {
    access: Option<ExtensionDescriptor>,
    call: Option<ExtensionDescriptor>,
    field: Option<ExtensionDescriptor>,
    behaviour: Option<ExtensionDescriptor>,
    reference: Option<ExtensionDescriptor>,
    resource: Option<ExtensionDescriptor>,
}

/// A resource as its message declares it.
pub(crate) struct Resource {
    pub(crate) kind: String,
    pub(crate) patterns: Vec<String>,
}

impl Options {
    pub(crate) fn of(pool: &DescriptorPool) -> Self {
        let find = |name: &str| pool.get_extension_by_name(name);
        Self {
            access: find("mozaiks.options.v1.access"),
            call: find("mozaiks.options.v1.call"),
            field: find("mozaiks.options.v1.field"),
            behaviour: find("google.api.field_behavior"),
            reference: find("google.api.resource_reference"),
            resource: find("google.api.resource"),
        }
    }

    /// Who may call this method, if it says so.
    pub(crate) fn access(&self, method: &MethodDescriptor) -> Option<pb::Access> {
        message(&method.options(), self.access.as_ref())?.transcode_to().ok()
    }

    /// How this method is carried.
    pub(crate) fn call(&self, method: &MethodDescriptor) -> pb::Call {
        message(&method.options(), self.call.as_ref()).and_then(|call| call.transcode_to().ok()).unwrap_or_default()
    }

    /// Whether the field is a bare app id that names the tenant.
    pub(crate) fn is_app_id(&self, field: &FieldDescriptor) -> bool {
        let ours = message(&field.options(), self.field.as_ref()).and_then(|field| field.transcode_to::<pb::Field>().ok());
        ours.is_some_and(|field| field.app_id)
    }

    /// The resource type a field refers to: itself, or (second) the type whose parent it is.
    pub(crate) fn reference(&self, field: &FieldDescriptor) -> Option<(String, String)> {
        let reference = message(&field.options(), self.reference.as_ref())?;
        Some((text(&reference, "type"), text(&reference, "child_type")))
    }

    /// The resource that a message is, if it is one.
    pub(crate) fn resource(&self, descriptor: &MessageDescriptor) -> Option<Resource> {
        let resource = message(&descriptor.options(), self.resource.as_ref())?;
        let patterns = resource.get_field_by_name("pattern")?;
        let patterns = patterns.as_list()?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Some(Resource { kind: text(&resource, "type"), patterns })
    }

    pub(crate) fn is_required(&self, field: &FieldDescriptor) -> bool {
        self.behaves(field, REQUIRED)
    }

    pub(crate) fn is_output_only(&self, field: &FieldDescriptor) -> bool {
        self.behaves(field, OUTPUT_ONLY)
    }

    pub(crate) fn is_identifier(&self, field: &FieldDescriptor) -> bool {
        self.behaves(field, IDENTIFIER)
    }

    fn behaves(&self, field: &FieldDescriptor, behaviour: i32) -> bool {
        let Some(extension) = &self.behaviour else { return false };
        let options = field.options();
        let value = options.get_extension(extension);
        value.as_list().is_some_and(|values| values.iter().any(|value| value.as_enum_number() == Some(behaviour)))
    }
}

fn message(options: &DynamicMessage, extension: Option<&ExtensionDescriptor>) -> Option<DynamicMessage> {
    let extension = extension.filter(|extension| options.has_extension(extension))?;
    options.get_extension(extension).as_message().cloned()
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
