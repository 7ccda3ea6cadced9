//! How declarations become names, columns and values of SQL. Nothing here runs a statement.

use rusqlite::types::{Value, ValueRef};

use super::fault::Fault;
use crate::record::{Collection, Index, Key, KeyType};
use kernel::Error;

/// The table of a collection, quoted: a name may be a word of SQL.
pub(super) fn table(collection: &Collection) -> String {
    format!("\"{}\"", collection.name)
}

/// The table of a collection, narrowed to the row that the index of tenant (`?1`) and id (`?2`) leads to. Whatever columns are
/// read are those of the row: a damaged index may lead to another one.
pub(super) fn located(collection: &Collection) -> String {
    let table = table(collection);
    format!("{table} WHERE rowid = (SELECT rowid FROM {table} WHERE t = ?1 AND id = ?2)")
}

/// The column of a key field.
pub(super) fn column(key: &str) -> String {
    format!("k_{key}")
}

/// What puts a document into an index: all of its keys.
pub(super) fn presence(index: &Index) -> String {
    index.keys.iter().map(|key| format!("{} IS NOT NULL", column(key))).collect::<Vec<_>>().join(" AND ")
}

/// A key as its column holds it; bytes as lower-case hex, which orders as they do.
pub(super) fn value(key: &Option<Key>) -> Value {
    key.as_ref().map_or(Value::Null, present)
}

pub(super) fn present(key: &Key) -> Value {
    match key {
        Key::Str(text) => Value::Text(text.clone()),
        Key::I64(number) => Value::Integer(*number),
        Key::Bool(truth) => Value::Integer((*truth).into()),
        Key::Bytes(bytes) => Value::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

/// A key read back from its column.
pub(super) fn key(kind: KeyType, column: ValueRef<'_>) -> Result<Key, Fault> {
    let key = match (kind, column) {
        (KeyType::Str, ValueRef::Text(text)) => std::str::from_utf8(text).ok().map(Key::from),
        (KeyType::I64, ValueRef::Integer(number)) => Some(Key::I64(number)),
        (KeyType::Bool, ValueRef::Integer(number)) => Some(Key::Bool(number != 0)),
        (KeyType::Bytes, ValueRef::Text(hex)) => unhex(hex).map(Key::Bytes),
        _ => None,
    };
    key.ok_or_else(|| Error::internal("RECORD_CORRUPT", "a key column holds what its type does not allow").into())
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    text.chunks(2).map(|pair| u8::try_from(digit(pair.first()?)? * 16 + digit(pair.get(1)?)?).ok()).collect()
}

/// The unique index that a statement violated, by the columns that the driver names.
pub(super) fn violated(cause: &rusqlite::Error, collection: &'static Collection) -> Option<&'static Index> {
    let rusqlite::Error::SqliteFailure(code, Some(message)) = cause else { return None };
    if code.code != rusqlite::ErrorCode::ConstraintViolation {
        return None;
    }
    let prefix = format!("{}.", collection.name);
    let columns: Vec<_> = message.rsplit(": ").next()?.split(", ").filter_map(|name| name.strip_prefix(&prefix)).collect();
    let (tenant, keys) = columns.split_first()?;
    let same = |index: &&Index| index.keys.iter().map(|key| column(key)).eq(keys.iter().copied());
    collection.indexes.iter().filter(|index| index.unique && *tenant == "t").find(same)
}
