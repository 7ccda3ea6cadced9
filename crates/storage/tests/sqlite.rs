//! The embedded engine keeps the contract in every mode it is run in.

use storage::{Durability, Sqlite, suite};

#[tokio::test(flavor = "multi_thread")]
async fn full_keeps_the_contract() {
    suite::all(Sqlite::open_temporary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn normal_keeps_the_contract() {
    suite::all(|| Sqlite::temporary(Durability::Normal)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    suite::all(Sqlite::in_memory).await;
}
