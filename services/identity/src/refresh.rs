//! Refreshing and ending sessions by refresh token: one document decides, one write moves the generation.

use kernel::{Cx, Error, Kind, Result};
use storage::{Change, Seen};

use crate::domain::app::App;
use crate::domain::refresh::{self, Decision, Token};
use crate::domain::session::{EndReason, Epochs, Present, Session, State};
use crate::domain::user::User;
use crate::events;
use crate::state::Core;

/// Most races that one call takes part in: 64 racers move one generation, each loses once.
const MAX_ROUNDS: usize = 8;

impl Core {
    /// Trades a refresh token for the session at its next generation.
    /// Errors: `CREDENTIAL_MALFORMED`, `SESSION_ENDED`, `TOKEN_REVOKED`, `REFRESH_REUSED`.
    pub(crate) async fn refresh(&self, cx: &Cx, app: &Seen<App>, token: &Token) -> Result<Seen<Session>> {
        for _ in 0..MAX_ROUNDS {
            let session = self.session_of(cx, app, token).await?.ok_or_else(ended)?;
            let present = self.present(cx, app, &session.body).await?;
            let now = self.clock.now();
            if let Some(reason) = session.body.dead(&present, now) {
                self.end(cx, &session, reason).await?;
            }
            session.body.alive(&present, now)?;
            let next = match refresh::present(&session.body, token.generation, now) {
                Decision::Rotate => session.body.rotated(now),
                Decision::Redeliver { write: true } => session.body.redelivered(),
                Decision::Redeliver { write: false } => return Ok(session),
                Decision::Reused => {
                    // Kept although the call fails: the refusal must outlive it.
                    self.end(cx, &session, EndReason::RefreshReused).await?;
                    return Err(Error::unauthenticated("REFRESH_REUSED", "this refresh token was used before; the session has ended"));
                }
            };
            match self.store.replace(cx, &session, Change::of(next)).await {
                Err(race) if race.kind() == Kind::Stale => {}
                written => return written,
            }
        }
        Err(Error::unavailable("SESSION_BUSY", "too many refreshes of one session at once"))
    }

    /// Ends the session of a refresh token; one that is over or gone is no error. Errors: `CREDENTIAL_MALFORMED`.
    pub(crate) async fn sign_out(&self, cx: &Cx, app: &Seen<App>, token: &Token) -> Result<()> {
        match self.session_of(cx, app, token).await? {
            Some(session) => self.end(cx, &session, EndReason::SignedOut).await.map(drop),
            None => Ok(()),
        }
    }

    /// Ends a session for good, unless it is over already.
    pub(crate) async fn end(&self, cx: &Cx, session: &Seen<Session>, reason: EndReason) -> Result<()> {
        let mut session = session.clone();
        loop {
            if session.body.state == State::Ended {
                return Ok(());
            }
            let event = events::session_ended(cx, &session.id, &session.body.user, reason);
            let change = Change::of(session.body.ended(reason, self.clock.now())).event(event);
            match self.store.replace(cx, &session, change).await {
                Err(race) if race.kind() == Kind::Stale => match self.store.get::<Session>(cx, &session.id).await? {
                    Some(newer) => session = newer,
                    None => return Ok(()),
                },
                replaced => return replaced.map(drop),
            }
        }
    }

    /// The session that a token was computed for; none when it is gone. Errors: `CREDENTIAL_MALFORMED` for a forged token.
    async fn session_of(&self, cx: &Cx, app: &Seen<App>, token: &Token) -> Result<Option<Seen<Session>>> {
        let forged = || Error::unauthenticated("CREDENTIAL_MALFORMED", "this is no refresh token of this app");
        if token.app != *cx.tenant() {
            return Err(forged());
        }
        let Some(session) = self.store.get::<Session>(cx, &token.session_id).await? else { return Ok(None) };
        let genuine = token.verify(&self.session_key(cx, &app.body, &session)?) && token.generation <= session.body.generation;
        if genuine { Ok(Some(session)) } else { Err(forged()) }
    }

    /// What a session is held against, read fresh: its person, its app, the installation.
    pub(crate) async fn present(&self, home: &Cx, app: &Seen<App>, session: &Session) -> Result<Present> {
        let user = self.store.get::<User>(home, &session.user).await?.ok_or_else(ended)?;
        let installation = self.installation().await?.body.epoch;
        let epochs = Epochs { installation, app: app.body.epoch, user: user.body.epoch };
        Ok(Present { epochs, user_active: user.body.may_sign_in(), app_active: app.body.is_active() })
    }
}

fn ended() -> Error {
    Error::unauthenticated("SESSION_ENDED", "the session has ended; sign in again")
}
