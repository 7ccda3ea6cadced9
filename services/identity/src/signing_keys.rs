//! `SigningKeysService`: the public keys with which an app's tokens are verified.

use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::signing_keys_service_server::SigningKeysService;
use kernel::Result;
use rpc::Open;
use tonic::{Request, Response, Status};

use crate::domain::signing_key::{self, SigningKey};
use crate::state::Core;

/// The resource.
pub(crate) struct SigningKeys(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl SigningKeysService for SigningKeys {
    async fn get_jwks(&self, request: Request<pb::GetJwksRequest>) -> Result<Response<pb::GetJwksResponse>, Status> {
        let (cx, _) = request.open()?;
        self.0.app(&cx).await?;
        let keys = self.0.signing_keys(&cx).await?;
        let keys = signing_key::published(&keys, self.0.clock.now()).into_iter().map(show).collect();
        Ok(Response::new(pb::GetJwksResponse { keys }))
    }
}

fn show(key: &SigningKey) -> pb::JsonWebKey {
    pb::JsonWebKey {
        kty: "OKP".into(),
        crv: "Ed25519".into(),
        x: key.public.clone(),
        kid: key.kid.clone(),
        r#use: "sig".into(),
        alg: "EdDSA".into(),
    }
}
