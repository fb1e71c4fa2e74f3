//! `inbound.*`: which callers are let in, and what they may ask for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use url::Url;

use super::proxies::Proxies;
use super::settings::{
    SERVE, Setting, SettingsLoader, duration, is_one_line, path, project_id, settings, switch, text,
};
use crate::domain::ProjectId;

const API_KEY: &str = "inbound.auth=api-key";
const JWT: &str = "inbound.auth=jwt";

settings! {
    /// What a signed token has to be like.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct JwtConfig in "inbound.jwt_" for SERVE {
        /// address or file of the JSON Web Key Set that verifies tokens. Needed with `inbound.auth=jwt`
        pub jwks: JwksSource = key_set().when_unset(|| JwksSource::File(PathBuf::new())),
        /// issuer (iss) that tokens must name. Needed with `inbound.auth=jwt`
        pub issuer: String = claim("TEXT").when_unset(String::new),
        /// audience (aud) that tokens must name, alone or among others. Needed with `inbound.auth=jwt`
        pub audience: String = claim("TEXT").when_unset(String::new),
        /// algorithms that tokens may be signed with
        pub algorithms: Vec<Algorithm> = algorithm().list().default("RS256,ES256"),
        /// how far the clocks of issuer and gateway may differ
        pub leeway: Duration = duration(Duration::ZERO..=Duration::from_mins(10)).default("60s"),
    } and {
        /// Where a token says what its bearer may see and do.
        pub claims: GrantClaims = GrantClaims::default(),
        /// The proxies on the way to the keys.
        pub proxies: Proxies = Proxies::default(),
    }
}

settings! {
    /// The names of the claims that a grant is made from; `None` for no constraint.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct GrantClaims in "inbound." for SERVE {
        /// claim with the projects that a caller may see: a list, or a text with spaces between the ids. `*` is
        /// every project; a token without the claim sees none
        pub projects: String =
            claim("NAME").with_key("inbound.jwt_projects_claim").default("projects"),
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
            .shown_when_unset("all permissions"),
    }
}

settings! {
    /// Which callers are admitted.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct InboundConfig in "inbound." for SERVE {
        /// how callers authenticate: not at all, with a key of `inbound.api_keys_file`, or with a token signed
        /// by a key of `inbound.jwt_jwks`
        pub auth: InboundAuth = method().default("none"),
        /// file with the SHA-256, name and rights of each caller's key; read again when it changes. Needed
        /// with `inbound.auth=api-key`
        pub api_keys_file: PathBuf = path().when_unset(PathBuf::new),
        /// projects that are served; others are FORBIDDEN, without an upstream call
        pub projects: Option<BTreeSet<ProjectId>> =
            project_id().list().optional().shown_when_unset("all"),
        /// lets everyone who can connect use the gateway's own credentials. Without it and without
        /// `inbound.auth`, `listen` must be a loopback address under such credentials
        pub allow_anonymous: bool = switch().default("false"),
    }
}

/// How callers show who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "the process has one")]
pub enum InboundAuth {
    /// Not at all.
    None,
    /// With a key whose hash is in this file: `inbound.api_keys_file`.
    ApiKey(PathBuf),
    /// With a signed token.
    Jwt(JwtConfig),
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
        let mut inbound = Self::read(loader);
        let jwt = JwtConfig::load(loader, &inbound.auth);
        refuse_unused(loader, &inbound.auth);
        match &mut inbound.auth {
            InboundAuth::None => {}
            InboundAuth::ApiKey(file) => {
                loader.require(&[&Self::api_keys_file()], API_KEY);
                file.clone_from(&inbound.api_keys_file);
            }
            InboundAuth::Jwt(rules) => *rules = jwt,
        }
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
        let (issuer, audience) = (issuer.to_owned(), audience.to_owned());
        Self { jwks, issuer, audience, ..Self::default() }
    }

    fn load(loader: &mut SettingsLoader<'_>, auth: &InboundAuth) -> Self {
        let jwt = Self { claims: GrantClaims::read(loader), ..Self::read(loader) };
        if !matches!(auth, InboundAuth::Jwt(_)) {
            return jwt;
        }
        if jwt.algorithms.is_empty() {
            let problem = "must name an algorithm: without one no token is good";
            loader.refuse(&[&Self::algorithms()], problem);
        }
        loader.require(&[&Self::jwks(), &Self::issuer(), &Self::audience()], JWT);
        Self { proxies: Proxies::load(loader), ..jwt }
    }
}

/// Refuses settings that do nothing: their user believes that the gateway is guarded.
fn refuse_unused(loader: &mut SettingsLoader<'_>, auth: &InboundAuth) {
    let of_keys = vec![InboundConfig::api_keys_file().spec];
    for (settings, is_used, needed) in [
        (of_keys, matches!(auth, InboundAuth::ApiKey(_)), API_KEY),
        (JwtConfig::specs(), matches!(auth, InboundAuth::Jwt(_)), JWT),
        (GrantClaims::specs(), matches!(auth, InboundAuth::Jwt(_)), JWT),
    ] {
        for setting in settings.iter().filter(|_| !is_used) {
            if loader.is_set(setting) {
                let problem = format!("does nothing without {needed}: set that, or leave this out");
                loader.refuse(&[setting, &InboundConfig::auth()], problem);
            }
        }
    }
}

/// A way to authenticate, without what it needs.
fn method() -> Setting<InboundAuth> {
    Setting::new("WORD", "none, api-key or jwt", |word| match word {
        "none" => Some(InboundAuth::None),
        "api-key" => Some(InboundAuth::ApiKey(PathBuf::new())),
        "jwt" => Some(InboundAuth::Jwt(JwtConfig::default())),
        _ => None,
    })
}

/// The name of a claim that constrains callers, if there is one.
fn constraint() -> Setting<Option<String>> {
    claim("NAME").optional().shown_when_unset("no constraint")
}

fn claim(placeholder: &'static str) -> Setting<String> {
    text(placeholder, "a text of 1 to 1000 characters without control characters", 1000)
}

/// Only algorithms whose keys can be public. With a shared secret, a program that checks tokens could also
/// make them, and `none` proves nothing.
fn algorithm() -> Setting<Algorithm> {
    let allowed = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA";
    Setting::new("WORD", allowed, |text| {
        let is_secret = |algorithm: &Algorithm| algorithm.family() == AlgorithmFamily::Hmac;
        text.parse().ok().filter(|algorithm| !is_secret(algorithm))
    })
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
