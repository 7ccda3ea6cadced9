//! Stops after each write of a saga, as a crash would; starts again, lets the scheduler finish, and compares every document with
//! a run that nobody disturbed. Beside that: what is tidied up behind changes that decided everything by one write.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::disallowed_methods, unreachable_pub)]

#[path = "sagas/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::apps_service_client::AppsServiceClient;
use api::mozaiks::identity::v1::tokens_service_client::TokensServiceClient;
use api::mozaiks::identity::v1::users_service_client::UsersServiceClient;
use fail::FailScenario;
use tonic::{Code, Status};

use crate::world::{Folder, Ground, World};

const MONTH_SECONDS: i64 = 30 * 24 * 3600;

static MADE: AtomicUsize = AtomicUsize::new(0);

/// A fresh store of each engine that is at hand.
fn grounds() -> Vec<Ground> {
    let number = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let mut grounds = vec![sqlite(std::env::temp_dir().join(format!("mozaiks-sagas-{number}")))];
    match std::env::var("STORE_TEST_MONGODB_URI") {
        Ok(uri) => grounds.push(Ground::Mongo { uri, database: format!("sagas_{}", number.replace('-', "_")) }),
        Err(_) => println!("SKIPPED on MongoDB: STORE_TEST_MONGODB_URI names no server"),
    }
    grounds
}

fn sqlite(folder: PathBuf) -> Ground {
    Ground::Sqlite(Arc::new(Folder(folder)))
}

/// A store of the same engine, which nobody has used.
fn other(ground: &Ground) -> Ground {
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    match ground {
        Ground::Sqlite(folder) => sqlite(folder.0.with_extension(number.to_string())),
        Ground::Mongo { uri, database } => Ground::Mongo { uri: uri.clone(), database: format!("{database}_{number}") },
    }
}

fn assert_equal(found: &BTreeSet<String>, expected: &BTreeSet<String>, point: &str) {
    let (more, fewer): (Vec<_>, Vec<_>) = (found.difference(expected).collect(), expected.difference(found).collect());
    assert!(more.is_empty() && fewer.is_empty(), "{point}: {more:#?} in place of {fewer:#?}");
}

async fn create_shop(world: &World, token: &str) -> Result<(), Status> {
    let app = pb::App { display_name: "Shop".to_owned(), ..pb::App::default() };
    let ask = pb::CreateAppRequest { app_id: "shop".to_owned(), app: Some(app), request_id: "r1".to_owned() };
    AppsServiceClient::new(world.by(token)).create_app(ask).await.map(drop)
}

/// The documents after an app was made, with a stop at this point and without a repeat of the call.
async fn founded(ground: &Ground, point: Option<&str>) -> BTreeSet<String> {
    let mut world = World::new(other(ground)).await;
    let ann = world.register("platform", "ann", "").await;
    if let Some(point) = point {
        fail::cfg(point, "panic").unwrap();
        assert_eq!(create_shop(&world, &ann.access_token).await.unwrap_err().code(), Code::Internal, "{point}");
        fail::remove(point);
    } else {
        create_shop(&world, &ann.access_token).await.unwrap();
    }
    world = world.restarted().await;
    world.advance_seconds(10 * 60);
    assert!(world.settle().await);
    world.documents().await
}

#[tokio::test]
async fn a_half_made_app_is_finished_without_its_founder() {
    let _scenario = FailScenario::setup();
    let steps = ["claim", "app", "key", "team", "membership", "holding", "confirmation"];
    for ground in grounds() {
        let undisturbed = founded(&ground, None).await;
        for step in steps {
            let point = format!("identity::founding::after_{step}");
            assert_equal(&founded(&ground, Some(&point)).await, &undisturbed, &point);
        }
    }
}

#[tokio::test]
async fn the_founders_repeat_finishes_it_as_well() {
    let _scenario = FailScenario::setup();
    for ground in grounds() {
        let undisturbed = founded(&ground, None).await;
        for step in ["intent", "claim", "app", "key", "team", "membership", "holding", "confirmation"] {
            let world = World::new(other(&ground)).await;
            let ann = world.register("platform", "ann", "").await;
            let point = format!("identity::founding::after_{step}");
            fail::cfg(&point, "panic").unwrap();
            create_shop(&world, &ann.access_token).await.unwrap_err();
            fail::remove(&point);
            let world = world.restarted().await;
            create_shop(&world, &ann.access_token).await.unwrap();
            assert!(world.settle().await);
            assert_equal(&world.documents().await, &undisturbed, &point);
        }
    }
}

