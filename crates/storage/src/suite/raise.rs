//! Section 8 in part: a raised declaration finds the documents of the one before, and refuses what it cannot index.

use super::*;

#[derive(Clone, Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Record for Note {
    const KIND: Collection = Collection {
        name: "raised",
        version: 1,
        keys: &[("text", KeyType::Str)],
        indexes: &[Index { name: "text", keys: &["text"], unique: false }],
        burns: false,
        max_bytes: 0,
        max_items: 0,
    };

    fn keys(&self) -> Keys {
        Keys::new().with("text", self.text.as_str())
    }
}

/// `Note` as a later version declares it: by another text, and by length.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Later(Note);

impl Record for Later {
    const KIND: Collection = Collection {
        version: 2,
        keys: &[("text", KeyType::Str), ("length", KeyType::I64)],
        indexes: &[Index { name: "text", keys: &["text"], unique: false }, Index { name: "length", keys: &["length"], unique: false }],
        ..Note::KIND
    };

    fn keys(&self) -> Keys {
        let length = i64::try_from(self.0.text.len()).unwrap();
        Keys::new().with("text", self.0.text.to_uppercase()).with("length", length)
    }
}

/// `Later` with a key that two documents share.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Clashing(Later);

impl Record for Clashing {
    const KIND: Collection = Collection {
        version: 3,
        indexes: &[
            Index { name: "text", keys: &["text"], unique: false },
            Index { name: "length", keys: &["length"], unique: false },
            Index { name: "one_length", keys: &["length"], unique: true },
        ],
        ..Later::KIND
    };

    fn keys(&self) -> Keys {
        self.0.keys()
    }
}

pub(super) async fn holds(World { store, .. }: &World) {
    let cx = cx("raise");
    let note = |text: &str| Change::of(Note { text: text.to_owned() });
    store.define::<Note>().await.unwrap();
    for n in 0..450 {
        store.insert(&cx, &format!("n{n:03}"), note(&format!("a{n}"))).await.unwrap();
    }
    let gone = store.insert(&cx, "gone", note("gone").event(event())).await.unwrap();
    store.remove(&cx, &gone, crate::Removal::new()).await.unwrap();
    let changed = store.get::<Note>(&cx, "n007").await.unwrap().unwrap();
    store.replace(&cx, &changed, note("changed")).await.unwrap();

    store.define::<Later>().await.unwrap();
    let by = |index: &'static str, key: Key| Find { index, prefix: vec![key], range: None, descending: false, page: &ANY };
    assert_eq!(every::<Later>(store, &cx, 50, by("length", 2.into())).await.len(), 9, "found by the new index");
    assert_eq!(every::<Later>(store, &cx, 50, by("text", "A449".into())).await.len(), 1, "and by the new key");
    assert!(every::<Later>(store, &cx, 50, by("text", "a449".into())).await.is_empty());
    let again = every::<Later>(store, &cx, 50, by("text", "CHANGED".into())).await;
    assert_eq!((again[0].id.as_str(), again[0].version), ("n007", 2), "versions stay");
    store.replace(&cx, &again[0], Change::of(again[0].body.clone())).await.expect("and so do writers");

    store.define::<Note>().await.expect("an older program changes nothing");
    assert_eq!(every::<Later>(store, &cx, 50, by("length", 2.into())).await.len(), 9);
    let refused = store.define::<Clashing>().await.unwrap_err();
    assert_eq!((refused.kind(), refused.reason()), (kernel::Kind::Refused, "DUPLICATES"));
    assert!(refused.message().contains("raise/n"), "it names documents: {}", refused.message());
}
