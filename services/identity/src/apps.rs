//! `AppsService`: the tenants of an installation.

use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::apps_service_server::AppsService;
use kernel::{Cx, Error, Etag, Kind, Page, Result, Tenant, id};
use rpc::Open;
use storage::{Change, Find, Once, Seen, Target};
use tonic::{Request, Response, Status};

use crate::domain::app::{App, Mode, State};
use crate::events;
use crate::founding::Wish;
use crate::records::{APP, Claim, Holding};
use crate::state::{Core, timestamp};

/// The resource.
pub(crate) struct Apps(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl AppsService for Apps {
    async fn create_app(&self, request: Request<pb::CreateAppRequest>) -> Result<Response<pb::CreateAppResponse>, Status> {
        let (cx, ask) = request.open()?;
        let app = ask.app.unwrap_or_default();
        let mode = mode(app.mode)?;
        let (app_id, request_id) = (ask.app_id, ask.request_id);
        let wish = Wish { app_id, request_id, display_name: app.display_name, description: app.description, mode };
        let (cx, made) = self.0.found(&cx, &wish).await?;
        Ok(Response::new(pb::CreateAppResponse { app: Some(show(&cx, &made)) }))
    }

    async fn get_app(&self, request: Request<pb::GetAppRequest>) -> Result<Response<pb::GetAppResponse>, Status> {
        let (cx, _) = request.open()?;
        let app = self.0.app(&cx).await?;
        Ok(Response::new(pb::GetAppResponse { app: Some(show(&cx, &app)) }))
    }

    async fn list_apps(&self, request: Request<pb::ListAppsRequest>) -> Result<Response<pb::ListAppsResponse>, Status> {
        let (cx, ask) = request.open()?;
        let page = page(ask.page_size, ask.page_token)?;
        let (apps, next_page_token) = self.held(&cx, &page).await?;
        Ok(Response::new(pb::ListAppsResponse { apps, next_page_token }))
    }

    async fn update_app(&self, request: Request<pb::UpdateAppRequest>) -> Result<Response<pb::UpdateAppResponse>, Status> {
        let (cx, ask) = request.open()?;
        let (app, mask) = (ask.app.unwrap_or_default(), ask.update_mask.unwrap_or_default());
        let digest = id::digest(&[&mask.paths.join(","), &app.display_name, &app.description]);
        let once = Once::of(&ask.request_id, digest)?;
        let now = self.0.clock.now();
        let way = ("identity.app.updated", once, app.etag.as_str());
        let saved = self.change(&cx, way, |seen| seen.described(&mask.paths, &app.display_name, &app.description, now)).await?;
        Ok(Response::new(pb::UpdateAppResponse { app: Some(show(&cx, &saved)) }))
    }

    async fn pause_app(&self, request: Request<pb::PauseAppRequest>) -> Result<Response<pb::PauseAppResponse>, Status> {
        let (cx, ask) = request.open()?;
        check_not_platform(&cx)?;
        let now = self.0.clock.now();
        let saved = self.change(&cx, ("identity.app.paused", None, &ask.etag), |app| app.paused(&ask.reason, now)).await?;
        Ok(Response::new(pb::PauseAppResponse { app: Some(show(&cx, &saved)) }))
    }

    async fn resume_app(&self, request: Request<pb::ResumeAppRequest>) -> Result<Response<pb::ResumeAppResponse>, Status> {
        let (cx, ask) = request.open()?;
        let now = self.0.clock.now();
        let saved = self.change(&cx, ("identity.app.resumed", None, &ask.etag), |app| app.resumed(now)).await?;
        Ok(Response::new(pb::ResumeAppResponse { app: Some(show(&cx, &saved)) }))
    }

    async fn delete_app(&self, request: Request<pb::DeleteAppRequest>) -> Result<Response<pb::DeleteAppResponse>, Status> {
        let (cx, ask) = request.open()?;
        check_not_platform(&cx)?;
        if ask.confirm != cx.tenant().as_str() {
            let error = Error::invalid("CONFIRMATION_MISSING", "the app's id must be given in `confirm`");
            return Err(error.field("confirm", "must be the app's id").into());
        }
        let now = self.0.clock.now();
        let saved = self.change(&cx, ("identity.app.deleted", None, &ask.etag), |app| Ok(app.deleted(now))).await?;
        Ok(Response::new(pb::DeleteAppResponse { app: Some(show(&cx, &saved)) }))
    }

    async fn undelete_app(&self, request: Request<pb::UndeleteAppRequest>) -> Result<Response<pb::UndeleteAppResponse>, Status> {
        let (cx, ask) = request.open()?;
        let now = self.0.clock.now();
        let saved = self.change(&cx, ("identity.app.undeleted", None, &ask.etag), |app| app.undeleted(now)).await?;
        Ok(Response::new(pb::UndeleteAppResponse { app: Some(show(&cx, &saved)) }))
    }

    async fn list_all_apps(&self, request: Request<pb::ListAllAppsRequest>) -> Result<Response<pb::ListAllAppsResponse>, Status> {
        let (cx, ask) = request.open()?;
        let page = page(ask.page_size, ask.page_token)?;
        let directory = cx.enter(Tenant::system())?;
        let found = self
            .0
            .store
            .find::<Claim>(&directory, Find { index: "app", prefix: vec![], range: None, descending: false, page: &page })
            .await?;
        let mut apps = Vec::with_capacity(found.items.len());
        for claim in found.items {
            let inside = cx.enter(Tenant::parse(&claim.body.app_id)?)?;
            // One that is still being made has no document yet, and of one that is gone only the id is kept.
            let app = self.0.store.get::<App>(&inside, APP).await?.filter(|app| app.body.is_there());
            apps.extend(app.map(|app| show(&inside, &app)));
        }
        Ok(Response::new(pb::ListAllAppsResponse { apps, next_page_token: found.next_token }))
    }
}

impl Apps {
    /// Changes the app of `cx`. `way` is the kind of the event, the request id, if any, and the etag.
    async fn change(
        &self,
        cx: &Cx,
        way: (&'static str, Option<Once>, &str),
        rule: impl Fn(&App) -> Result<App> + Send + Sync,
    ) -> Result<Seen<App>> {
        let (kind, once, etag) = way;
        let (etag, name) = (Etag::parse(etag)?, cx.tenant().name());
        let change = |app: &App| {
            let next = Some(app).filter(|app| app.is_there()).map_or_else(|| Err(Error::not_found(&name)), &rule)?;
            let event = (next != *app).then(|| events::app_changed(cx, kind, &next));
            Ok(event.into_iter().fold(Change::of(next), Change::event))
        };
        self.0.store.change::<App>(cx, Target { id: APP, name: &name }, once, etag, change).await
    }

    /// The apps in whose staff the caller is. Each is read in its own tenant, with the membership that lets the caller in.
    async fn held(&self, cx: &Cx, page: &Page) -> Result<(Vec<pb::App>, String)> {
        let caller = cx.caller()?;
        let home = cx.enter(caller.home.clone())?;
        let question = Find { index: "user_app", prefix: vec![caller.id.as_str().into()], range: None, descending: false, page };
        let found = self.0.store.find::<Holding>(&home, question).await?;
        let mut apps = Vec::with_capacity(found.items.len());
        for holding in found.items {
            let inside = cx.enter(Tenant::parse(&holding.body.app_id)?)?;
            match (self.0.standing(&inside, caller).await?, self.0.app(&inside).await) {
                (Some(_), Ok(app)) => apps.push(show(&inside, &app)),
                (_, Err(error)) if error.kind() != Kind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok((apps, found.next_token))
    }
}

fn show(cx: &Cx, app: &Seen<App>) -> pb::App {
    pb::App {
        name: cx.tenant().name(),
        display_name: app.body.display_name.clone(),
        description: app.body.description.clone(),
        mode: match app.body.mode {
            Mode::Live => pb::AppMode::Live,
            Mode::Test => pb::AppMode::Test,
        }
        .into(),
        state: match app.body.state {
            State::Active => pb::AppState::Active,
            State::Paused => pb::AppState::Paused,
            State::Deleted | State::Purging | State::Purged => pb::AppState::Deleted,
        }
        .into(),
        create_time: timestamp(app.body.created_at),
        update_time: timestamp(app.body.updated_at),
        etag: app.etag().to_string(),
        pause_reason: app.body.pause_reason.clone(),
        delete_time: app.body.deleted_at.and_then(timestamp),
        purge_time: app.body.purge_at().and_then(|until| timestamp(until.micros())),
    }
}

fn mode(wished: i32) -> Result<Mode> {
    match pb::AppMode::try_from(wished) {
        Ok(pb::AppMode::Test) => Ok(Mode::Test),
        Ok(pb::AppMode::Live | pb::AppMode::Unspecified) => Ok(Mode::Live),
        Err(_) => Err(Error::invalid("FIELDS_INVALID", "the app's mode is not known").field("app.mode", "is not known")),
    }
}

/// Asked for one page, reads this many apps at most: a page of long descriptions stays below the largest answer.
const MAX_APPS: usize = 200;

fn page(size: i32, token: String) -> Result<Page> {
    let page = Page::of(size, token)?;
    Ok(Page { size: page.size.min(MAX_APPS), ..page })
}

/// The platform app carries the installation: it is neither paused nor deleted.
fn check_not_platform(cx: &Cx) -> Result<()> {
    let reserved = || Error::refused("APP_RESERVED", "the platform app is neither paused nor deleted");
    if *cx.tenant() == Tenant::platform() { Err(reserved()) } else { Ok(()) }
}
