//! Where a peer's endpoints are: a fixed list, or every record of a name, asked for again and again.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use http::uri::Authority;
use kernel::{Error, Result};
use tokio::net::lookup_host;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::jitter;

/// A name is resolved again after this, give or take a tenth.
const AGAIN: Duration = Duration::from_secs(30);
/// And after a connection has failed, but not before this has passed.
const AT_LEAST: Duration = Duration::from_secs(5);

/// `static:10.0.0.1:8001,10.0.0.2:8001` or `dns:///identity:8001`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// `host:port` each, none twice, at least one.
    Fixed(Vec<Arc<str>>),
    /// `host:port`; every address of the host is an endpoint.
    Dns(Arc<str>),
}

impl Addresses {
    /// Those known before anything was asked.
    pub(crate) fn known(&self) -> Vec<Arc<str>> {
        match self {
            Self::Fixed(all) => all.clone(),
            Self::Dns(_) => Vec::new(),
        }
    }

    /// Tells every set found, for ever. A failed or empty answer is none, so the last good set stays.
    pub(crate) async fn follow(self, trouble: &Notify, found: impl Fn(Vec<Arc<str>>)) {
        match self {
            Self::Fixed(_) => std::future::pending().await,
            Self::Dns(name) => {
                resolve(name, records, trouble, found).await;
            }
        }
    }
}

async fn records(name: Arc<str>) -> io::Result<Vec<Arc<str>>> {
    Ok(lookup_host(&*name).await?.map(|address| address.to_string().into()).collect())
}

async fn resolve<F>(name: Arc<str>, ask: impl Fn(Arc<str>) -> F, trouble: &Notify, found: impl Fn(Vec<Arc<str>>))
where
    F: Future<Output = io::Result<Vec<Arc<str>>>>,
{
    let mut last = Vec::new();
    loop {
        let asked = Instant::now();
        match ask(name.clone()).await {
            Ok(mut addresses) if !addresses.is_empty() => {
                addresses.sort_unstable();
                addresses.dedup();
                if addresses != last {
                    info!(%name, endpoints = addresses.len(), "resolved");
                    found(addresses.clone());
                    last = addresses;
                }
            }
            Ok(_) => warn!(%name, "resolved to nothing"),
            Err(cause) => warn!(%name, %cause, "cannot be resolved"),
        }
        sleep_until(asked + AT_LEAST).await;
        tokio::select! {
            () = trouble.notified() => {}
            () = sleep(jitter::around(AGAIN.saturating_sub(AT_LEAST))) => {}
        }
    }
}

impl From<std::net::SocketAddr> for Addresses {
    fn from(address: std::net::SocketAddr) -> Self {
        Self::Fixed(vec![address.to_string().into()])
    }
}

impl FromStr for Addresses {
    type Err = Error;

    /// Errors: `PEER_INVALID`.
    fn from_str(text: &str) -> Result<Self> {
        if let Some(name) = text.strip_prefix("dns:///") {
            return Ok(Self::Dns(endpoint(name)?));
        }
        let Some(list) = text.strip_prefix("static:") else {
            return Err(invalid(format!("{text:?} is neither static:host:port,… nor dns:///host:port")));
        };
        let mut all = list.split(',').map(endpoint).collect::<Result<Vec<_>>>()?;
        all.sort_unstable();
        all.dedup();
        Ok(Self::Fixed(all))
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(all) => write!(f, "static:{}", all.join(",")),
            Self::Dns(name) => write!(f, "dns:///{name}"),
        }
    }
}

/// `host:port`.
fn endpoint(text: &str) -> Result<Arc<str>> {
    let parsed = Authority::from_str(text).ok().filter(|authority| !authority.host().is_empty() && !text.contains('@'));
    let has_port = parsed.and_then(|authority| authority.port_u16()).is_some_and(|port| port > 0);
    if has_port { Ok(text.into()) } else { Err(invalid(format!("{text:?} is not host:port"))) }
}

fn invalid(message: String) -> Error {
    Error::invalid("PEER_INVALID", message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn addresses_are_read_strictly() {
        for good in ["static:127.0.0.1:8001", "static:10.0.0.1:1,[::1]:2,identity:3", "dns:///identity:8001"] {
            assert_eq!(good.parse::<Addresses>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "127.0.0.1:8001",
            "static:",
            "static:a:1,",
            "static:a",
            "static:a:0",
            "static:x@a:1",
            "dns:identity:1",
            "dns:///a",
            "dns:///a:99999",
        ] {
            assert_eq!(bad.parse::<Addresses>().unwrap_err().reason(), "PEER_INVALID", "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_asked_again_and_its_last_good_answer_stays() {
        let answers = Mutex::new(vec![Ok(vec!["c"]), Ok(vec![]), Err(()), Ok(vec!["a", "b"]), Ok(vec!["b", "a", "b"])]);
        let (start, asked, found, trouble) = (Instant::now(), Mutex::new(Vec::new()), Mutex::new(Vec::new()), Notify::new());
        let ask = |_| async {
            asked.lock().unwrap().push(start.elapsed());
            let next = answers.lock().unwrap().pop();
            match next {
                Some(Ok(all)) => Ok(all.into_iter().map(Arc::from).collect()),
                Some(Err(())) => Err(io::Error::other("no answer")),
                None => std::future::pending().await,
            }
        };
        trouble.notify_one();
        let told = |set: Vec<Arc<str>>| found.lock().unwrap().push(set.join(" "));
        let following = resolve("name".into(), ask, &trouble, told);
        assert!(tokio::time::timeout(Duration::from_secs(200), following).await.is_err());
        assert_eq!(*found.lock().unwrap(), ["a b", "c"]);
        let asked = asked.lock().unwrap().clone();
        assert_eq!(asked[1], AT_LEAST, "after trouble, and not at once");
        assert!(asked[2] - asked[1] >= Duration::from_secs(27) && asked[5] < Duration::from_secs(160), "{asked:?}");
    }
}
