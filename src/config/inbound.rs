//! `inbound.*`: which callers are let in, and what they may ask for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use url::Url;

use super::proxies::Proxies;
use super::settings::{
    SERVE, Setting, SettingsLoader, duration, file_path, is_one_line, one_of, project_id, settings,
    switch, text,
};
use crate::domain::ProjectId;

/// The algorithms whose keys can be public. With a shared secret, a program that checks tokens could also
/// make them, and `none` proves nothing.
const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];
const AUTH: &[(&str, AuthKind)] =
    &[("none", AuthKind::None), ("api-key", AuthKind::ApiKey), ("jwt", AuthKind::Jwt)];

const API_KEY: &str = "inbound.auth=api-key";
const JWT: &str = "inbound.auth=jwt";

settings! {
    /// The settings that [`InboundAuth`] is made of.
    pub(super) struct AuthSettings in "inbound." for SERVE {
        /// how callers authenticate: not at all, with a key of `inbound.api_keys_file`, or with a token signed
        /// by a key of `inbound.jwt_jwks`
        pub(super) auth: AuthKind = one_of(AUTH).default("none").reloadable(),
        /// file with the SHA-256, name and rights of each caller's key; read again when it changes. Needed
        /// with `inbound.auth=api-key`
        api_keys_file: Option<PathBuf> = file_path().reloadable(),
        /// address or file of the JSON Web Key Set that verifies tokens. Needed with `inbound.auth=jwt`
        jwt_jwks: Option<JwksSource> = key_set().optional().reloadable(),
        /// issuer (iss) that tokens must name. Needed with `inbound.auth=jwt`
        jwt_issuer: Option<String> = claim("TEXT").optional().reloadable(),
        /// audience (aud) that tokens must name, alone or among others. Needed with `inbound.auth=jwt`
        jwt_audience: Option<String> = claim("TEXT").optional().reloadable(),
        /// algorithms that tokens may be signed with
        jwt_algorithms: Vec<Algorithm> = one_of(ALGORITHMS).list()
            .default("RS256,ES256")
            .reloadable(),
        /// how far the clocks of issuer and gateway may differ
        jwt_leeway: Duration = duration(Duration::ZERO..=Duration::from_mins(10)).default("60s").reloadable(),
    }
}

settings! {
    /// The names of the claims that a grant is made from; `None` for no constraint.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct GrantClaims in "inbound." for SERVE {
        /// claim with the projects that a caller may see: a list, or a text with spaces between the ids. `*` is
        /// every project; a token without the claim sees none
        pub projects: String = claim("NAME")
            .with_key("inbound.jwt_projects_claim")
            .default("projects")
            .reloadable(),
        /// claim with the users whose recordings a caller may see. A text is one user, whatever it
        /// contains; a list is several; a token without the claim sees no recording. With
        /// `preferred_username`, callers see their own recordings only
        pub usernames: Option<String> = constraint().with_key("inbound.jwt_usernames_claim"),
        /// claim with the ids of the desktops whose recordings a caller may see, as in
        /// `inbound.jwt_usernames_claim`
        pub desktop_ids: Option<String> = constraint().with_key("inbound.jwt_desktop_ids_claim"),
        /// claim with the ids of the desktop pools whose recordings a caller may see, as in
        /// `inbound.jwt_usernames_claim`
        pub desktop_pool_ids: Option<String> = constraint().with_key("inbound.jwt_desktop_pool_ids_claim"),
        /// claim that holds `screen-records:read`, `screen-records:operations` and `screen-records:download`, such
        /// as `scope`: a list, or a text with spaces between them. A token without the first sees no recording
        pub permissions: Option<String> = claim("NAME").optional()
            .with_key("inbound.jwt_permissions_claim")
            .shown_when_unset("all permissions")
            .reloadable(),
    }
}

settings! {
    /// Which callers are admitted.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct InboundConfig in "inbound." for SERVE {
        /// projects that are served; others are FORBIDDEN, without an upstream call
        pub projects: Option<BTreeSet<ProjectId>> = project_id().list().optional()
            .shown_when_unset("all")
            .reloadable(),
        /// lets everyone who can connect use the gateway's own credentials. Without it and without
        /// `inbound.auth`, `listen` must be a loopback address under such credentials
        pub allow_anonymous: bool = switch().default("false").reloadable(),
    } and {
        /// `inbound.auth`: how callers show who they are.
        pub auth: InboundAuth = InboundAuth::None,
    }
}

/// The words of `inbound.auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthKind {
    None,
    ApiKey,
    Jwt,
}

/// How callers show who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "the process has one")]
pub enum InboundAuth {
    /// Not at all.
    #[default]
    None,
    /// With a key whose hash is in this file: `inbound.api_keys_file`.
    ApiKey(PathBuf),
    /// With a signed token.
    Jwt(JwtConfig),
}

/// What a signed token has to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    /// `inbound.jwt_jwks`
    pub jwks: JwksSource,
    /// `inbound.jwt_issuer`
    pub issuer: String,
    /// `inbound.jwt_audience`
    pub audience: String,
    /// `inbound.jwt_algorithms`
    pub algorithms: Vec<Algorithm>,
    /// `inbound.jwt_leeway`
    pub leeway: Duration,
    /// Where a token says what its bearer may see and do.
    pub claims: GrantClaims,
    /// The proxies on the way to the keys.
    pub proxies: Proxies,
}

