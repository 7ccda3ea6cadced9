//! Bodies as canonical JSON: fields sorted by UTF-8 bytes, no white space, and nothing that an engine could not keep.
//! The only place that knows the value rules; nothing here touches a disk.

use kernel::Error;
use serde::ser::{self, Serialize};

use crate::record::is_field_name;

/// Deepest nesting of a body; every engine and every JSON reader goes deeper.
const MAX_DEPTH: usize = 64;

/// The canonical JSON text of a body. Errors: `VALUE_INVALID`, `ARRAY_TOO_LONG`, both naming the field.
pub(crate) fn canonical<T: Serialize>(body: &T, max_items: usize) -> Result<String, Error> {
    let text = body.serialize(Node { max_items, depth: 0, in_array: false }).map_err(Refusal::into_error)?;
    if text.starts_with('{') { Ok(text) } else { Err(Refusal::of("a body is an object").into_error()) }
}

#[derive(Debug)]
struct Refusal {
    reason: Reason,
    message: String,
    path: Vec<String>,
}

#[derive(Debug)]
enum Reason {
    Value,
    Items,
}

impl Refusal {
    fn of(message: impl Into<String>) -> Self {
        Self { reason: Reason::Value, message: message.into(), path: Vec::new() }
    }

    fn inside(mut self, field: &str) -> Self {
        self.path.push(field.to_owned());
        self
    }