/// Ann and Ben operate the platform; Ann has deleted Ben, and his time is over.
async fn person_to_purge(ground: &Ground) -> World {
    let world = World::new(other(ground)).await;
    let ann = world.register("platform", "ann", &world.operators.invite().await.unwrap()).await;
    let ben = world.register("platform", "ben", &world.operators.invite().await.unwrap()).await;
    let ask = pb::DeleteUserRequest { name: ben.user, ..pb::DeleteUserRequest::default() };
    UsersServiceClient::new(world.by(&ann.access_token)).delete_user(ask).await.unwrap();
    world.advance_seconds(MONTH_SECONDS);
    world
}

/// Ann's shop, in which Cara lives, is deleted, and its time is over.
async fn app_to_purge(ground: &Ground) -> World {
    let world = World::new(other(ground)).await;
    let ann = world.register("platform", "ann", "").await;
    create_shop(&world, &ann.access_token).await.unwrap();
    world.register("shop", "cara", "").await;
    let enter = pb::EnterAppRequest { parent: "apps/platform".to_owned(), target: "apps/shop".to_owned() };
    let inside = TokensServiceClient::new(world.by(&ann.access_token)).enter_app(enter).await.unwrap().into_inner().access_token;
    let ask = pb::DeleteAppRequest { name: "apps/shop".to_owned(), confirm: "shop".to_owned(), ..pb::DeleteAppRequest::default() };
    AppsServiceClient::new(world.by(&inside)).delete_app(ask).await.unwrap();
    world.advance_seconds(MONTH_SECONDS);
    world
}

/// Stops the work on a fresh world at each write in turn. How often it was stopped.
async fn stopped_everywhere(ground: &Ground, fresh: AsyncWorld, points: &[&str]) -> usize {
    let world = fresh(ground.clone()).await;
    assert!(world.settle().await);
    let undisturbed = world.restarted().await.documents().await;
    let mut stops = 0;
    for point in points {
        for passed in 0.. {
            let world = fresh(ground.clone()).await;
            let point = format!("identity::purge::after_{point}");
            fail::cfg(&point, &format!("{passed}*off->1*panic->off")).unwrap();
            let ended = world.settle().await;
            fail::remove(&point);
            if ended {
                assert!(passed > 0, "{point} is never passed");
                break;
            }
            stops += 1;
            let world = world.restarted().await;
            assert!(world.settle().await);
            assert_equal(&world.documents().await, &undisturbed, &format!("{point} {passed}"));
        }
    }
    stops
}

type AsyncWorld = fn(Ground) -> std::pin::Pin<Box<dyn Future<Output = World>>>;

#[tokio::test]
async fn a_person_leaves_nothing_wherever_the_purge_was_stopped() {
    let _scenario = FailScenario::setup();
    for ground in grounds() {
        let fresh: AsyncWorld = |ground| Box::pin(async move { person_to_purge(&ground).await });
        let stops = stopped_everywhere(&ground, fresh, &["purging", "removal", "owner", "membership", "purged"]).await;
        assert_eq!(stops, 6);
        let world = person_to_purge(&ground).await;
        assert!(world.settle().await);
        let documents = world.documents().await;
        let named = |word: &str| documents.iter().any(|line| line.contains(word));
        assert!(named("ann@example.com") && !named("ben@example.com") && named("\"state\":\"Purged\"") && named("identity.user.purged"));
    }
}

#[tokio::test]
async fn an_app_leaves_nothing_but_its_id_wherever_the_purge_was_stopped() {
    let _scenario = FailScenario::setup();
    for ground in grounds() {
        let fresh: AsyncWorld = |ground| Box::pin(async move { app_to_purge(&ground).await });
        let stops = stopped_everywhere(&ground, fresh, &["purging", "removal", "purged"]).await;
        assert_eq!(stops, 8);
        let world = app_to_purge(&ground).await;
        assert!(world.settle().await);
        let left: Vec<String> =
            world.documents().await.into_iter().filter(|line| line.contains(" shop/") && line.contains("Present")).collect();
        assert!(left.len() == 1 && left[0].starts_with("apps shop/app") && left[0].contains("\"Purged\""), "{left:#?}");
        let dora = world.register("platform", "dora", "").await;
        assert_eq!(create_shop(&world, &dora.access_token).await.unwrap_err().code(), Code::AlreadyExists);
    }
}

