//! Section 6: each limit at n and n + 1, each value outside the common ground; the engine never sees what is refused.

use serde_json::{Value, json};

use super::*;

/// A body of any shape, with the keys that a test wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Loose {
    value: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip)]
    keys: Keys,
}

impl Record for Loose {
    const KIND: Collection = Collection {
        name: "bounds",
        version: 1,
        keys: &[("text", KeyType::Str), ("bytes", KeyType::Bytes), ("number", KeyType::I64)],
        indexes: &[Index { name: "text", keys: &["text"], unique: false }, Index { name: "bytes", keys: &["bytes"], unique: false }],
        burns: false,
        max_bytes: 4_096,
        max_items: 3,
    };

    fn keys(&self) -> Keys {
        self.keys.clone()
    }
}

fn value(value: Value) -> Loose {
    Loose { value, ratio: None, keys: Keys::new() }
}

fn keyed(keys: Keys) -> Loose {
    Loose { keys, ..value(json!(1)) }
}

pub(super) async fn hold(World { store, .. }: &World) {
    store.define::<Loose>().await.unwrap();
    let cx = cx("bounds");
    let text = |bytes: usize| value(json!("x".repeat(bytes - r#"{"value":""}"#.len())));
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({ "inner": inner }));
    let key = |bytes| keyed(Keys::new().with("text", "x".repeat(bytes)));
    let bytes = |bytes| keyed(Keys::new().with("bytes", Key::Bytes(vec![255; bytes])));
    let id = |bytes: usize| "i".repeat(bytes - "bounds/".len());

    let accepted =
        [text(4_096), value(json!([1, 2, 3])), key(512), bytes(256), value(nested(63)), value(json!({ "a": [{ "b": [null] }] }))];
    for (at, body) in accepted.into_iter().enumerate() {
        let seen = store.insert(&cx, &format!("{at}"), Change::of(body.clone())).await.unwrap();
        let read = store.get::<Loose>(&cx, &seen.id).await.unwrap().unwrap();
        assert_eq!(read.body.value, body.value);
    }
    store.insert(&cx, &id(200), Change::of(value(json!(1)))).await.unwrap();
    doubles_keep_their_bits(store, &cx).await;

    let before = store.engine().metrics();
    let refused = [
        ("DOCUMENT_TOO_LARGE", text(4_097)),
        ("ARRAY_TOO_LONG", value(json!({ "a": [1, 2, 3, 4] }))),
        ("KEY_TOO_LONG", key(513)),
        ("KEY_TOO_LONG", bytes(257)),
        ("KEY_INVALID", keyed(Keys::new().with("text", "a\0b"))),
        ("KEY_INVALID", keyed(Keys::new().with("text", 1))),
        ("KEY_INVALID", keyed(Keys::new().with("number", "1.5"))),
        ("KEY_INVALID", keyed(Keys::new().with("unknown", 1))),
        ("VALUE_INVALID", value(json!([[1]]))),
        ("VALUE_INVALID", value(json!("a\0b"))),
        ("VALUE_INVALID", value(json!(u64::MAX))),
        ("VALUE_INVALID", value(json!({ "Upper": 1 }))),
        ("VALUE_INVALID", value(json!({ "a.b": 1 }))),
        ("VALUE_INVALID", value(json!({ "$set": 1 }))),
        ("VALUE_INVALID", value(json!({ "": 1 }))),
        ("VALUE_INVALID", value(nested(64))),
        ("VALUE_INVALID", Loose { ratio: Some(f64::NAN), ..value(json!(1)) }),
        ("VALUE_INVALID", Loose { ratio: Some(f64::INFINITY), ..value(json!(1)) }),
    ];
    for (expected, body) in refused {
        let shown = format!("{body:.200?}");
        assert_eq!(reason(store.insert(&cx, "no", Change::of(body)).await), expected, "{shown}");
    }
    for bad in ["", "a\nb", &id(201)] {
        assert_eq!(reason(store.insert(&cx, bad, Change::of(value(json!(1)))).await), "ID_INVALID");
    }
    let with_event = Change::of(text(4_000)).event(Event { kind: "bounds.loose.made", payload: vec![0; 97] });
    assert_eq!(reason(store.insert(&cx, "no", with_event).await), "DOCUMENT_TOO_LARGE", "events count as part of their change");
    assert_eq!(store.engine().metrics().changes, before.changes, "the engine never sees a refused document");
    outbox(store, &cx).await;
    declarations();
}

async fn doubles_keep_their_bits(store: &Store, cx: &Cx) {
    let mut dice = Dice(1);
    for n in 0..40 {
        let Some(ratio) = Some(f64::from_bits(dice.below(u64::MAX))).filter(|ratio| ratio.is_finite()) else { continue };
        let body = Loose { ratio: Some(ratio), ..value(json!(1)) };
        store.insert(cx, &format!("double{n}"), Change::of(body)).await.unwrap();
        let read = store.get::<Loose>(cx, &format!("double{n}")).await.unwrap().unwrap();
        assert_eq!(read.body.ratio.map(f64::to_bits), Some(ratio.to_bits()));
    }
}

async fn outbox(store: &Store, cx: &Cx) {
    let with = |count: usize| (0..count).fold(Change::of(value(json!(1))), |change, _| change.event(event()));
    assert_eq!(reason(store.insert(cx, "too-many", with(33)).await), "OUTBOX_FULL");
    let seen = store.insert(cx, "outbox", with(31)).await.unwrap();
    let seen = store.replace(cx, &seen, with(1)).await.unwrap();
    let full = store.replace(cx, &seen, with(1)).await.unwrap_err();
    assert_eq!((full.kind(), full.reason()), (kernel::Kind::Exhausted, "OUTBOX_FULL"));
    assert_eq!(reason(store.remove(cx, &seen, crate::Removal::new().event(event())).await), "OUTBOX_FULL");
    let large = crate::Removal::new().event(Event { kind: "bounds.loose.gone", payload: vec![0; 4_097] });
    assert_eq!(reason(store.remove(cx, &seen, large).await), "DOCUMENT_TOO_LARGE");
    store.replace(cx, &seen, with(0)).await.expect("changes without events go on");
}

fn declarations() {
    const KEYS: &[(&str, KeyType)] = &[("a", KeyType::Str)];
    const EIGHT: &[Index] = &[
        Index { name: "i1", keys: &["a"], unique: false },
        Index { name: "i2", keys: &["a"], unique: false },
        Index { name: "i3", keys: &["a"], unique: false },
        Index { name: "i4", keys: &["a"], unique: false },
        Index { name: "i5", keys: &["a"], unique: false },
        Index { name: "i6", keys: &["a"], unique: false },
        Index { name: "i7", keys: &["a"], unique: false },
        Index { name: "i8", keys: &["a"], unique: false },
        Index { name: "i9", keys: &["a"], unique: false },
    ];
    let with = |name, indexes| Collection { name, version: 1, keys: KEYS, indexes, burns: false, max_bytes: 0, max_items: 0 };
    assert_eq!(reason(with("good", &EIGHT[..8]).check()), "OK");
    assert_eq!(reason(with("good", EIGHT).check()), "COLLECTION_INVALID");
    assert_eq!(reason(with("Bad", &EIGHT[..1]).check()), "COLLECTION_INVALID");
    assert_eq!(reason(with("good", const { &[Index { name: "i", keys: &["b"], unique: false }] }).check()), "COLLECTION_INVALID");
    assert_eq!(reason(Collection { max_bytes: 1_048_577, ..with("good", EIGHT.get(..1).unwrap()) }.check()), "COLLECTION_INVALID");
}
