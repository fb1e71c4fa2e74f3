//! The HTTP proxies from the environment, for every client of the gateway.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::{ClientBuilder, Proxy};
use url::{Host, Url};

/// The first variable that is set counts. `ALL_PROXY` is for both schemes.
const HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The proxies. Clones share them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies(Arc<ByScheme>);

/// Proxies by the scheme of the address that is called.
#[derive(Default, PartialEq, Eq)]
struct ByScheme {
    http: Option<Url>,
    https: Option<Url>,
    no_proxy: String,
}

/// An invalid variable. The value is left out: it may contain a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{variable} is (redacted): must be the address of an HTTP proxy, such as \
     http://user:password@proxy.example.com:3128; {problem}"
)]
pub(crate) struct BadProxy {
    variable: &'static str,
    problem: String,
}

impl Proxies {
    /// Reads the variables; `variable` returns the value of one that is set.
    ///
    /// # Errors
    /// The first variable in use that names no proxy.
    pub(crate) fn read<'e>(variable: impl Fn(&str) -> Option<&'e str>) -> Result<Self, BadProxy> {
        let set =
            |names: &[&'static str]| names.iter().find_map(|name| Some((*name, variable(name)?)));
        let proxy = |names: &[&'static str]| {
            let Some((variable, text)) = set(names) else { return Ok(None) };
            parse(text).map(Some).map_err(|problem| BadProxy { variable, problem })
        };
        let no_proxy = set(&NO_PROXY).map_or("", |(_, text)| text).to_owned();
        Ok(Self(Arc::new(ByScheme { http: proxy(&HTTP)?, https: proxy(&HTTPS)?, no_proxy })))
    }

    /// Sends a client's requests to `address` through the proxy for it, if there is one.
    ///
    /// # Errors
    /// None that is known: the address of a proxy has been parsed already.
    pub(crate) fn apply(
        &self,
        client: ClientBuilder,
        address: &Url,
    ) -> Result<ClientBuilder, reqwest::Error> {
        // Else the client would read the environment itself.
        let client = client.no_proxy();
        match self.proxy_of(address) {
            Some(proxy) => Ok(client.proxy(Proxy::all(proxy.clone())?)),
            None => Ok(client),
        }
    }

    /// The proxy for an address, without user and password.
    pub(crate) fn shown_for(&self, address: &Url) -> Option<String> {
        let proxy = self.proxy_of(address)?;
        let authority = &proxy[url::Position::BeforeHost..url::Position::AfterPort];
        Some(format!("{}://{authority}", proxy.scheme()))
    }

    /// Loopback addresses are always called directly.
    fn proxy_of(&self, address: &Url) -> Option<&Url> {
        let ByScheme { http, https, no_proxy } = &*self.0;
        let proxy = if address.scheme() == "http" { http } else { https };
        let host = address.host()?;
        proxy.as_ref().filter(|_| !is_loopback(&host) && !is_named(no_proxy, &host))
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies(…)")
    }
}

/// Whether a host is this machine.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(name) => *name == "localhost",
    }
}

/// Whether `NO_PROXY` names a host: by its name or a domain above it, its address or network, or by `*`.
fn is_named(no_proxy: &str, host: &Host<&str>) -> bool {
    let is_address = |entry: &str, ip: IpAddr| {
        entry.parse() == Ok(ip) || entry.parse().is_ok_and(|network: IpNet| network.contains(&ip))
    };
    no_proxy.split(',').map(str::trim).any(|entry| match *host {
        _ if entry == "*" => true,
        Host::Ipv4(ip) => is_address(entry, ip.into()),
        Host::Ipv6(ip) => is_address(entry, ip.into()),
        Host::Domain(name) => is_within(name, &entry.to_ascii_lowercase()),
    })
}

