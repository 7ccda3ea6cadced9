//! `SigningKeysService`: the public keys with which an app's tokens are verified.

use std::sync::Arc;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::signing_keys_service_server::SigningKeysService;
use kernel::Result;
use rpc::Open;
use tonic::{Request, Response, Status};

use crate::domain::signing_key::{self, SigningKey};
use crate::state::{Core, timestamp};

/// The resource.
pub(crate) struct SigningKeys(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl SigningKeysService for SigningKeys {
    async fn get_jwks(&self, request: Request<pb::GetJwksRequest>) -> Result<Response<pb::GetJwksResponse>, Status> {
        let (cx, _) = request.open()?;
        self.0.app(&cx).await?;
        let keys = self.0.signing_keys(&cx).await?;
        let keys = signing_key::published(&keys, self.0.clock.now()).into_iter().rev().map(show).collect();
        Ok(Response::new(pb::GetJwksResponse { keys }))
    }

    async fn get_discovery(&self, request: Request<pb::GetDiscoveryRequest>) -> Result<Response<pb::GetDiscoveryResponse>, Status> {
        let (cx, _) = request.open()?;
        self.0.app(&cx).await?;
        let issuer = self.0.issuer(cx.tenant());
        Ok(Response::new(pb::GetDiscoveryResponse {
            jwks_uri: format!("{issuer}/jwks"),
            issuer,
            subject_types_supported: vec!["public".into()],
            id_token_signing_alg_values_supported: vec!["EdDSA".into()],
        }))
    }

    async fn list_signing_keys(
        &self,
        request: Request<pb::ListSigningKeysRequest>,
    ) -> Result<Response<pb::ListSigningKeysResponse>, Status> {
        let (cx, _) = request.open()?;
        let (keys, now) = (self.0.signing_keys(&cx).await?, self.0.clock.now());
        let signer = signing_key::signer(&keys, now);
        let signing_keys = signing_key::published(&keys, now).into_iter().rev().map(|key| list(key, signer)).collect();
        Ok(Response::new(pb::ListSigningKeysResponse { signing_keys }))
    }

    async fn rotate_signing_key(
        &self,
        request: Request<pb::RotateSigningKeyRequest>,
    ) -> Result<Response<pb::RotateSigningKeyResponse>, Status> {
        let (cx, _) = request.open()?;
        let app = self.0.app(&cx).await?;
        let keys = self.0.signing_keys(&cx).await?;
        let next = self.0.successor(&cx, &app.body, &keys).await?;
        let signer = signing_key::signer(&keys, self.0.clock.now());
        Ok(Response::new(pb::RotateSigningKeyResponse { signing_key: Some(list(&next, signer)) }))
    }
}

fn list(key: &SigningKey, signer: Option<&SigningKey>) -> pb::SigningKey {
    pb::SigningKey {
        kid: key.kid.clone(),
        alg: "EdDSA".into(),
        public_key: key.public.clone(),
        active_from: timestamp(key.active_from),
        create_time: timestamp(key.created_at),
        signing: signer.is_some_and(|signer| signer.kid == key.kid),
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
