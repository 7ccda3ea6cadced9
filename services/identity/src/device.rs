//! Devices that somebody has signed in on: a signed text that the client keeps. It opens nothing; failures of strangers do not
//! delay whoever shows it, and its own are counted apart.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use kernel::{Cx, Result};
use storage::Seen;
use subtle::ConstantTimeEq as _;

use crate::domain::app::App;
use crate::domain::user::User;
use crate::state::{Core, random, user_name};

/// What such a text begins with.
const PREFIX: &str = "mzd_";
/// How long a device is remembered, in seconds: 180 days.
const REMEMBERED_SECONDS: i64 = 180 * 24 * 3600;
/// Longest text that is read.
const MAX_BYTES: usize = 200;

/// A device as it says of itself: `mzd_{user}.{id}.{since}.{mac}`.
struct Claimed<'a> {
    user: &'a str,
    id: &'a str,
    since: i64,
    mac: Vec<u8>,
}

impl<'a> Claimed<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = Some(text).filter(|text| text.len() <= MAX_BYTES)?.strip_prefix(PREFIX)?.split('.');
        let (user, id, since) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        let mac = BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        parts.next().is_none().then_some(Self { user, id, since, mac })
    }
}

impl Core {
    /// The id of the device, if this text was given to this person and is still good. Anything else is a device like any other:
    /// an old text must not keep its owner out.
    pub(crate) fn known_device(&self, cx: &Cx, app: &Seen<App>, user: &Seen<User>, text: &str) -> Result<Option<String>> {
        let now = self.clock.now().seconds();
        let claimed = Claimed::read(text).filter(|claimed| claimed.user == user.id);
        let Some(claimed) = claimed.filter(|claimed| now < claimed.since.saturating_add(REMEMBERED_SECONDS)) else { return Ok(None) };
        let mac = self.device_mac(cx, app, user, (claimed.id, claimed.since))?;
        Ok(bool::from(mac.as_slice().ct_eq(&claimed.mac)).then(|| claimed.id.to_owned()))
    }

    /// The text for somebody who has just signed in. A device that was known keeps its id.
    pub(crate) fn remember_device(&self, cx: &Cx, app: &Seen<App>, user: &Seen<User>, known: Option<String>) -> Result<String> {
        let id = known.map_or_else(|| random::<9>().map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes)), Ok)?;
        let since = self.clock.now().seconds();
        let mac = self.device_mac(cx, app, user, (&id, since))?;
        Ok(format!("{PREFIX}{}.{id}.{since}.{}", user.id, BASE64_URL_SAFE_NO_PAD.encode(mac)))
    }

    /// Over the person's epoch too: whatever ends all sessions makes every device unknown.
    fn device_mac(&self, cx: &Cx, app: &Seen<App>, user: &Seen<User>, device: (&str, i64)) -> Result<[u8; 20]> {
        let (id, since) = device;
        let document = format!("{}/devices/{id}/{since}", user_name(cx.tenant(), &user.id));
        Ok(self.data_key(cx.tenant(), &app.body)?.mac("device", &document, user.body.epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_form_and_no_other() {
        let claimed = Claimed::read("mzd_usr_1.AbC-_9.17.AAAA");
        assert!(claimed.is_some_and(|claimed| (claimed.user, claimed.id, claimed.since, claimed.mac.len()) == ("usr_1", "AbC-_9", 17, 3)));
        let long = format!("mzd_usr_1.{}.17.AAAA", "a".repeat(200));
        for bad in
            ["", "mzd_", "usr_1.a.17.AAAA", "mzd_usr_1.a.17", "mzd_usr_1.a.x.AAAA", "mzd_usr_1.a.17.A.A", "mzd_usr_1.a.17.=", long.as_str()]
        {
            assert!(Claimed::read(bad).is_none(), "{bad}");
        }
    }
}
