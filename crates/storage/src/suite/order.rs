//! Section 3: every engine orders alike, and every declared index is read by a range and never sorted.

use super::*;
use crate::Range;

/// A document with a key of every type.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Sorted {
    text: Option<String>,
    number: Option<i64>,
    truth: Option<bool>,
    bytes: Option<Vec<u8>>,
}

impl Record for Sorted {
    const KIND: Collection = Collection {
        name: "order",
        version: 1,
        keys: &[("text", KeyType::Str), ("number", KeyType::I64), ("truth", KeyType::Bool), ("bytes", KeyType::Bytes)],
        indexes: &[
            Index { name: "text", keys: &["text"], unique: false },
            Index { name: "number", keys: &["number"], unique: true },
            Index { name: "truth_number", keys: &["truth", "number"], unique: false },
            Index { name: "bytes", keys: &["bytes"], unique: false },
            Index { name: "all", keys: &["truth", "number", "text"], unique: true },
        ],
        burns: false,
        max_bytes: 0,
        max_items: 0,
    };

    fn keys(&self) -> Keys {
        let bytes = self.bytes.clone().map(Key::Bytes);
        Keys::new().maybe("text", self.text.clone()).maybe("number", self.number).maybe("truth", self.truth).maybe("bytes", bytes)
    }
}

pub(super) async fn holds(World { store, .. }: &World) {
    store.define::<Sorted>().await.unwrap();
    let texts = ["", " ", "A", "B", "Z", "a", "aa", "b", "ß", "é", "\u{7ff}", "\u{ffff}", "\u{10000}", "😀"];
    let texts = texts.map(|text| Sorted { text: Some(text.to_owned()), ..Sorted::default() });
    listed_as_inserted(store, "ord-text", "text", texts.to_vec()).await;
    let numbers = [i64::MIN, i64::MIN + 1, -10, -9, -1, 0, 1, 9, 10, i64::MAX - 1, i64::MAX];
    let numbers = numbers.map(|number| Sorted { number: Some(number), ..Sorted::default() });
    listed_as_inserted(store, "ord-number", "number", numbers.to_vec()).await;
    let bytes: [&[u8]; 8] = [&[], &[0], &[0, 0], &[0, 255], &[127], &[128], &[255], &[255, 255]];
    let bytes = bytes.map(|bytes| Sorted { bytes: Some(bytes.to_vec()), ..Sorted::default() });
    listed_as_inserted(store, "ord-bytes", "bytes", bytes.to_vec()).await;
    let mixed = [(false, 2), (false, 10), (true, -1), (true, 3)];
    let mixed = mixed.map(|(truth, number)| Sorted { truth: Some(truth), number: Some(number), ..Sorted::default() });
    listed_as_inserted(store, "ord-truth", "truth_number", mixed.to_vec()).await;
    ties_and_ranges(store).await;
    served_by_range(store).await;
}

/// Inserts in reverse, beside documents that lack the key, and expects the order given, from both ends, in pages of 1 to 3.
async fn listed_as_inserted(store: &Store, tenant: &str, index: &'static str, sorted: Vec<Sorted>) {
    let cx = cx(tenant);
    store.insert(&cx, "absent", Change::of(Sorted::default())).await.unwrap();
    for (at, body) in sorted.iter().enumerate().rev() {
        store.insert(&cx, &format!("{at:02}"), Change::of(body.clone())).await.unwrap();
    }
    let expected: Vec<_> = (0..sorted.len()).map(|at| format!("{at:02}")).collect();
    for size in 1..=3 {
        for descending in [false, true] {
            let question = Find { index, prefix: Vec::new(), range: None, descending, page: &ANY };
            let mut ids: Vec<_> = every::<Sorted>(store, &cx, size, question).await.into_iter().map(|seen| seen.id).collect();
            if descending {
                ids.reverse();
            }
            assert_eq!(ids, expected, "{index}, pages of {size}, descending {descending}");
        }
    }
}

async fn ties_and_ranges(store: &Store) {
    let cx = cx("ord-ties");
    for id in ["b", "a", "B", "c"] {
        put(store, &cx, id, Item::ranked("tie", 5)).await;
    }
    for rank in 0..10 {
        put(store, &cx, &format!("r{rank}"), Item::ranked("range", rank)).await;
    }
    let ids = async |state: &'static str, range: Option<Range>, descending| {
        let question = Find { range, descending, ..in_state(state, &ANY) };
        every::<Item>(store, &cx, 2, question).await.into_iter().map(|seen| seen.id).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids("tie", None, false).await, "B a b c");
    assert_eq!(ids("tie", None, true).await, "c b a B");
    assert_eq!(ids("range", Some(Range::from(7)), false).await, "r7 r8 r9");
    assert_eq!(ids("range", Some(Range::below(3)), true).await, "r2 r1 r0");
    assert_eq!(ids("range", Some(Range::between(2, 7)), false).await, "r2 r3 r4 r5 r6");
    assert_eq!(ids("range", Some(Range::between(2, 7)), true).await, "r6 r5 r4 r3 r2");
    let whole = Find { prefix: vec!["tie".into(), 5.into()], ..in_state("tie", &ANY) };
    assert_eq!(every::<Item>(store, &cx, 1, whole).await.len(), 4, "a whole key goes on by id");
}

/// Of what the kinds of this suite declare. SecantusDB's plans are made up, so only the index's name is asserted there.
async fn served_by_range(store: &Store) {
    let plans = store.plans(&across()).await.unwrap();
    let lengths = store.kinds().into_iter().flat_map(|kind| kind.indexes).map(|index| 2 * (index.keys.len() + 1));
    assert_eq!(plans.len(), lengths.sum::<usize>(), "each length of prefix, in both directions");
    let unserved: Vec<_> = plans.iter().filter(|plan| !plan.served).collect();
    assert!(unserved.is_empty(), "not read by range: {unserved:#?}");
}
