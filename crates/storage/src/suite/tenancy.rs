//! Section 9: two tenants with equal ids, keys and tokens never meet.

use super::*;
use crate::{Count, Patch, Removal};

pub(super) async fn holds(World { store, .. }: &World) {
    let (ours, theirs) = (cx("tenant-a"), cx("tenant-b"));
    let item = |tenant: &Cx, rank| Item { email: Some("same@x".into()), text: tenant.tenant().to_string(), ..Item::ranked("s", rank) };
    for tenant in [&ours, &theirs] {
        put(store, tenant, "same", item(tenant, 1)).await;
        put(store, tenant, "next", Item { email: None, ..item(tenant, 2) }).await;
        put(store, tenant, "third", Item { email: None, ..item(tenant, 3) }).await;
    }
    for tenant in [&ours, &theirs] {
        let own = tenant.tenant().to_string();
        assert_eq!(store.get::<Item>(tenant, "same").await.unwrap().unwrap().body.text, own);
        let listed = every::<Item>(store, tenant, 1, in_state("s", &ANY)).await;
        assert!(listed.len() == 3 && listed.iter().all(|seen| seen.body.text == own));
        let email = Find { index: "email", prefix: vec!["same@x".into()], ..in_state("s", &ANY) };
        assert_eq!(every::<Item>(store, tenant, 10, email).await.len(), 1);
    }
    counters_and_counts(store, [&ours, &theirs]).await;
    let first = Page::of(1, "").unwrap();
    let token = store.find::<Item>(&ours, in_state("s", &first)).await.unwrap().next_token;
    assert_eq!(reason(store.find::<Item>(&theirs, in_state("s", &Page { size: 1, token })).await), "PAGE_TOKEN");

    let seen = store.get::<Item>(&ours, "same").await.unwrap().unwrap();
    store
        .change(&theirs, crate::Target { id: "same", name: "same" }, once("r", 1), None, |item: &Item| Ok(Change::of(item.clone())))
        .await
        .unwrap();
    store.remove(&ours, &seen, Removal::new()).await.unwrap();
    assert_eq!(store.get::<Item>(&theirs, "same").await.unwrap().unwrap().version, 2);
    put(store, &ours, "same", item(&ours, 9)).await;
    assert!(store.get::<Item>(&cx("tenant-c"), "same").await.unwrap().is_none());
}

async fn counters_and_counts(store: &Store, tenants: [&Cx; 2]) {
    for (cx, by) in tenants.into_iter().zip([1, 10]) {
        for again in [false, true] {
            let patch = Patch::upsert(Tally::named("")).inc("x", by).once(once("same", 1));
            assert_eq!(store.patch(cx, "same", patch).await.unwrap().repeat, again, "another tenant's equal request id is another");
        }
        assert_eq!(store.get::<Tally>(cx, "same").await.unwrap().unwrap().numbers["x"], by);
        assert_eq!(store.count::<Item>(cx, "state_rank", vec!["s".into()], 10).await.unwrap(), Count::Exactly(3));
    }
    let others = cx("tenant-c");
    assert_eq!(store.count::<Item>(&others, "state_rank", Vec::new(), 10).await.unwrap(), Count::Exactly(0));
    assert_eq!(reason(store.patch::<Tally>(&others, "same", Patch::given([]).inc("x", 1)).await), "NOT_FOUND");
}
