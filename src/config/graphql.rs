//! `graphql.*` and `cors.*`: what the GraphQL endpoint shows, and to which origins.

use std::path::PathBuf;

use url::Url;

use super::form::{ListOf, Parsed, Switch};
use super::setting::{Row, Setting};
use super::upstream::CredentialsKind;
use super::values::Values;

/// Stands for every origin.
const ANY_ORIGIN: &str = "*";

static INTROSPECTION: Setting<Switch> = Setting::new(
    "graphql.introspection",
    Switch,
    "answers introspection, and suggests names in errors",
)
.or("false")
.in_demo("true")
.changeable();
static GRAPHIQL: Setting<Switch> = Setting::new(
    "graphql.graphiql",
    Switch,
    "serves GraphiQL to browsers; it knows the schema only where graphql.introspection is on",
)
.or("false")
.in_demo("true")
.changeable();
static COMPRESSION: Setting<Switch> = Setting::new(
    "graphql.compression",
    Switch,
    "sends answers of 4 KiB and more as zstd, br or gzip where the client accepts that; never those \
     with download links",
)
.or("true")
.changeable();
static ALLOW_ORIGINS: Setting<ListOf<Parsed<String>>> = Setting::new(
    "cors.allow_origins",
    ListOf(Parsed {
        allowed: "an origin written scheme://host or scheme://host:port, such as \
                  https://console.example.com (or * alone, for every origin)",
        placeholder: "ORIGIN",
        parse: origin,
    }),
    "origins whose pages may read answers; * is refused under the gateway's own credentials",
)
.changeable();

static DOCUMENTS_FILE: Setting<Parsed<PathBuf>> = Setting::new(
    "graphql.documents_file",
    Parsed {
        allowed: "the path of a file, without control characters",
        placeholder: "FILE",
        parse: |text| (!text.contains(char::is_control)).then(|| PathBuf::from(text)),
    },
    "trusted documents by id: a manifest of Relay, of Apollo, or of graphql-codegen's client \
     preset; read again when it changes",
)
.changeable();
static DOCUMENTS_ONLY: Setting<Switch> = Setting::new(
    "graphql.documents_only",
    Switch,
    "refuses every document that is not in graphql.documents_file",
)
.or("false")
.changeable();

pub(super) static ROWS: &[&dyn Row] =
    &[&INTROSPECTION, &GRAPHIQL, &DOCUMENTS_FILE, &DOCUMENTS_ONLY, &COMPRESSION, &ALLOW_ORIGINS];

/// What the GraphQL endpoint shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct GraphqlConfig {
    /// `graphql.introspection`: answers introspection and suggests names.
    pub introspection: bool,
    /// `graphql.graphiql`: serves GraphiQL to browsers.
    pub graphiql: bool,
    /// `cors.allow_origins`: origins whose pages may read answers.
    pub allow_origins: Vec<String>,
    /// `graphql.documents_file`: trusted documents by id.
    pub documents_file: Option<PathBuf>,
    /// `graphql.documents_only`: refuses every other document.
    pub documents_only: bool,
    /// `graphql.compression`: compresses large answers where the client accepts that.
    pub compression: bool,
}

impl Default for GraphqlConfig {
    fn default() -> Self {
        Self {
            introspection: false,
            graphiql: false,
            allow_origins: Vec::new(),
            documents_file: None,
            documents_only: false,
            compression: true,
        }
    }
}

impl GraphqlConfig {
    pub(super) fn read(values: &mut Values<'_>, credentials: CredentialsKind) -> Self {
        let documents_file = values.read(&DOCUMENTS_FILE);
        let documents_only = values.read_or(&DOCUMENTS_ONLY, false);
        if documents_only && documents_file.is_none() {
            let problem = "needs graphql.documents_file: without it every document is refused";
            values.refuse(&DOCUMENTS_ONLY, problem);
        }
        Self {
            introspection: values.read_or(&INTROSPECTION, false),
            graphiql: values.read_or(&GRAPHIQL, false),
            allow_origins: allow_origins(values, credentials),
            documents_file,
            documents_only,
            compression: values.read_or(&COMPRESSION, true),
        }
    }
}

fn allow_origins(values: &mut Values<'_>, credentials: CredentialsKind) -> Vec<String> {
    let origins = values.read(&ALLOW_ORIGINS).unwrap_or_default();
    if !origins.iter().any(|origin| origin == ANY_ORIGIN) {
        return origins;
    }
    if origins.len() > 1 {
        values.refuse(&ALLOW_ORIGINS, "* must stand alone, for it includes every other origin");
    }
    // Any page that the operator's browser opens could read recordings without a token.
    if credentials.are_the_gateways() {
        let problem = format!(
            "must name the origins under upstream.credentials={}: with * every page on the web \
             could use the gateway's own credentials",
            credentials.word()
        );
        values.refuse(&ALLOW_ORIGINS, &problem);
    }
    origins
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