/// Where public keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// At an `http` or `https` address.
    Address(Url),
    /// In a file.
    File(PathBuf),
}

impl InboundConfig {
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let settings = AuthSettings::read(loader);
        let claims = GrantClaims::read(loader);
        refuse_unused(loader, settings.auth);
        let auth = match settings.auth {
            AuthKind::None => None,
            AuthKind::ApiKey => loader
                .required(&AuthSettings::api_keys_file(), settings.api_keys_file, API_KEY)
                .map(InboundAuth::ApiKey),
            AuthKind::Jwt => JwtConfig::load(loader, settings, claims).map(InboundAuth::Jwt),
        };
        let inbound = Self { auth: auth.unwrap_or_default(), ..Self::read(loader) };
        if inbound.projects.as_ref().is_some_and(BTreeSet::is_empty) {
            loader.refuse(&[&Self::projects()], "must name a project; leave it out to serve all");
        }
        if inbound.allow_anonymous && inbound.asks_who() {
            let problem = "must be false where inbound.auth asks callers who they are";
            loader.refuse(&[&Self::allow_anonymous()], problem);
        }
        inbound
    }

    /// Whether callers have to show who they are.
    pub fn asks_who(&self) -> bool {
        self.auth != InboundAuth::None
    }
}

impl JwtConfig {
    /// Tokens of an issuer for an audience, with the default for everything else.
    pub fn new(jwks: JwksSource, issuer: &str, audience: &str) -> Self {
        let defaults = AuthSettings::default();
        Self {
            jwks,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            algorithms: defaults.jwt_algorithms,
            leeway: defaults.jwt_leeway,
            claims: GrantClaims::default(),
            proxies: Proxies::default(),
        }
    }

    fn load(
        loader: &mut SettingsLoader<'_>,
        settings: AuthSettings,
        claims: GrantClaims,
    ) -> Option<Self> {
        let AuthSettings { jwt_jwks, jwt_issuer, jwt_audience, jwt_algorithms, .. } = settings;
        if jwt_algorithms.is_empty() {
            let problem = "must name an algorithm: without one no token is good";
            loader.refuse(&[&AuthSettings::jwt_algorithms()], problem);
        }
        let jwks = loader.required(&AuthSettings::jwt_jwks(), jwt_jwks, JWT);
        let issuer = loader.required(&AuthSettings::jwt_issuer(), jwt_issuer, JWT);
        let audience = loader.required(&AuthSettings::jwt_audience(), jwt_audience, JWT);
        Some(Self {
            jwks: jwks?,
            issuer: issuer?,
            audience: audience?,
            algorithms: jwt_algorithms,
            leeway: settings.jwt_leeway,
            claims,
            proxies: Proxies::load(loader),
        })
    }
}

/// Refuses settings that do nothing: their user believes that the gateway is guarded.
fn refuse_unused(loader: &mut SettingsLoader<'_>, auth: AuthKind) {
    for setting in AuthSettings::specs().iter().chain(&GrantClaims::specs()) {
        let (kind, needed) = match setting.key {
            "inbound.auth" => continue,
            "inbound.api_keys_file" => (AuthKind::ApiKey, API_KEY),
            _ => (AuthKind::Jwt, JWT),
        };
        if kind != auth && loader.is_set(setting) {
            let problem = format!("does nothing without {needed}: set that, or leave this out");
            loader.refuse(&[setting, &AuthSettings::auth()], problem);
        }
    }
}

/// The name of a claim that constrains callers, if there is one.
fn constraint() -> Setting<Option<String>> {
    claim("NAME").optional().shown_when_unset("no constraint").reloadable()
}

fn claim(placeholder: &'static str) -> Setting<String> {
    text(placeholder, "a text of 1 to 1000 characters without control characters", 1000)
}

fn key_set() -> Setting<JwksSource> {
    let allowed = "an http or https address without user and fragment, such as \
                   https://login.example.com/keys, or the path of a file";
    Setting::new("ADDRESS|FILE", allowed, jwks)
}

/// Reads an address, which has a scheme, or else a path.
fn jwks(text: &str) -> Option<JwksSource> {
    if !text.contains("://") {
        return is_one_line(text).then(|| JwksSource::File(text.into()));
    }
    let url = Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https");
    let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (is_web && is_bare).then_some(JwksSource::Address(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_at_an_address_or_in_a_file() {
        let address = |text: &str| Some(JwksSource::Address(Url::parse(text).unwrap()));
        for (text, source) in [
            ("https://login.example.com/keys", address("https://login.example.com/keys")),
            ("http://idp:8080/keys?v=1", address("http://idp:8080/keys?v=1")),
            ("/etc/gateway/jwks.json", Some(JwksSource::File("/etc/gateway/jwks.json".into()))),
            ("ftp://example.com/keys", None),
            ("https://user:secret@example.com/keys", None),
            ("https://example.com/keys#one", None),
            ("", None),
            ("a\nb", None),
        ] {
            assert_eq!(jwks(text), source, "of {text:?}");
        }
    }
}
