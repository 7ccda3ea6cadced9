//! `AuthService`: signing up, in and out.

use std::net::IpAddr;
use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::auth_service_server::AuthService;
use kernel::{Cx, Error, Result, Tenant};
use rpc::Open;
use storage::Seen;
use tonic::{Request, Response, Status};

use crate::domain::app::App;
use crate::domain::email::Email;
use crate::domain::password::Password;
use crate::domain::refresh::Token;
use crate::domain::session::Device;
use crate::domain::user::Profile;
use crate::invitations::Invitation;
use crate::registration::Registration;
use crate::sign_in::{Arrival, Attempt};
use crate::state::{Core, app_of};

/// The resource.
pub(crate) struct Auth(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl AuthService for Auth {
    async fn list_sign_in_methods(
        &self,
        request: Request<pb::ListSignInMethodsRequest>,
    ) -> Result<Response<pb::ListSignInMethodsResponse>, Status> {
        let (cx, ask) = request.open()?;
        app_of(&ask.parent)?;
        self.0.app(&cx).await?;
        let methods = vec![pb::SignInMethod::Password.into()];
        Ok(Response::new(pb::ListSignInMethodsResponse { methods, registration_open: self.0.config.registration_open }))
    }

    async fn register(&self, request: Request<pb::RegisterRequest>) -> Result<Response<pb::RegisterResponse>, Status> {
        let address = address(&request);
        let (cx, ask) = request.open()?;
        let wish = registration(ask, address)?;
        let app = self.0.open_app(&cx).await?;
        let arrival = self.0.register(&cx, &app, wish).await?;
        let tokens = self.arrived(&cx, &app, arrival).await?;
        Ok(Response::new(pb::RegisterResponse { result: Some(pb::register_response::Result::Session(tokens)) }))
    }

    async fn sign_in(&self, request: Request<pb::SignInRequest>) -> Result<Response<pb::SignInResponse>, Status> {
        let address = address(&request);
        let (cx, ask) = request.open()?;
        app_of(&ask.parent)?;
        let attempt = attempt(ask, address)?;
        let app = self.0.open_app(&cx).await?;
        let arrival = self.0.sign_in(&cx, &app, attempt).await?;
        let tokens = self.arrived(&cx, &app, arrival).await?;
        Ok(Response::new(pb::SignInResponse { result: Some(pb::sign_in_response::Result::Session(tokens)) }))
    }

    async fn refresh_session(&self, request: Request<pb::RefreshSessionRequest>) -> Result<Response<pb::RefreshSessionResponse>, Status> {
        let (cx, ask) = request.open()?;
        app_of(&ask.parent)?;
        let token = Token::parse(&ask.refresh_token)?;
        let app = self.0.open_app(&cx).await?;
        let session = self.0.refresh(&cx, &app, &token).await?;
        let tokens = self.0.session_tokens(&cx, &app, &session).await?;
        Ok(Response::new(pb::RefreshSessionResponse { session: Some(tokens) }))
    }

    async fn sign_out(&self, request: Request<pb::SignOutRequest>) -> Result<Response<pb::SignOutResponse>, Status> {
        let (cx, ask) = request.open()?;
        app_of(&ask.parent)?;
        let token = Token::parse(&ask.refresh_token)?;
        let app = self.0.app(&cx).await?;
        self.0.sign_out(&cx, &app, &token).await?;
        Ok(Response::new(pb::SignOutResponse {}))
    }
}

impl Auth {
    async fn arrived(&self, cx: &Cx, app: &Seen<App>, arrival: Arrival) -> Result<pb::SessionTokens> {
        let tokens = self.0.session_tokens(cx, app, &arrival.session).await?;
        Ok(pb::SessionTokens { device_token: arrival.device_token, ..tokens })
    }
}

/// Where a call comes from. The gateway says so, or whoever holds the socket; a caller's own word is replaced on the way.
pub(crate) fn address<T>(request: &Request<T>) -> Option<IpAddr> {
    request.metadata().get("mozaiks-client-address")?.to_str().ok()?.parse().ok()
}

fn registration(ask: pb::RegisterRequest, address: Option<IpAddr>) -> Result<Registration> {
    let profile = profile(ask.profile.unwrap_or_default()).read("profile")?;
    let email = Email::parse(&ask.email)?;
    let password = password(&ask.password, &email, &app_of(&ask.parent)?)?;
    let device = Device::read(&ask.device_name, ask.remember)?;
    let invitation = Invitation::parse(&ask.invitation)?;
    Ok(Registration { email, password, profile, invitation, device, request_id: ask.request_id, address })
}

fn attempt(ask: pb::SignInRequest, address: Option<IpAddr>) -> Result<Attempt> {
    let required = |field: &str| Error::invalid("FIELDS_INVALID", "the request is incomplete").field(field, "is required");
    let Some(pb::identifier::Kind::Email(email)) = ask.identifier.unwrap_or_default().kind else {
        return Err(required("identifier.email"));
    };
    let Some(pb::check::Kind::Password(password)) = ask.check.unwrap_or_default().kind else { return Err(required("check.password")) };
    let email = Email::parse(&email)?;
    let device = Device::read(&ask.device_name, ask.remember)?;
    let password = Password::presented(&password);
    Ok(Attempt { email, password, device, request_id: ask.request_id, address, device_token: ask.device_token })
}

/// A password that somebody chose. Errors: `PASSWORD_WEAK`.
pub(crate) fn password(raw: &str, email: &Email, app: &Tenant) -> Result<Password> {
    Password::parse(raw)?.unlike(&[&email.address, email.local(), app.as_str()])
}

/// A profile as callers write it.
pub(crate) fn profile(profile: pb::Profile) -> Profile {
    let pb::Profile { display_name, given_name, family_name, locale } = profile;
    Profile { display_name, given_name, family_name, locale }
}