/// Whether a name is a domain, written with or without a dot before it, or one below it.
fn is_within(name: &str, domain: &str) -> bool {
    let domain = domain.trim_start_matches('.');
    let above = name.strip_suffix(domain).filter(|_| !domain.is_empty());
    above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// Parses the address of a proxy; the error is a clause without any part of the address. The URL
/// standard reads everything up to the last `@` as user and password, so a raw `@` is fine there.
fn parse(text: &str) -> Result<Url, String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&with_scheme).map_err(|error| format!("it has an {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("its scheme is not http or https".to_owned());
    }
    // The client parses it again, by stricter rules.
    if url.as_str().parse::<http::Uri>().is_err() {
        return Err("it has characters that must be percent-encoded".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &'static str)]) -> Result<Proxies, BadProxy> {
        let found = |name: &str| variables.iter().find(|(set, _)| *set == name);
        Proxies::read(|name| found(name).map(|(_, value)| *value))
    }

    fn shown(variables: &[(&str, &'static str)], address: &str) -> Option<String> {
        read(variables).unwrap().shown_for(&address.parse().unwrap())
    }

    #[test]
    fn the_proxy_follows_the_scheme_and_the_order_of_the_variables() {
        let all = [("HTTPS_PROXY", "http://s:1"), ("HTTP_PROXY", "p:2"), ("ALL_PROXY", "a:3")];
        for (variables, address, expected) in [
            (&all[..], "https://a.example", Some("http://s:1")),
            (&all, "http://a.example", Some("http://p:2")),
            (&all[2..], "https://a.example", Some("http://a:3")),
            (&all[2..], "http://a.example", Some("http://a:3")),
            (&[("https_proxy", "https://user:secret@s")], "https://a.example", Some("https://s")),
            (&all[..1], "http://a.example", None),
            (&[], "https://a.example", None),
            (&all, "https://127.0.0.1:9", None),
            (&all, "http://localhost", None),
            (&all, "http://[::1]", None),
        ] {
            assert_eq!(shown(variables, address).as_deref(), expected, "{variables:?} {address}");
        }
    }

    #[test]
    fn hosts_of_no_proxy_are_called_directly() {
        for (no_proxy, address, is_direct) in [
            ("a.example", "https://a.example", true),
            ("a.example", "https://b.a.example", true),
            (".A.example", "https://b.a.example", true),
            ("a.example", "https://ba.example", false),
            (".example, 10.0.0.0/8", "https://10.1.2.3", true),
            ("10.1.2.3,fd00::/8", "https://10.1.2.3", true),
            ("10.1.2.3,fd00::/8", "https://[fd00::1]", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("*", "https://a.example", true),
            ("*", "https://10.1.2.3", true),
            (",", "https://a.example", false),
            ("b.example", "https://a.example", false),
        ] {
            let found = shown(&[("HTTPS_PROXY", "p:1"), ("NO_PROXY", no_proxy)], address);

            assert_eq!(found.is_none(), is_direct, "{no_proxy} {address}");
        }
    }

    #[test]
    fn a_variable_that_names_no_proxy_is_refused_by_name_without_its_value() {
        for (value, problem) in [
            ("http://user:sec/ret@proxy:3128", "it has an invalid port number"),
            ("http://user:sec#ret@proxy:3128", "it has an invalid port number"),
            ("http://proxy:99999", "it has an invalid port number"),
            ("http://", "it has an empty host"),
            ("socks5://user:secret@proxy", "its scheme is not http or https"),
        ] {
            let refusal = read(&[("HTTPS_PROXY", value)]).unwrap_err().to_string();

            assert!(refusal.starts_with("HTTPS_PROXY is (redacted): must be"), "{refusal}");
            assert!(refusal.ends_with(problem), "{refusal}");
            assert!(!refusal.contains("sec"), "{refusal}");
        }
    }

    #[test]
    fn a_variable_that_is_not_in_use_is_not_judged() {
        let variables =
            [("HTTP_PROXY", "a:1"), ("HTTPS_PROXY", "b:2"), ("ALL_PROXY", "socks5://c")];

        assert!(read(&variables).is_ok());
    }
}