    fn into_error(mut self) -> Error {
        self.path.reverse();
        let message = format!("{}: {}", self.path.join("."), self.message);
        match self.reason {
            Reason::Value => Error::invalid("VALUE_INVALID", message),
            Reason::Items => Error::invalid("ARRAY_TOO_LONG", message),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl ser::Error for Refusal {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::of(message.to_string())
    }
}

/// One place in the tree; serializes what stands there to text.
#[derive(Clone, Copy)]
struct Node {
    max_items: usize,
    depth: usize,
    in_array: bool,
}

impl Node {
    fn below(self, in_array: bool) -> Result<Self, Refusal> {
        if self.depth == MAX_DEPTH {
            return Err(Refusal::of(format!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(Self { depth: self.depth + 1, in_array, ..self })
    }

    fn list(self) -> Result<List, Refusal> {
        if self.in_array {
            return Err(Refusal::of("an array stands directly inside an array"));
        }
        Ok(List { node: self.below(true)?, items: Vec::new() })
    }

    fn fields(self, variant: Option<&'static str>) -> Result<Fields, Refusal> {
        let here = if variant.is_some() { self.below(false)? } else { self };
        Ok(Fields { node: here.below(false)?, fields: Vec::new(), key: String::new(), variant })
    }
}

fn quoted(text: &str) -> Result<String, Refusal> {
    if text.contains('\0') {
        return Err(Refusal::of("a string contains a NUL"));
    }
    serde_json::to_string(text).map_err(ser::Error::custom)
}

/// `text`, as the only field of an object when it belongs to an enum variant with content.
fn wrapped(variant: Option<&'static str>, text: String) -> Result<String, Refusal> {
    match variant {
        None => Ok(text),
        Some(name) if is_field_name(name) => Ok(format!("{{\"{name}\":{text}}}")),
        Some(_) => Err(Refusal::of("a variant with content is not named [a-z][a-z0-9_]*")),
    }
}

impl ser::Serializer for Node {
    type Ok = String;
    type Error = Refusal;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = ser::Impossible<String, Refusal>;
    type SerializeTupleVariant = ser::Impossible<String, Refusal>;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    fn serialize_bool(self, v: bool) -> Result<String, Refusal> {
        Ok(v.to_string())
    }

    fn serialize_i8(self, v: i8) -> Result<String, Refusal> {
        Ok(v.to_string())
    }

    fn serialize_i16(self, v: i16) -> Result<String, Refusal> {
        Ok(v.to_string())
    }

    fn serialize_i32(self, v: i32) -> Result<String, Refusal> {
        Ok(v.to_string())
    }

    fn serialize_i64(self, v: i64) -> Result<String, Refusal> {
        Ok(v.to_string())
    }

    fn serialize_u8(self, v: u8) -> Result<String, Refusal> {
        Ok(v.to_string())
    }

    fn serialize_u16(self, v: u16) -> Result<String, Refusal> {
        Ok(v.to_string())
    }

    fn serialize_u32(self, v: u32) -> Result<String, Refusal> {
        Ok(v.to_string())
    }

    fn serialize_u64(self, v: u64) -> Result<String, Refusal> {
        i64::try_from(v).map(|v| v.to_string()).map_err(|_| Refusal::of("a number is beyond i64"))
    }

    fn serialize_f32(self, v: f32) -> Result<String, Refusal> {
        self.serialize_f64(f64::from(v))
    }

    fn serialize_f64(self, v: f64) -> Result<String, Refusal> {
        serde_json::Number::from_f64(v).map(|v| v.to_string()).ok_or_else(|| Refusal::of("a number is not finite"))
    }

    fn serialize_char(self, v: char) -> Result<String, Refusal> {
        quoted(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> Result<String, Refusal> {
        quoted(v)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<String, Refusal> {
        Err(Refusal::of("bytes are written as base64url strings"))
    }

    fn serialize_none(self) -> Result<String, Refusal> {
        Ok("null".to_owned())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<String, Refusal> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<String, Refusal> {
        Ok("null".to_owned())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<String, Refusal> {
        Ok("null".to_owned())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<String, Refusal> {
        quoted(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<String, Refusal> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<String, Refusal> {
        wrapped(Some(variant), value.serialize(self.below(false)?)?)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List, Refusal> {
        self.list()
    }

    fn serialize_tuple(self, _: usize) -> Result<List, Refusal> {
        self.list()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Refusal> {
        Err(Refusal::of("fields have names"))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self::SerializeTupleVariant, Refusal> {
        Err(Refusal::of("fields have names"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Fields, Refusal> {
        self.fields(None)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields, Refusal> {
        self.fields(None)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Fields, Refusal> {
        self.fields(Some(variant))
    }
}

struct List {
    node: Node,
    items: Vec<String>,
}

impl List {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        if self.items.len() == self.node.max_items {
            let message = format!("more than {} items", self.node.max_items);
            return Err(Refusal { reason: Reason::Items, message, path: Vec::new() });
        }
        self.items.push(value.serialize(self.node)?);
        Ok(())
    }

    fn text(self) -> Result<String, Refusal> {
        Ok(format!("[{}]", self.items.join(",")))
    }
}

impl ser::SerializeSeq for List {
    type Ok = String;
    type Error = Refusal;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        self.push(value)
    }

    fn end(self) -> Result<String, Refusal> {
        self.text()
    }
}

impl ser::SerializeTuple for List {
    type Ok = String;
    type Error = Refusal;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        self.push(value)
    }

    fn end(self) -> Result<String, Refusal> {
        self.text()
    }
}

struct Fields {
    node: Node,
    fields: Vec<(String, String)>,
    key: String,
    variant: Option<&'static str>,
}

impl Fields {
    fn push<T: Serialize + ?Sized>(&mut self, name: String, value: &T) -> Result<(), Refusal> {
        if !is_field_name(&name) {
            return Err(Refusal::of("a field is not named [a-z][a-z0-9_]*"));
        }
        let text = value.serialize(self.node).map_err(|refusal| refusal.inside(&name))?;
        self.fields.push((name, text));
        Ok(())
    }

    fn text(mut self) -> Result<String, Refusal> {
        self.fields.sort_unstable();
        if self.fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Refusal::of("a field stands twice in an object"));
        }
        let fields: Vec<_> = self.fields.iter().map(|(name, text)| format!("\"{name}\":{text}")).collect();
        wrapped(self.variant, format!("{{{}}}", fields.join(",")))
    }
}

impl ser::SerializeMap for Fields {
    type Ok = String;
    type Error = Refusal;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refusal> {
        let text = key.serialize(self.node)?;
        self.key = text.trim_matches('"').to_owned();
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        let name = std::mem::take(&mut self.key);
        self.push(name, value)
    }

    fn end(self) -> Result<String, Refusal> {
        self.text()
    }
}

impl ser::SerializeStruct for Fields {
    type Ok = String;
    type Error = Refusal;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Refusal> {
        self.push(name.to_owned(), value)
    }

    fn end(self) -> Result<String, Refusal> {
        self.text()
    }
}

impl ser::SerializeStructVariant for Fields {
    type Ok = String;
    type Error = Refusal;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Refusal> {
        self.push(name.to_owned(), value)
    }

    fn end(self) -> Result<String, Refusal> {
        self.text()
    }
}
