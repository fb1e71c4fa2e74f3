//! `graphql.*`, `web.*` and `cors.*`: what the GraphQL endpoint shows, and to which origins.

use std::path::PathBuf;

use url::Url;

use super::credentials::CredentialsSettings;
use super::settings::{SERVE_AND_DEMO, Setting, SettingsLoader, path, settings, switch};

/// Stands for every origin.
const ANY_ORIGIN: &str = "*";

settings! {
    /// What the GraphQL endpoint shows.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct GraphqlConfig in "graphql." for SERVE_AND_DEMO {
        /// answers introspection queries, and suggests names in errors
        pub introspection: bool = switch().default("false").demo_default("true"),
        /// serves GraphiQL to browsers; it shows the schema only if `graphql.introspection` is on
        pub graphiql: bool = switch().default("false").demo_default("true"),
        /// serves the console, a page for people who look at recordings, at `/`
        pub console: bool = switch()
            .with_key("web.console").default("false").demo_default("true"),
        /// file with trusted documents by id: a manifest of Relay, Apollo, or graphql-codegen's client preset;
        /// read again when it changes
        pub documents_file: Option<PathBuf> = path().optional(),
        /// refuses every document that is not in `graphql.documents_file`
        pub documents_only: bool = switch().default("false"),
        /// compresses answers of 4 KiB or more with zstd, br or gzip, as the client accepts; never those with
        /// download links
        pub compression: bool = switch().default("true"),
        /// origins whose pages may use the gateway; `*` is refused under the gateway's own credentials
        pub allow_origins: Vec<String> = origins().list().with_key("cors.allow_origins"),
    }
}

impl GraphqlConfig {
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let graphql = Self::read(loader);
        if graphql.documents_only && graphql.documents_file.is_none() {
            let problem = "needs graphql.documents_file: without it every document is refused";
            loader.refuse(&[&Self::documents_only(), &Self::documents_file()], problem);
        }
        if graphql.allow_origins.iter().any(|origin| origin == ANY_ORIGIN) {
            let (origins, credentials) =
                (Self::allow_origins(), CredentialsSettings::credentials());
            let kind = loader.read(&credentials);
            // Any page that the operator's browser opens could read recordings without a token.
            if kind.are_the_gateways() {
                let problem = format!(
                    "must name the origins under upstream.credentials={}: with * every page on the \
                     web could use the gateway's own credentials",
                    kind.word()
                );
                loader.refuse(&[&origins, &credentials], problem);
            }
            if graphql.allow_origins.len() > 1 {
                let problem = "* must stand alone, for it includes every other origin";
                loader.refuse(&[&origins], problem);
            }
        }
        graphql
    }
}

fn origins() -> Setting<String> {
    let allowed = "an origin written scheme://host or scheme://host:port, such as \
                   https://console.example.com (or * alone, for every origin)";
    Setting::new("ORIGIN", allowed, origin)
}

/// Reads an origin and writes it as browsers do: lower case, without the scheme's own port.
fn origin(text: &str) -> Option<String> {
    if text == ANY_ORIGIN {
        return Some(text.to_owned());
    }
    let (scheme, host) = text.split_once("://")?;
    let is_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    if !is_web || host.contains(['/', '\\', '?', '#', '@', '*']) {
        return None;
    }
    let origin = Url::parse(text).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        for (text, written) in [
            ("https://console.example.com", Some("https://console.example.com")),
            ("HTTPS://Console.Example.com:443", Some("https://console.example.com")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("http://[::1]:3000", Some("http://[::1]:3000")),
            ("*", Some("*")),
            ("https://console.example.com/", None),
            ("https://user@console.example.com", None),
            ("console.example.com", None),
            ("https://*.example.com", None),
            ("file://", None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(origin(text).as_deref(), written, "of {text:?}");
        }
    }
}
