//! Values of path, query and headers as fields of the request, appended to its bytes: later ones win, messages merge.
//! Knows nothing of HTTP beyond text.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use kernel::Error;
use prost::encoding as proto;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::template::decode;
use crate::protobuf;

/// Deepest field that a query key names.
const MAX_DEPTH: usize = 8;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// From a field of the request down to the one meant.
#[derive(Clone, Debug)]
pub(crate) struct FieldPath(Vec<FieldDescriptor>);

impl FieldPath {
    /// Finds `user.display_name` or `user.displayName` below a message. None when no such field can hold one text.
    pub(crate) fn find(message: &MessageDescriptor, key: &str) -> Option<Self> {
        let mut message = Some(message.clone());
        let mut path = Vec::new();
        for name in key.split('.') {
            let here = message?;
            let field = here.get_field_by_name(name).or_else(|| here.get_field_by_json_name(name))?;
            message = match field.kind() {
                Kind::Message(inner) if !field.is_list() => Some(inner),
                _ => None,
            };
            path.push(field);
        }
        (path.len() <= MAX_DEPTH).then_some(Self(path))
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.0.iter().map(FieldDescriptor::number).collect()
    }

    /// The field itself.
    pub(crate) fn last(&self) -> Option<&FieldDescriptor> {
        self.0.last()
    }

    /// Whether one text can say this field: a scalar, or a message that has such a form.
    pub(crate) fn is_text(field: &FieldDescriptor) -> bool {
        match field.kind() {
            Kind::Message(message) => has_text(message.full_name()),
            _ => true,
        }
    }

    /// Members of a `oneof` on the way: the numbers above, the `oneof`, the member chosen.
    fn choices(&self) -> impl Iterator<Item = (Vec<u32>, String, u32)> {
        let numbers = self.numbers();
        self.0.iter().enumerate().filter_map(move |(at, field)| {
            let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic())?;
            Some((numbers[..at].to_vec(), oneof.name().to_owned(), field.number()))
        })
    }

    /// Whether any step of the way lies in a `oneof`.
    pub(crate) fn is_choice(&self) -> bool {
        self.choices().next().is_some()
    }

    /// Appends the value, also when it is the default. None when the text does not fit the field.
    pub(crate) fn append(&self, text: &str, into: &mut Vec<u8>) -> Option<()> {
        let (last, above) = self.0.split_last()?;
        let mut bytes = Vec::new();
        encode(last, text, &mut bytes)?;
        for field in above.iter().rev() {
            let inner = std::mem::take(&mut bytes);
            protobuf::put(field.number(), &inner, &mut bytes);
        }
        into.extend_from_slice(&bytes);
        Some(())
    }
}

/// Whether the field is one value that a single text can say.
pub(crate) fn is_scalar(field: &FieldDescriptor) -> bool {
    !field.is_list() && !matches!(field.kind(), Kind::Message(_))
}

fn encode(field: &FieldDescriptor, text: &str, into: &mut Vec<u8>) -> Option<()> {
    let number = field.number();
    match field.kind() {
        Kind::Double => proto::double::encode(number, &finite(text)?, into),
        Kind::Float => proto::float::encode(number, &finite::<f32>(text)?, into),
        Kind::Int32 => proto::int32::encode(number, &integer(text)?, into),
        Kind::Int64 => proto::int64::encode(number, &integer(text)?, into),
        Kind::Uint32 => proto::uint32::encode(number, &integer(text)?, into),
        Kind::Uint64 => proto::uint64::encode(number, &integer(text)?, into),
        Kind::Sint32 => proto::sint32::encode(number, &integer(text)?, into),
        Kind::Sint64 => proto::sint64::encode(number, &integer(text)?, into),
        Kind::Fixed32 => proto::fixed32::encode(number, &integer(text)?, into),
        Kind::Fixed64 => proto::fixed64::encode(number, &integer(text)?, into),
        Kind::Sfixed32 => proto::sfixed32::encode(number, &integer(text)?, into),
        Kind::Sfixed64 => proto::sfixed64::encode(number, &integer(text)?, into),
        Kind::Bool => proto::bool::encode(number, &text.parse().ok()?, into),
        Kind::String => protobuf::put(number, text.as_bytes(), into),
        Kind::Bytes => protobuf::put(number, &base64(text)?, into),
        Kind::Enum(values) => {
            let value = values.get_value_by_name(text).map(|value| value.number()).or_else(|| integer(text))?;
            proto::int32::encode(number, &value, into);
        }
        Kind::Message(message) => protobuf::put(number, &well_known(&message, text)?, into),
    }
    Some(())
}

