//! `inbound.*`: which callers are let in, and what they may ask for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use url::Url;

use super::project_id::project_id;
use super::settings::{
    Format, SERVE, SettingSpec, SettingsLoader, duration, file_path, one_of, setting, settings,
    switch,
};
use crate::domain::ProjectId;
use crate::proxies::Proxies;

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

settings! {
    /// The settings that [`InboundAuth`] is made of.
    pub(super) struct AuthSettings in "inbound." for SERVE {
        /// how callers authenticate: not at all, with a key of `inbound.api_keys_file`, or with a token signed
        /// by a key of `inbound.jwt_jwks`
        auth: AuthKind = setting(one_of(AUTH)).default("none").reloadable(),
        /// file with the SHA-256, name and rights of each caller's key; read again when it changes. Needed
        /// with `inbound.auth=api-key`
        api_keys_file: Option<PathBuf> = setting(file_path()).reloadable(),
        /// address or file of the JSON Web Key Set that verifies tokens. Needed with `inbound.auth=jwt`
        jwt_jwks: Option<JwksSource> = setting(key_set().optional()).reloadable(),
        /// issuer (iss) that tokens must name. Needed with `inbound.auth=jwt`
        jwt_issuer: Option<String> = setting(claim("TEXT").optional()).reloadable(),
        /// audience (aud) that tokens must name, alone or among others. Needed with `inbound.auth=jwt`
        jwt_audience: Option<String> = setting(claim("TEXT").optional()).reloadable(),
        /// algorithms that tokens may be signed with
        jwt_algorithms: Vec<Algorithm> = setting(one_of(ALGORITHMS).list())
            .default("RS256,ES256")
            .reloadable(),
        /// how far the clocks of issuer and gateway may differ
        jwt_leeway: Duration = setting(duration(Duration::ZERO..=Duration::from_mins(10))).default("60s").reloadable(),
    }
}

settings! {
    /// The names of the claims that a grant is made from; `None` for no constraint.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct GrantClaims in "inbound." for SERVE {
        /// claim with the projects that a caller may see: a list, or a text with spaces between the ids. `*` is
        /// every project; a token without the claim sees none
        pub projects: String = setting(claim("NAME"))
            .with_key("inbound.jwt_projects_claim")
            .default("projects")
            .reloadable(),
        /// claim with the users whose recordings a caller may see. A text is one user, whatever it
        /// contains; a list is several; a token without the claim sees no recording. With
        /// `preferred_username`, callers see their own recordings only
        pub usernames: Option<String> = setting(claim("NAME").optional())
            .with_key("inbound.jwt_usernames_claim")
            .shown_when_unset("no constraint")
            .reloadable(),
        /// claim with the ids of the desktops whose recordings a caller may see, as in
        /// `inbound.jwt_usernames_claim`
        pub desktop_ids: Option<String> = setting(claim("NAME").optional())
            .with_key("inbound.jwt_desktop_ids_claim")
            .shown_when_unset("no constraint")
            .reloadable(),
        /// claim with the ids of the desktop pools whose recordings a caller may see, as in
        /// `inbound.jwt_usernames_claim`
        pub desktop_pool_ids: Option<String> = setting(claim("NAME").optional())
            .with_key("inbound.jwt_desktop_pool_ids_claim")
            .shown_when_unset("no constraint")
            .reloadable(),
        /// claim that holds `screen-records:read`, `screen-records:operations` and `screen-records:download`, such
        /// as `scope`: a list, or a text with spaces between them. A token without the first sees no recording
        pub permissions: Option<String> = setting(claim("NAME").optional())
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
        pub projects: Option<BTreeSet<ProjectId>> = setting(project_id().list().optional())
            .shown_when_unset("all")
            .reloadable(),
        /// lets everyone who can connect use the gateway's own credentials. Without it and without
        /// `inbound.auth`, `listen` must be a loopback address under such credentials
        pub allow_anonymous: bool = setting(switch()).default("false").reloadable(),
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
    /// The settings that decide whether callers have to authenticate.
    pub(super) fn auth_specs() -> Vec<SettingSpec> {
        AuthSettings::specs().into_iter().chain([Self::allow_anonymous().spec]).collect()
    }

    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let auth = AuthSettings::read(loader).resolve(loader);
        let inbound = Self { auth, ..Self::read(loader) };
        if inbound.projects.as_ref().is_some_and(BTreeSet::is_empty) {
            loader.refuse(&Self::projects(), "must name a project; leave it out to serve all");
        }
        if inbound.allow_anonymous && inbound.asks_who() {
            let problem = "must be false where inbound.auth asks callers who they are";
            loader.refuse(&Self::allow_anonymous(), problem);
        }
        inbound
    }

    /// What lets callers connect from other machines, as a clause.
    pub(super) fn remedies() -> String {
        let [auth, anonymous] = [AuthSettings::auth().spec, Self::allow_anonymous().spec];
        format!(
            "unless inbound.auth is api-key or jwt (--{}, {}) or inbound.allow_anonymous is true \
             (--{}, {})",
            auth.flag(),
            auth.variable(),
            anonymous.flag(),
            anonymous.variable(),
        )
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
}

