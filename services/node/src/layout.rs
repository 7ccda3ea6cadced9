//! What runs in this process and what elsewhere, as the configuration says it. Data only: nothing is started here.

use crate::catalog::{GATEWAY, SERVICES};
use crate::config::Config;

impl Config {
    /// Whether everything that this process needs is here or known to be elsewhere.
    pub(crate) fn layout_faults(&self) -> Vec<String> {
        let all = [&[GATEWAY], &SERVICES[..]].concat();
        let unknown = self.services.iter().filter(|name| !all.contains(&name.as_str()));
        let mut faults: Vec<_> = unknown.map(|name| format!("services: there is no {name:?}, only {}", all.join(" and "))).collect();
        for service in SERVICES {
            let at = self.peer(service);
            if let Err(error) = at.parse::<rpc::Addresses>()
                && !at.is_empty()
            {
                faults.push(format!("peers.{service}: {}", error.message()));
            }
            if at.is_empty() && self.runs(GATEWAY) && !self.runs(service) {
                faults.push(format!("{service} runs neither here nor elsewhere: name it in `services`, or say where it is with --peer {service}=static:host:port"));
            }
        }
        if !self.runs(GATEWAY) && self.public_url.is_empty() {
            faults.push("public_url: needed where the gateway is another process, and the same everywhere: tokens name it".into());
        }
        faults
    }

    /// Whether this part runs in this process.
    pub(crate) fn runs(&self, part: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|name| name == part)
    }

    /// Whether anything here keeps documents.
    pub(crate) fn has_services(&self) -> bool {
        SERVICES.iter().any(|service| self.runs(service))
    }

    /// Services of this process that listen for peers in others.
    pub(crate) fn meshed(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let named = SERVICES.into_iter().filter(|service| !self.services.is_empty() && self.runs(service));
        named.map(|service| (service, self.listens(service)))
    }

    /// Services of other processes, and where they are.
    pub(crate) fn elsewhere(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let away = SERVICES.into_iter().filter(|service| !self.runs(service));
        away.map(|service| (service, self.peer(service))).filter(|(_, at)| !at.is_empty())
    }

    pub(crate) fn listens(&self, service: &str) -> &str {
        match service {
            "identity" => &self.listen.identity,
            _ => "",
        }
    }

    fn peer(&self, service: &str) -> &str {
        match service {
            "identity" => &self.peers.identity,
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(services: &[&str], identity: &str, public_url: &str) -> Config {
        let mut config = Config { public_url: public_url.into(), ..Config::default() };
        config.services = services.iter().map(|name| (*name).to_owned()).collect();
        config.peers.identity = identity.into();
        config
    }

    #[test]
    fn what_is_neither_here_nor_elsewhere_is_named() {
        let faults = |services: &[&str], identity: &str| of(services, identity, "http://mozaiks.test").layout_faults().join("; ");
        for (services, identity) in [
            (&[][..], ""),
            (&["gateway", "identity"], ""),
            (&["gateway"], "dns:///identity:8001"),
            (&["identity"], ""),
            (&[], "static:a:1"),
        ] {
            assert_eq!(faults(services, identity), "", "{services:?} {identity}");
        }
        assert!(faults(&["gateway"], "").contains("identity runs neither here nor elsewhere"));
        assert!(faults(&["gateway"], "127.0.0.1:8001").contains("peers.identity: "));
        assert!(faults(&["billing"], "").contains("there is no \"billing\", only gateway and identity"));
        assert!(of(&["identity"], "", "").layout_faults().join("; ").contains("public_url"));
    }

    #[test]
    fn named_services_listen_for_peers() {
        let meshed = |services: &[&str]| of(services, "", "").meshed().map(|(name, at)| format!("{name} {at}")).collect::<Vec<_>>();
        assert_eq!((meshed(&[]), meshed(&["gateway"])), (vec![], vec![]));
        assert_eq!(meshed(&["identity"]), ["identity 127.0.0.1:8001"]);
        let everything = of(&[], "static:a:1", "");
        assert!(everything.has_services() && everything.elsewhere().next().is_none(), "what runs here is no peer");
        assert!(!of(&["gateway"], "static:a:1", "").has_services());
    }
}
