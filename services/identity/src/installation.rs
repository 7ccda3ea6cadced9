//! `InstallationService`: what operators see of the whole installation.

use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::installation_service_server::InstallationService;
use kernel::Result;
use rpc::Open;
use tonic::{Request, Response, Status};

use crate::state::{Core, timestamp};

/// The resource.
pub(crate) struct Installations(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl InstallationService for Installations {
    async fn get_installation(
        &self,
        request: Request<pb::GetInstallationRequest>,
    ) -> Result<Response<pb::GetInstallationResponse>, Status> {
        request.open()?;
        let installation = pb::Installation {
            create_time: timestamp(self.0.installation().await?.body.created_at),
            version: env!("CARGO_PKG_VERSION").into(),
            public_url: self.0.public_url.clone(),
            registration_open: self.0.config.registration_open,
            self_service: self.0.config.self_service,
        };
        Ok(Response::new(pb::GetInstallationResponse { installation: Some(installation) }))
    }
}
