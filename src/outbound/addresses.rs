//! Where a webhook may go. A merchant chooses the address, so it must not reach what only this machine can reach: the
//! check is made on what a name resolves to, at the moment of connecting, since a name may resolve to something else later.

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest URL that is taken, in bytes.
const URL_LENGTH_MAX: usize = 2048;

/// Which addresses may be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses alone.
    Public,
    /// Any address: for the sandbox and for tests, whose receivers are on this machine.
    Anywhere,
}

/// Why a URL is no webhook endpoint's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    #[error("it must be at most {URL_LENGTH_MAX} characters long")]
    TooLong,
    #[error("it is not a valid URL")]
    NotAUrl,
    #[error("it must begin with https:// or http://")]
    Scheme,
    #[error("it must begin with https:// in live mode")]
    NotSecure,
    #[error("it must not hold a user name or a password")]
    Credentials,
    #[error("it must be publicly accessible")]
    NotPublic,
}

/// A name resolved to addresses that may not be spoken to.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to no public address")]
pub struct NotPublic;

impl Reach {
    /// The URL, where a webhook may be sent to it. A name in it is judged when it is resolved; an address that stands in
    /// it is judged here, since it never is.
    ///
    /// # Errors
    /// [`UrlRefused`].
    pub fn url(self, text: &str) -> Result<Url, UrlRefused> {
        if text.len() > URL_LENGTH_MAX {
            return Err(UrlRefused::TooLong);
        }
        let url = Url::parse(text).map_err(|_| UrlRefused::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlRefused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::Credentials);
        }
        let host = url.host_str().ok_or(UrlRefused::NotAUrl)?;
        match host_ip(host) {
            Some(ip) if !self.allows(ip) => Err(UrlRefused::NotPublic),
            _ => Ok(url),
        }
    }

    /// Whether the address may be spoken to.
    pub fn allows(self, ip: IpAddr) -> bool {
        match (self, ip) {
            (Self::Anywhere, _) => true,
            (Self::Public, IpAddr::V4(ip)) => is_public_v4(ip),
            (Self::Public, IpAddr::V6(ip)) => is_public_v6(ip),
        }
    }
}

/// The address that stands in a URL; the parser has brought every spelling of it (hex, octal, one number) into this form.
fn host_ip(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = a == 192 && b == 0 && c == 0;
    let benchmarks = a == 198 && (b == 18 || b == 19);
    let relays = a == 192 && b == 88 && c == 99;
    !(a == 0
        || a >= 224
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || shared
        || protocols
        || benchmarks
        || relays)
}

/// Global unicast (2000::/3) alone, and of that nothing that carries another address in it or is set apart.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(inner) = ip.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let [first, second, ..] = ip.segments();
    let global = first & 0xe000 == 0x2000;
    // 2001::/23 (Teredo among it), 2001:db8::/32, 2002::/16 (6to4), 3fff::/20.
    let apart = (first == 0x2001 && (second < 0x0200 || second == 0x0db8))
        || first == 0x2002
        || (first == 0x3fff && second < 0x1000);
    global && !apart
}

/// Resolves names, and lets through only what may be spoken to.
pub struct Guarded(pub Reach);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|it| reach.allows(it.ip())).collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planted bug: judging an IPv4 address inside of an IPv6 one as any other lets `::ffff:127.0.0.1` through.
    #[test]
    fn only_public_addresses_are_public() {
        let inside = "127.0.0.1 10.0.0.1 172.16.3.4 192.168.1.1 169.254.169.254 0.0.0.0 0.1.2.3 100.64.0.1 224.0.0.1 240.0.0.1 \
                      255.255.255.255 192.0.0.8 198.18.0.1 192.0.2.1 ::1 :: fe80::1 fc00::1 fd12::1 ff02::1 ::ffff:127.0.0.1 \
                      ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1 2001:0:1::1 2001:db8::1 100::1";
        for ip in inside.split_whitespace() {
            assert!(!Reach::Public.allows(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(Reach::Public.allows(ip.parse().unwrap()), "{ip}");
        }
    }

    /// Planted bug: reading the host as it was written misses the spellings that a parser takes for an address.
    #[test]
    fn a_url_with_an_inside_address_in_any_spelling_is_refused() {
        for text in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://017700000001/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]:80/",
            "https://10.1.2.3/hook",
        ] {
            assert_eq!(
                Reach::Public.url(text),
                Err(UrlRefused::NotPublic),
                "{text}"
            );
        }
        assert!(Reach::Public.url("https://example.com/hook?a=b").is_ok());
        assert!(Reach::Anywhere.url("http://127.0.0.1:9/hook").is_ok());
    }

    #[test]
    fn a_url_that_is_none_of_a_receivers_is_refused_for_its_reason() {
        let long = format!("https://example.com/{}", "a".repeat(URL_LENGTH_MAX));
        for (text, why) in [
            (long.as_str(), UrlRefused::TooLong),
            ("example.com/hook", UrlRefused::NotAUrl),
            ("", UrlRefused::NotAUrl),
            ("https://", UrlRefused::NotAUrl),
            ("ftp://example.com/", UrlRefused::Scheme),
            ("file:///etc/passwd", UrlRefused::Scheme),
            ("https://user@example.com/", UrlRefused::Credentials),
            ("https://user:word@example.com/", UrlRefused::Credentials),
        ] {
            assert_eq!(Reach::Public.url(text), Err(why), "{text}");
        }
    }

    /// Planted bug: taking what the resolver found as it is lets a name of a merchant's choice point here.
    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_not_connected_to() {
        let resolve = |reach| Guarded(reach).resolve("localhost".parse().unwrap());
        let refused = resolve(Reach::Public).await.err().unwrap();
        assert!(refused.downcast_ref::<NotPublic>().is_some(), "{refused}");
        assert!(resolve(Reach::Anywhere).await.unwrap().count() > 0);
    }
}
