//! Decides what an access token is worth now: signature, time, and everything it depends on, read fresh.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kernel::{Credential, Cx, Error, Result, Subject, SubjectKind, Tenant, Time, Verified};
use rpc::{BoxFuture, Verifier};

use crate::domain::app::App;
use crate::domain::session::Session;
use crate::domain::signing_key::{self, SigningKey};
use crate::domain::token::{AUDIENCE, Claims};
use crate::proofs::{self, Proof};
use crate::state::Core;

/// Seconds by which clocks may differ.
const SKEW_SECONDS: i64 = 60;

/// Verifies access tokens of this installation.
pub(crate) struct Introspection(pub(crate) Arc<Core>);

/// A token that is good now.
pub(crate) struct Proven {
    pub(crate) verified: Verified,
    /// When it ends by itself.
    pub(crate) ends: Time,
}

impl Verifier for Introspection {
    fn verify<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Verified>> {
        Box::pin(async { Ok(self.introspect(credential.expose()).await?.verified) })
    }
}

impl Introspection {
    /// What a token is worth at this moment.
    pub(crate) async fn introspect(&self, token: &str) -> Result<Proven> {
        let claims = self.authenticate(token).await?;
        let now = self.0.clock.now();
        if now.seconds() > claims.exp.saturating_add(SKEW_SECONDS) {
            return Err(Error::unauthenticated("TOKEN_EXPIRED", "the access token has expired"));
        }
        if claims.iat > now.seconds().saturating_add(SKEW_SECONDS) {
            return Err(malformed());
        }
        let tenant = Tenant::parse(&claims.app).map_err(|_| malformed())?;
        let home = match &claims.home {
            Some(home) => Tenant::parse(home).map_err(|_| malformed())?,
            None => tenant.clone(),
        };
        self.still_holds(&claims, &tenant, &home).await?;
        let session = Some(claims.sid);
        let subject = Subject { id: claims.sub, kind: SubjectKind::User, home, session };
        let auth_time = Time::from_seconds(claims.auth_time);
        let verified = Verified { tenant, subject, permissions: claims.perm, aal: claims.aal, auth_time };
        Ok(Proven { verified, ends: Time::from_seconds(claims.exp) })
    }

    /// What a token says, proven now or a moment ago by a key that nobody has given up since.
    async fn authenticate(&self, token: &str) -> Result<Claims> {
        let (digest, now) = (proofs::digest(token), self.0.clock.now());
        let Some(proof) = self.0.proofs.find(&digest, now) else {
            let proof = self.prove(token, now).await?;
            self.0.proofs.keep(digest, proof.clone());
            return Ok(proof.claims);
        };
        let tenant = Tenant::parse(&proof.claims.app).map_err(|_| malformed())?;
        let key = self.0.store.get::<SigningKey>(&system(&tenant), &proof.kid).await?;
        if key.is_some_and(|key| key.body.compromised_at.is_none()) { Ok(proof.claims) } else { Err(malformed()) }
    }

    /// Signature, issuer, audience and form. The key is the one that the named app published, whatever the header says.
    async fn prove(&self, token: &str, now: Time) -> Result<Proof> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| malformed())?;
        let kid = header.kid.ok_or_else(malformed)?;
        let unproven: Claims = jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| malformed())?;
        let tenant = Tenant::parse(&unproven.app).map_err(|_| malformed())?;
        let keys = self.0.signing_keys(&system(&tenant)).await?;
        let published = signing_key::published(&keys, now);
        let key = published.into_iter().find(|key| key.kid == kid).ok_or_else(malformed)?;
        let key = DecodingKey::from_ed_components(&key.public)
            .map_err(|cause| Error::internal("SIGNING_KEY_BROKEN", "a public key cannot be read").because(cause))?;

        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_audience(&[AUDIENCE]);
        rules.set_issuer(&[self.0.issuer(&tenant)]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Against our own clock, by the caller.
        rules.validate_exp = false;
        let proven = jsonwebtoken::decode::<Claims>(token, &key, &rules).map_err(|_| malformed())?;
        if proven.header.typ.as_deref() != Some("at+jwt") || proven.claims.app != tenant.as_str() {
            return Err(malformed());
        }
        Ok(Proof { kid, claims: proven.claims, at: now })
    }

    /// The session, its person, their app, the app the token is for and the installation.
    async fn still_holds(&self, claims: &Claims, tenant: &Tenant, home: &Tenant) -> Result<()> {
        let revoked = || Error::unauthenticated("TOKEN_REVOKED", "what this token was issued for no longer holds");
        let at_home = system(home);
        let session = self.0.store.get::<Session>(&at_home, &claims.sid).await?.ok_or_else(revoked)?;
        if session.body.user != claims.sub {
            return Err(malformed());
        }
        let home_app = self.0.store.get::<App>(&at_home, crate::records::APP).await?.ok_or_else(revoked)?;
        home_app.body.check_open()?;
        let present = self.0.present(&at_home, &home_app, &session.body).await?;
        session.body.alive(&present, self.0.clock.now())?;
        if tenant == home {
            return Ok(());
        }
        let app = self.0.store.get::<App>(&system(tenant), crate::records::APP).await?.ok_or_else(revoked)?;
        if app.body.epoch > claims.ep[1] { Err(revoked()) } else { Ok(()) }
    }
}

fn system(tenant: &Tenant) -> Cx {
    Cx::system(tenant.clone(), "introspection")
}

fn malformed() -> Error {
    Error::unauthenticated("CREDENTIAL_MALFORMED", "this is no access token of this installation")
}
