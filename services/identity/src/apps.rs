//! `AppsService`: the tenants of an installation.

use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::apps_service_server::AppsService;
use kernel::{Cx, Kind, Page, Result, Tenant};
use rpc::Open;
use storage::{Find, Seen};
use tonic::{Request, Response, Status};

use crate::domain::app::{App, Mode, State};
use crate::founding::Wish;
use crate::records::Holding;
use crate::state::{Core, timestamp};

/// The resource.
pub(crate) struct Apps(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl AppsService for Apps {
    async fn create_app(&self, request: Request<pb::CreateAppRequest>) -> Result<Response<pb::CreateAppResponse>, Status> {
        let (cx, ask) = request.open()?;
        let app = ask.app.unwrap_or_default();
        let mode = if app.mode() == pb::AppMode::Test { Mode::Test } else { Mode::Live };
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
        let page = Page::of(ask.page_size, ask.page_token)?;
        let (apps, next_page_token) = self.held(&cx, &page).await?;
        Ok(Response::new(pb::ListAppsResponse { apps, next_page_token }))
    }
}

impl Apps {
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
        }
        .into(),
        create_time: timestamp(app.body.created_at),
        update_time: timestamp(app.body.updated_at),
        etag: app.etag().to_string(),
    }
}