fn integer<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

fn finite<T: std::str::FromStr + Into<f64> + Copy>(text: &str) -> Option<T> {
    text.parse().ok().filter(|value: &T| (*value).into().is_finite())
}

/// Either alphabet, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.replace('-', "+").replace('_', "/")).ok()
}

fn has_text(message: &str) -> bool {
    let name = message.strip_prefix("google.protobuf.").unwrap_or_default();
    matches!(name, "Timestamp" | "Duration" | "FieldMask")
        || (name.ends_with("Value") && !matches!(name, "Value" | "ListValue" | "NullValue"))
}

/// The messages that one text can say.
fn well_known(message: &MessageDescriptor, text: &str) -> Option<Vec<u8>> {
    match message.full_name() {
        name if !has_text(name) => None,
        "google.protobuf.Timestamp" | "google.protobuf.Duration" => rpc::json_to_wire(message, &serde_json::to_vec(text).ok()?).ok(),
        "google.protobuf.FieldMask" => {
            let mut bytes = Vec::new();
            for path in text.split(',').filter(|path| !path.is_empty()) {
                protobuf::put(1, snake(path)?.as_bytes(), &mut bytes);
            }
            Some(bytes)
        }
        _ => {
            let mut bytes = Vec::new();
            let value = message.get_field(1).filter(|value| value.name() == "value" && is_scalar(value))?;
            encode(&value, text, &mut bytes)?;
            Some(bytes)
        }
    }
}

/// A mask's path in either spelling, as the proto path. Only what JSON can say too: `a__b` and `a_1` have no camel case that
/// leads back to them.
fn snake(path: &str) -> Option<String> {
    let mut text = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    let is_plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.'));
    let returns = text.split('_').skip(1).all(|word| word.starts_with(|first: char| first.is_ascii_lowercase()));
    (is_plain && returns).then_some(text)
}

/// Appends the fields of a query. `find` knows which keys may be given. Errors: `UNKNOWN_PARAMETER`, `PARAMETER_INVALID`.
pub(crate) fn query(query: &str, find: impl Fn(&str) -> Option<FieldPath>, into: &mut Vec<u8>) -> kernel::Result<()> {
    let mut seen: Vec<Vec<u32>> = Vec::new();
    let mut chosen: Vec<(Vec<u32>, String, u32)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
        let form = |raw: &str| decode(&raw.replace('+', " "), true).ok_or_else(|| invalid("query", "is not percent-encoded UTF-8"));
        let (key, text) = (form(key)?, form(text)?);
        let unknown = || Error::invalid("UNKNOWN_PARAMETER", "the query has an unknown key").field(&key, "is not a parameter of this call");
        let path = find(&key).ok_or_else(unknown)?;
        let numbers = path.numbers();
        if !path.last().is_some_and(FieldDescriptor::is_list) && seen.contains(&numbers) {
            return Err(invalid(&key, "is given twice"));
        }
        for choice in path.choices() {
            if chosen.iter().any(|other| (&other.0, &other.1) == (&choice.0, &choice.1) && other.2 != choice.2) {
                return Err(invalid(&key, "excludes another parameter that is given"));
            }
            chosen.push(choice);
        }
        path.append(&text, into).ok_or_else(|| invalid(&key, "does not fit its type"))?;
        seen.push(numbers);
    }
    Ok(())
}

/// A parameter that is wrong.
pub(crate) fn invalid(key: &str, fault: &str) -> Error {
    Error::invalid("PARAMETER_INVALID", format!("{key} {fault}")).field(key, fault)
}

/// Fills a text field from a header. Errors: `PARAMETER_INVALID` when the method has no such field, or when the request
/// says something else there already.
pub(crate) fn header(name: &str, text: &str, field: Option<&FieldPath>, into: &mut Vec<u8>) -> kernel::Result<()> {
    let field = field.ok_or_else(|| invalid(name, "is not taken by this method"))?;
    match protobuf::find(into, &field.numbers()) {
        None | Some(b"") => field.append(text, into).ok_or_else(|| invalid(name, "does not fit its type")),
        Some(given) if given == text.as_bytes() => Ok(()),
        Some(_) => Err(invalid(name, "differs from the field that says the same")),
    }
}