impl AuthSettings {
    fn resolve(self, loader: &mut SettingsLoader<'_>) -> InboundAuth {
        let claims = GrantClaims::read(loader);
        self.check(&claims, loader);
        if self.jwt_algorithms.is_empty() {
            let problem = "must name an algorithm: without one no token is good";
            loader.refuse(&Self::jwt_algorithms(), problem);
        }
        match self.auth {
            AuthKind::None => InboundAuth::None,
            AuthKind::ApiKey => self.api_keys_file.map_or(InboundAuth::None, InboundAuth::ApiKey),
            AuthKind::Jwt => {
                self.jwt(claims, loader.proxies()).map_or(InboundAuth::None, InboundAuth::Jwt)
            }
        }
    }

    /// Refuses a setting that is missing, and one that does nothing: its user believes that the gateway is
    /// guarded.
    fn check(&self, claims: &GrantClaims, loader: &mut SettingsLoader<'_>) {
        let auth = Self::auth().spec;
        for (setting, is_set, kind) in [
            (Self::api_keys_file().spec, self.api_keys_file.is_some(), "api-key"),
            (Self::jwt_jwks().spec, self.jwt_jwks.is_some(), "jwt"),
            (Self::jwt_issuer().spec, self.jwt_issuer.is_some(), "jwt"),
            (Self::jwt_audience().spec, self.jwt_audience.is_some(), "jwt"),
            (GrantClaims::usernames().spec, claims.usernames.is_some(), "jwt"),
            (GrantClaims::desktop_ids().spec, claims.desktop_ids.is_some(), "jwt"),
            (GrantClaims::desktop_pool_ids().spec, claims.desktop_pool_ids.is_some(), "jwt"),
            (GrantClaims::permissions().spec, claims.permissions.is_some(), "jwt"),
        ] {
            let is_in_use = AUTH.contains(&(kind, self.auth));
            let is_optional = setting.key.ends_with("_claim");
            if is_set == is_in_use
                || (is_optional && !is_set)
                || !loader.are_valid(&[&auth, &setting])
            {
                continue;
            }
            let problem = if is_in_use {
                format!("must be set with inbound.auth={kind}")
            } else {
                format!("does nothing without inbound.auth={kind}: set that, or leave this out")
            };
            loader.refuse(&setting, &problem);
        }
    }

    fn jwt(self, claims: GrantClaims, proxies: Proxies) -> Option<JwtConfig> {
        Some(JwtConfig {
            jwks: self.jwt_jwks?,
            issuer: self.jwt_issuer?,
            audience: self.jwt_audience?,
            algorithms: self.jwt_algorithms,
            leeway: self.jwt_leeway,
            claims,
            proxies,
        })
    }
}

fn claim(placeholder: &'static str) -> Format<String> {
    const LONGEST: usize = 1000;
    let allowed = "a text of 1 to 1000 bytes without control characters";
    Format::new(placeholder, allowed, |text| {
        (is_plain(text) && text.len() <= LONGEST).then(|| text.to_owned())
    })
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

fn key_set() -> Format<JwksSource> {
    let allowed = "an http or https address without user and fragment, such as \
                   https://login.example.com/keys, or the path of a file";
    Format::new("ADDRESS|FILE", allowed, jwks)
}

/// Reads an address, which has a scheme, or else a path.
fn jwks(text: &str) -> Option<JwksSource> {
    if !text.contains("://") {
        return is_plain(text).then(|| JwksSource::File(text.into()));
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
