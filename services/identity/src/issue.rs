//! Issues what callers show: access tokens signed by an app's key, and the tokens of a session.

use api::mozaiks::identity::v1 as pb;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kernel::{Cx, Error, Kind, Page, Result, Time, id};
use storage::{Change, Find, Seen};

use crate::domain::app::App;
use crate::domain::refresh::Token;
use crate::domain::session::Session;
use crate::domain::signing_key::{self, SigningKey};
use crate::domain::token::{AUDIENCE, Claims, LIFETIME_SECONDS};
use crate::events;
use crate::state::{Core, random, session_name, timestamp, user_name};

/// What an access token says beyond the app it is for.
#[derive(Debug)]
pub(crate) struct Grant<'a> {
    pub(crate) session: &'a Seen<Session>,
    pub(crate) permissions: Vec<String>,
}

/// A signed token and its end.
pub(crate) struct Access {
    pub(crate) token: String,
    pub(crate) ends: Time,
}

impl Core {
    /// An access token for the app of `cx`, in which `app` was read.
    pub(crate) async fn access_token(&self, cx: &Cx, app: &Seen<App>, grant: Grant<'_>) -> Result<Access> {
        let now = self.clock.now();
        let ends = now.plus_seconds(LIFETIME_SECONDS);
        let session = &grant.session.body;
        let claims = Claims {
            iss: self.issuer(cx.tenant()),
            sub: session.user.clone(),
            home: Some(session.home.clone()).filter(|home| home != cx.tenant().as_str()),
            aud: AUDIENCE.to_owned(),
            exp: ends.seconds(),
            iat: now.seconds(),
            jti: id::fresh("tok", now),
            sid: grant.session.id.clone(),
            app: cx.tenant().as_str().to_owned(),
            perm: grant.permissions,
            aal: session.aal(),
            amr: session.amr(),
            auth_time: Time::from_micros(session.auth_at()).seconds(),
            ep: [session.born.installation, app.body.epoch, 0, session.born.user],
        };
        Ok(Access { token: self.sign(cx, &app.body, &claims).await?, ends })
    }

    /// Everything a signed-in person holds: a fresh access token and the present refresh token.
    pub(crate) async fn session_tokens(&self, cx: &Cx, app: &Seen<App>, session: &Seen<Session>) -> Result<pb::SessionTokens> {
        let permissions = self.permissions_at_home(cx, &session.body.user).await?;
        let access = self.access_token(cx, app, Grant { session, permissions }).await?;
        let key = self.session_key(cx, &app.body, session)?;
        Ok(pb::SessionTokens {
            access_token: access.token,
            access_expire_time: timestamp(access.ends.micros()),
            refresh_token: Token::issue(cx.tenant(), &session.id, session.body.generation, &key),
            session: session_name(cx.tenant(), &session.id),
            user: user_name(cx.tenant(), &session.body.user),
            aal: session.body.aal(),
            remembered: session.body.remember,
            device_token: String::new(),
        })
    }

    /// The key under which a session's refresh tokens are computed.
    pub(crate) fn session_key(&self, cx: &Cx, app: &App, session: &Seen<Session>) -> Result<[u8; 32]> {
        let opened = self.data_key(cx.tenant(), app)?.open(&session_name(cx.tenant(), &session.id), "key", &session.body.key)?;
        <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| Error::internal("SEAL_BROKEN", "a session key has the wrong length"))
    }

    async fn sign(&self, cx: &Cx, app: &App, claims: &Claims) -> Result<String> {
        let (keys, now) = (self.signing_keys(cx).await?, self.clock.now());
        if keys.first().is_some_and(|newest| newest.is_old(now)) {
            self.successor(cx, app, &keys).await?;
        }
        let signer = signing_key::signer(&keys, now);
        let signer = signer.ok_or_else(|| Error::internal("SIGNING_KEY_MISSING", format!("{} has no key to sign with", cx.tenant())))?;
        let secret = self.data_key(cx.tenant(), app)?.open(&key_name(cx, &signer.kid), "private", &signer.private)?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some("at+jwt".into());
        header.kid = Some(signer.kid.clone());
        let encoded = jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(&pkcs8(&secret)?));
        encoded.map_err(|cause| Error::internal("TOKEN_SIGNING", "a token could not be signed").because(cause))
    }

    /// The signing keys of the app of `cx`, newest first.
    pub(crate) async fn signing_keys(&self, cx: &Cx) -> Result<Vec<SigningKey>> {
        let page = Page { size: 20, token: String::new() };
        let question = Find { index: "active_from", prefix: vec![], range: None, descending: true, page: &page };
        let found = self.store.find::<SigningKey>(cx, question).await?;
        Ok(found.items.into_iter().map(|seen| seen.body).collect())
    }

    /// The first key of an app, under an id that a repeat meets again.
    pub(crate) async fn ensure_signing_key(&self, inside: &Cx, app: &App) -> Result<()> {
        let first = self.new_key(inside, app, "0")?;
        self.keep_key(inside, Change::of(first)).await.map(drop)
    }

    /// The key after the newest of these (newest first): one insert under an id derived from that one, so that two who
    /// rotate at once make one key. One that waits for its time is the successor already.
    pub(crate) async fn successor(&self, cx: &Cx, app: &App, keys: &[SigningKey]) -> Result<SigningKey> {
        match keys.first() {
            Some(newest) if newest.is_waiting(self.clock.now()) => Ok(newest.clone()),
            newest => {
                let after = newest.map_or("0", |newest| newest.kid.as_str());
                let next = self.new_key(cx, app, after)?.succeeding();
                let event = events::signing_key_rotated(cx, &next.kid);
                self.keep_key(cx, Change::of(next).event(event)).await
            }
        }
    }

    async fn keep_key(&self, cx: &Cx, key: Change<SigningKey>) -> Result<SigningKey> {
        let kid = key.body().kid.clone();
        match self.store.insert(cx, &kid, key).await {
            Err(taken) if taken.kind() == Kind::Exists => Ok(self.store.get::<SigningKey>(cx, &kid).await?.ok_or(taken)?.body),
            inserted => Ok(inserted?.body),
        }
    }

    fn new_key(&self, inside: &Cx, app: &App, after: &str) -> Result<SigningKey> {
        let kid = id::derived("key", &[inside.tenant().as_str(), after]);
        let secret = zeroize::Zeroizing::new(random::<32>()?);
        let public = ed25519_dalek::SigningKey::from_bytes(&secret).verifying_key();
        let sealed = self.data_key(inside.tenant(), app)?.seal(&key_name(inside, &kid), "private", secret.as_slice(), &random()?)?;
        Ok(SigningKey::ed25519(&kid, BASE64_URL_SAFE_NO_PAD.encode(public.as_bytes()), sealed, self.clock.now()))
    }
}

fn key_name(cx: &Cx, kid: &str) -> String {
    format!("{}/signingKeys/{kid}", cx.tenant().name())
}

fn pkcs8(secret: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    let broken = || Error::internal("SEAL_BROKEN", "a signing key has the wrong length");
    let secret = <&[u8; 32]>::try_from(secret).map_err(|_| broken())?;
    let document = ed25519_dalek::SigningKey::from_bytes(secret).to_pkcs8_der();
    document.map(|der| zeroize::Zeroizing::new(der.as_bytes().to_vec())).map_err(|cause| broken().because(cause))
}
