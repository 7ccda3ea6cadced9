//! What needs no server: the indexes as they are declared, and what of a failure is shown.
#![allow(clippy::unwrap_used)]

use mongodb::bson::{Bson, Document, doc};

use super::schema::indexes;
use super::*;
use crate::record::{Index, KeyType};

static SAMPLE: Collection = Collection {
    name: "samples",
    version: 1,
    keys: &[("email", KeyType::Str), ("rank", KeyType::I64)],
    indexes: &[Index { name: "email", keys: &["email"], unique: true }, Index { name: "both", keys: &["email", "rank"], unique: false }],
    burns: false,
    max_bytes: 0,
    max_items: 0,
};

/// mongod refuses an index whose partial filter knows more; other servers take it in silence.
#[test]
fn partial_filters_ask_for_presence_alone() {
    let models = indexes(&SAMPLE);
    assert_eq!(models.len(), 6);
    for model in &models {
        let options = model.options.as_ref().unwrap();
        let filter = options.partial_filter_expression.clone().unwrap_or_default();
        let present = Bson::Document(doc! { "$exists": true });
        assert!(filter.iter().all(|(_, term)| *term == present), "{filter}");
        let declared = options.name.as_deref().is_some_and(|name| !name.starts_with("samples__"));
        let keys: Vec<_> = model.keys.keys().map(String::as_str).collect();
        if declared {
            let present: Vec<_> = filter.keys().map(String::as_str).collect();
            let unique = options.unique == Some(true);
            let indexed: Vec<_> = keys[1..].iter().copied().filter(|key| *key != "_id").collect();
            assert_eq!((keys[0], &indexed, keys.contains(&"_id")), ("t", &present, !unique), "the tenant first, all keys present");
        }
    }
    let unfiltered: Vec<&Document> =
        models.iter().filter(|m| m.options.as_ref().unwrap().partial_filter_expression.is_none()).map(|m| &m.keys).collect();
    assert_eq!(unfiltered, [&doc! { "t": 1, "_id": 1 }], "one index holds all, for the shard key and for exports");
}

#[tokio::test]
async fn secrets_of_the_address_are_not_shown() {
    let secret = "hunter2";
    for uri in [
        format!("mongodb://user:{secret}@127.0.0.1:1/?serverSelectionTimeoutMS=10"),
        format!("mongodb://user:{secret}@:/"),
        format!("mongodb://user:{secret}%zz@127.0.0.1:1/"),
        format!("mongodb://127.0.0.1:1/?unknown={secret}&w={secret}"),
        format!("{secret}://127.0.0.1:1/"),
    ] {
        let settings = Settings::new(uri, "nowhere");
        assert!(!format!("{settings:?}").contains(secret));
        let error = Mongo::connect(settings).await.unwrap_err();
        assert_eq!(error.reason(), "STORE_UNUSABLE");
        assert!(!format!("{error:?} {error}").contains(secret) && !format!("{error:?}").contains("127.0.0.1"), "{error:?}");
    }
}