#[tokio::test]
async fn without_its_founder_a_half_made_app_is_given_up_and_its_id_stays_taken() {
    let _scenario = FailScenario::setup();
    for ground in grounds() {
        let world = World::new(other(&ground)).await;
        let op = world.register("platform", "op", &world.operators.invite().await.unwrap()).await;
        let ann = world.register("platform", "ann", "").await;
        fail::cfg("identity::founding::after_team", "panic").unwrap();
        create_shop(&world, &ann.access_token).await.unwrap_err();
        fail::remove("identity::founding::after_team");
        let ask = pb::DisableUserRequest { name: ann.user, ..pb::DisableUserRequest::default() };
        UsersServiceClient::new(world.by(&op.access_token)).disable_user(ask).await.unwrap();
        world.advance_seconds(10 * 60);
        assert!(world.settle().await);
        let documents = world.documents().await;
        let claim = documents.iter().find(|line| line.starts_with("directory system/shop")).unwrap();
        assert!(claim.contains("\"Abandoned\"") && claim.contains("due=false"), "{claim}");
        assert!(documents.iter().any(|line| line.starts_with("apps shop/app") && line.contains("\"Purged\"")));
        assert!(!documents.iter().any(|line| line.starts_with("signing_keys shop/") && line.contains("Present")));
    }
}

fn sessions(documents: &BTreeSet<String>, app: &str, state: &str) -> usize {
    let place = format!("sessions {app}/");
    documents.iter().filter(|line| line.starts_with(&place) && line.contains("Present") && line.contains(state)).count()
}

#[tokio::test]
async fn what_can_never_live_again_is_marked_and_goes_when_its_events_have_gone() {
    let _scenario = FailScenario::setup();
    for ground in grounds() {
        let world = World::new(other(&ground)).await;
        let op = world.register("platform", "op", &world.operators.invite().await.unwrap()).await;
        let ann = world.register("platform", "ann", "").await;
        create_shop(&world, &ann.access_token).await.unwrap();
        world.register("shop", "cara", "").await;
        world.deliver().await;
        let enter = pb::EnterAppRequest { parent: "apps/platform".to_owned(), target: "apps/shop".to_owned() };
        let inside = TokensServiceClient::new(world.by(&ann.access_token)).enter_app(enter).await.unwrap().into_inner().access_token;
        let delete = pb::DeleteAppRequest { name: "apps/shop".to_owned(), confirm: "shop".to_owned(), ..pb::DeleteAppRequest::default() };
        AppsServiceClient::new(world.by(&inside)).delete_app(delete).await.unwrap();
        let disable = pb::DisableUserRequest { name: ann.user, ..pb::DisableUserRequest::default() };
        UsersServiceClient::new(world.by(&op.access_token)).disable_user(disable).await.unwrap();
        let before = world.documents().await;
        assert_eq!((sessions(&before, "platform", "\"Ended\""), sessions(&before, "shop", "\"Ended\"")), (0, 0));
        world.deliver().await;
        let after = world.documents().await;
        assert_eq!((sessions(&after, "platform", "\"Cut\""), sessions(&after, "shop", "\"Cut\"")), (1, 1));
        assert_eq!(sessions(&after, "platform", "\"Active\""), 1, "of others nothing is touched");

        world.advance_seconds(7 * 24 * 3600 + 1);
        world.store.sweep(&storage::Across::granted(), 100).await.unwrap();
        assert_eq!(sessions(&world.documents().await, "shop", ""), 1, "events are not lost with their document");
        while world.deliver().await > 0 {}
        world.store.sweep(&storage::Across::granted(), 100).await.unwrap();
        let swept = world.documents().await;
        assert_eq!((sessions(&swept, "shop", ""), sessions(&swept, "platform", "")), (0, 1));
    }
}

#[tokio::test]
async fn the_list_of_somebodys_apps_follows_their_memberships() {
    let _scenario = FailScenario::setup();
    for ground in grounds() {
        let world = person_to_purge(&ground).await;
        let holdings = |documents: &BTreeSet<String>| documents.iter().filter(|line| line.starts_with("holdings ")).count();
        assert_eq!(holdings(&world.documents().await), 2);
        assert!(world.settle().await);
        while world.deliver().await > 0 {}
        assert_eq!(holdings(&world.documents().await), 1, "late news of a membership lists nobody again");
    }
}
