//! The HTTP proxies from the environment, for every client of the gateway.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Proxy};
use url::{Host, Url};

use super::settings::{Setting, SettingsLoader};

/// The first variable that is set counts. `ALL_PROXY` is for both schemes.
const HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// This machine, which is always called directly.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// The proxies, by the scheme of the address that is called.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    no_proxy: String,
}

impl Proxies {
    /// Reads the variables.
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let no_proxy = NO_PROXY.iter().find_map(|name| loader.variable(name)).unwrap_or_default();
        let mut proxy = |names: [&'static str; 4]| {
            let name = names.into_iter().find(|name| loader.variable(name).is_some())?;
            loader.variable_as(name, proxy_address())
        };
        Self { http: proxy(HTTP), https: proxy(HTTPS), no_proxy: no_proxy.to_owned() }
    }

    /// A client for an address: through the proxy for it, if there is one, and without redirects, with which
    /// credentials would travel.
    ///
    /// # Errors
    /// None that is known: the address of a proxy has been parsed already.
    pub(crate) fn client(&self, address: &Url) -> reqwest::Result<ClientBuilder> {
        // Fails only when a provider has been installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // `no_proxy`, because the client would read the environment itself.
        let mut client = Client::builder().redirect(Policy::none()).referer(false).no_proxy();
        if address.scheme() == "http" {
            // Nothing is verified, so a machine without root certificates will do.
            client = client.tls_certs_only([]);
        }
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

    fn proxy_of(&self, address: &Url) -> Option<&Url> {
        let proxy = if address.scheme() == "http" { &self.http } else { &self.https };
        let host = address.host()?;
        let is_direct = is_named(LOOPBACK, &host) || is_named(&self.no_proxy, &host);
        proxy.as_ref().filter(|_| !is_direct)
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies(…)")
    }
}

/// Whether a list such as `NO_PROXY` names a host: by its name or a domain above it, its address or network, or by `*`.
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

/// Refusals show nothing of the address, because it may contain a password.
fn proxy_address() -> Setting<Url> {
    let allowed =
        "the address of an HTTP proxy, such as http://user:password@proxy.example.com:3128";
    Setting::new("URL", allowed, parse).secret()
}

/// Parses the address of a proxy. The URL standard reads everything up to the last `@` as user and password, so a
/// raw `@` is fine there.
fn parse(text: &str) -> Option<Url> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&with_scheme).ok()?;
    // The client parses it again, by stricter rules.
    let is_readable = url.as_str().parse::<http::Uri>().is_ok();
    (is_readable && matches!(url.scheme(), "http" | "https")).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_follows_the_scheme_and_is_shown_without_password() {
        let proxies = Proxies {
            http: parse("p:2"),
            https: parse("https://user:sec@ret@s"),
            no_proxy: String::new(),
        };
        for (address, expected) in [
            ("https://a.example", Some("https://s")),
            ("http://a.example", Some("http://p:2")),
            ("https://127.0.0.1:9", None),
            ("http://localhost", None),
            ("http://[::1]", None),
        ] {
            let shown = proxies.shown_for(&address.parse().unwrap());

            assert_eq!(shown.as_deref(), expected, "{address}");
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
            let proxies =
                Proxies { no_proxy: no_proxy.to_owned(), https: parse("p:1"), http: None };

            let found = proxies.shown_for(&address.parse().unwrap());

            assert_eq!(found.is_none(), is_direct, "{no_proxy} {address}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_proxy_is_refused() {
        for text in [
            "http://user:sec/ret@proxy:3128",
            "http://user:sec#ret@proxy:3128",
            "http://proxy:99999",
            "http://",
            "socks5://user:secret@proxy",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
