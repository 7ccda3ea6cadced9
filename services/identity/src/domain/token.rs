//! What an access token says. Signing and verifying it is not decided here.

use serde::{Deserialize, Serialize};

/// Whom access tokens are for: every service of core.
pub(crate) const AUDIENCE: &str = "mozaiks";
/// Life of an access token. Long enough to spare refreshes, short enough to bound a missed revocation.
pub(crate) const LIFETIME_SECONDS: i64 = 5 * 60;

/// The claims of an access token (RFC 9068). Instants in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Issuer: one a tenant.
    pub(crate) iss: String,
    /// Id of the subject.
    pub(crate) sub: String,
    /// App in which the subject lives, when it is another than `app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) home: Option<String>,
    pub(crate) aud: String,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    /// Id of this token.
    pub(crate) jti: String,
    /// Id of the session, in the subject's home.
    pub(crate) sid: String,
    /// The app the token is good for.
    pub(crate) app: String,
    /// Permissions held in that app, as patterns.
    pub(crate) perm: Vec<String>,
    /// Authenticator assurance level.
    pub(crate) aal: i32,
    /// Authentication methods (RFC 8176).
    pub(crate) amr: Vec<String>,
    /// When the newest check was passed.
    pub(crate) auth_time: i64,
    /// Epochs it was issued under: installation, app, client (0 = none), user.
    pub(crate) ep: [i64; 4],
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn every_claim_must_be_there_and_of_its_type() {
        let full = json!({
            "iss": "https://id.example/api/core/identity/oidc/acme", "sub": "usr_1", "aud": "mozaiks", "exp": 300, "iat": 0,
            "jti": "tok_1", "sid": "ses_1", "app": "acme", "perm": ["identity.apps.read"], "aal": 1, "amr": ["pwd"], "auth_time": 0,
            "ep": [1, 1, 0, 1]
        });
        let claims: Claims = serde_json::from_value(full.clone()).unwrap();
        assert_eq!(serde_json::to_value(&claims).unwrap(), full);
        for (name, _) in full.as_object().unwrap() {
            let mut without = full.clone();
            without.as_object_mut().unwrap().remove(name);
            assert!(serde_json::from_value::<Claims>(without).is_err(), "{name} is missing");
            let mut mistyped = full.clone();
            mistyped[name] = json!({"$gt": ""});
            assert!(serde_json::from_value::<Claims>(mistyped).is_err(), "{name} is mistyped");
        }
    }
}
