//! Where a call comes from: the peer, or what trusted proxies say about it. Must not decide anything by it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;

/// Longest chain of proxies that is believed.
const MAX_HOPS: usize = 32;
/// Longest text of one hop.
const MAX_HOP_BYTES: usize = 128;

/// Addresses under one prefix: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Net {
    base: IpAddr,
    bits: u32,
}

impl FromStr for Net {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().map_err(|_| ())?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| ()))?;
        if bits > width { Err(()) } else { Ok(Self { base, bits }) }
    }
}

impl Net {
    fn holds(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// The address of the client, IPv6 by its /64. None when it cannot be read: never that of a proxy that calls us.
pub(crate) fn client(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[Net]) -> Option<IpAddr> {
    let peer = peer?.ip().to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.holds(address));
    if !is_trusted(peer) {
        return Some(by_network(peer));
    }
    let values: Vec<&str> = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str()).collect::<Result<_, _>>().ok()?;
    let mut seen = None;
    for hop in values.iter().rev().flat_map(|value| value.rsplit(',')).take(MAX_HOPS) {
        let address = read(hop)?;
        seen = Some(address);
        if !is_trusted(address) {
            return seen.map(by_network);
        }
    }
    // Every hop is a known proxy: the first of them began the call, unless the chain went on beyond what is read, or says
    // no more than that the peer forwards its own.
    let hops = values.iter().map(|value| value.split(',').count()).sum::<usize>();
    seen.filter(|address| *address != peer && hops <= MAX_HOPS).map(by_network)
}

/// `1.2.3.4`, `1.2.3.4:5678`, `::1`, `[::1]`, `[::1]:5678`, also in quotes.
fn read(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    if hop.len() > MAX_HOP_BYTES {
        return None;
    }
    let hop = hop.strip_prefix('"').and_then(|hop| hop.strip_suffix('"')).unwrap_or(hop);
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip())).ok()?;
    Some(address.to_canonical())
}

fn by_network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn client_of(peer: &str, forwarded: &[&str], trusted: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<Net> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client(Some(peer.parse().unwrap()), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn the_peer_counts_and_spoofed_headers_do_not() {
        assert_eq!(client_of("9.9.9.9:1", &["1.1.1.1"], &["10.0.0.0/8"]).as_deref(), Some("9.9.9.9"));
        assert_eq!(client_of("[::ffff:9.9.9.9]:1", &[], &[]).as_deref(), Some("9.9.9.9"));
        assert_eq!(client_of("[2001:db8:1:2:3:4:5:6]:1", &[], &[]).as_deref(), Some("2001:db8:1:2::"));
    }

    #[test]
    fn the_chain_is_walked_from_the_right_through_known_proxies() {
        let proxies = ["10.0.0.0/8", "fd00::/8"];
        let table: [(&[&str], Option<&str>); 13] = [
            (&["6.6.6.6, 1.2.3.4"], Some("1.2.3.4")),
            (&["6.6.6.6", "1.2.3.4, 10.1.1.1"], Some("1.2.3.4")),
            (&["1.2.3.4:555, [fd00::1]:80"], Some("1.2.3.4")),
            (&["\"[2001:db8::1]:4711\""], Some("2001:db8::")),
            (&["::ffff:1.2.3.4"], Some("1.2.3.4")),
            (&["10.2.2.2, 10.1.1.1"], Some("10.2.2.2")),
            (&["10.0.0.1"], None),
            (&["::ffff:10.0.0.1, 10.1.1.1"], None),
            (&["1.2.3.4, 10.0.0.1"], Some("1.2.3.4")),
            (&[], None),
            (&["unknown"], None),
            (&["1.2.3.4, garbage"], None),
            (&[""], None),
        ];
        for (forwarded, expected) in table {
            assert_eq!(client_of("10.0.0.1:1", forwarded, &proxies).as_deref(), expected, "{forwarded:?}");
        }
        assert_eq!(client_of("10.0.0.1:1", &[&"10.1.1.1,".repeat(33)], &proxies), None);
        assert_eq!(client_of("10.0.0.1:1", &[&format!("1.2.3.4{}", " ".repeat(10))], &proxies).as_deref(), Some("1.2.3.4"));
        assert_eq!(client_of("10.0.0.1:1", &[&"1".repeat(200)], &proxies), None);
    }

    #[test]
    fn networks_are_read_strictly() {
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "x", "::/129", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(bad.parse::<Net>().is_err(), "{bad}");
        }
        assert!("0.0.0.0/0".parse::<Net>().unwrap().holds("1.2.3.4".parse().unwrap()));
        assert!(!"::/0".parse::<Net>().unwrap().holds("1.2.3.4".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn any_chain_is_read_without_panic(chain: String) {
            chain.split(',').for_each(|hop| _ = read(hop));
            let _ = chain.parse::<Net>();
        }
    }
}
