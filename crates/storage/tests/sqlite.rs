//! The embedded engine keeps the contract in every mode it is run in.

use storage::suite::{Scale, all};
use storage::{Durability, Sqlite};

#[tokio::test(flavor = "multi_thread")]
async fn full_keeps_the_contract() {
    all(Sqlite::open_temporary, Scale::FULL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn normal_keeps_the_contract() {
    all(|| Sqlite::temporary(Durability::Normal), Scale::FULL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    all(Sqlite::in_memory, Scale::FULL).await;
}
