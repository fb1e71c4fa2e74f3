//! `inbound.*`: which callers are let in, and what they may ask for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use url::Url;

use super::settings::{
    Bool, DurationRange, ListOf, OneOf, Optional, Parsed, Role, SettingSpec, SettingsLoader,
    setting, settings,
};
use crate::domain::ProjectId;
use crate::proxies::Proxies;

/// The demo has one project and no credentials of its own to guard.
const SERVE: &[Role] = &[Role::Serve];
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
/// The longest text that a claim is compared with, in bytes.
const LONGEST_CLAIM: usize = 1000;

const AUTH: OneOf<AuthKind> =
    OneOf(&[("none", AuthKind::None), ("api-key", AuthKind::ApiKey), ("jwt", AuthKind::Jwt)]);
const KEYS_FILE: Parsed<PathBuf> = Parsed {
    allowed: "the path of a file, without control characters",
    placeholder: "FILE",
    parse: path,
};
const JWKS: Parsed<JwksSource> = Parsed {
    allowed: "an http or https address without user and fragment, such as \
              https://login.example.com/keys, or the path of a file",
    placeholder: "ADDRESS|FILE",
    parse: jwks,
};
const CLAIM: Parsed<String> = claim_shown_as("TEXT");
const CLAIM_NAME: Optional<Parsed<String>> = Optional(claim_shown_as("NAME"));
const LEEWAY: DurationRange = DurationRange(Duration::ZERO..=Duration::from_mins(10));
const PROJECT: Parsed<ProjectId> = Parsed {
    allowed: "a project id of 1 to 64 letters, digits, - and _",
    placeholder: "PROJECT",
    parse: |text| ProjectId::parse(text).ok(),
};

settings! {
    /// The settings that [`InboundAuth`] is made of.
    pub(super) struct AuthSettings in "inbound." for SERVE {
        /// how callers authenticate: not at all, with a key of `inbound.api_keys_file`, or with a token signed
        /// by a key of `inbound.jwt_jwks`
        auth: AuthKind = setting(&AUTH).default("none").reloadable(),
        /// file with the SHA-256, name and rights of each caller's key; read again when it changes. Needed
        /// with `inbound.auth=api-key`
        api_keys_file: Option<PathBuf> = setting(&Optional(KEYS_FILE)).reloadable(),
        /// address or file of the JSON Web Key Set that verifies tokens. Needed with `inbound.auth=jwt`
        jwt_jwks: Option<JwksSource> = setting(&Optional(JWKS)).reloadable(),
        /// issuer (iss) that tokens must name. Needed with `inbound.auth=jwt`
        jwt_issuer: Option<String> = setting(&Optional(CLAIM)).reloadable(),
        /// audience (aud) that tokens must name, alone or among others. Needed with `inbound.auth=jwt`
        jwt_audience: Option<String> = setting(&Optional(CLAIM)).reloadable(),
        /// algorithms that tokens may be signed with
        jwt_algorithms: Vec<Algorithm> = setting(&ListOf(OneOf(ALGORITHMS)))
            .default("RS256,ES256")
            .reloadable(),
        /// how far the clocks of issuer and gateway may differ
        jwt_leeway: Duration = setting(&LEEWAY).default("60s").reloadable(),
        /// claim with the projects that a caller may see: a list, or a text with spaces between the ids. `*` is
        /// every project; a token without the claim sees none
        jwt_projects_claim: String = setting(&claim_shown_as("NAME"))
            .default("projects")
            .reloadable(),
        /// claim with the users whose recordings a caller may see. A text is one user, whatever it
        /// contains; a list is several; a token without the claim sees no recording. With
        /// `preferred_username`, callers see their own recordings only
        jwt_usernames_claim: Option<String> = setting(&CLAIM_NAME)
            .shown_when_unset("no constraint")
            .reloadable(),
        /// claim with the ids of the desktops whose recordings a caller may see, as in
        /// `inbound.jwt_usernames_claim`
        jwt_desktop_ids_claim: Option<String> = setting(&CLAIM_NAME)
            .shown_when_unset("no constraint")
            .reloadable(),
        /// claim with the ids of the desktop pools whose recordings a caller may see, as in
        /// `inbound.jwt_usernames_claim`
        jwt_desktop_pool_ids_claim: Option<String> = setting(&CLAIM_NAME)
            .shown_when_unset("no constraint")
            .reloadable(),
        /// claim that holds `screen-records:read`, `screen-records:operations` and `screen-records:download`, such
        /// as `scope`: a list, or a text with spaces between them. A token without the first sees no recording
        jwt_permissions_claim: Option<String> = setting(&CLAIM_NAME)
            .shown_when_unset("all permissions")
            .reloadable(),
    }
}

settings! {
    /// Which callers are admitted.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct InboundConfig in "inbound." for SERVE {
        /// projects that are served; others are FORBIDDEN, without an upstream call
        pub projects: Option<BTreeSet<ProjectId>> = setting(&Optional(ListOf(PROJECT)))
            .shown_when_unset("all")
            .reloadable(),
        /// lets everyone who can connect use the gateway's own credentials. Without it and without
        /// `inbound.auth`, `listen` must be a loopback address under such credentials
        pub allow_anonymous: bool = setting(&Bool).default("false").reloadable(),
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

/// The names of the claims that a grant is made from; `None` for no constraint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantClaims {
    /// `inbound.jwt_projects_claim`
    pub projects: String,
    /// `inbound.jwt_usernames_claim`
    pub usernames: Option<String>,
    /// `inbound.jwt_desktop_ids_claim`
    pub desktop_ids: Option<String>,
    /// `inbound.jwt_desktop_pool_ids_claim`
    pub desktop_pool_ids: Option<String>,
    /// `inbound.jwt_permissions_claim`
    pub permissions: Option<String>,
}

/// Where public keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// At an `http` or `https` address.
    Address(Url),
    /// In a file.
    File(PathBuf),
}

/// A setting that every value of `inbound.auth` but one refuses.
struct AuthNeed {
    setting: &'static SettingSpec,
    is_set: bool,
    auth: AuthKind,
    /// Whether that value needs it.
    is_needed: bool,
}

impl InboundConfig {
    /// The settings that decide whether callers have to authenticate.
    pub(super) const AUTH_SPECS: &[&SettingSpec] = &[
        &AuthSettings::auth.spec,
        &AuthSettings::api_keys_file.spec,
        &AuthSettings::jwt_jwks.spec,
        &AuthSettings::jwt_issuer.spec,
        &AuthSettings::jwt_audience.spec,
        &Self::allow_anonymous.spec,
    ];

    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let auth = AuthSettings::read(loader).resolve(loader);
        let inbound = Self { auth, ..Self::read(loader) };
        if inbound.projects.as_ref().is_some_and(BTreeSet::is_empty) {
            loader.refuse(&Self::projects, "must name a project; leave it out to serve all");
        }
        if inbound.allow_anonymous && inbound.asks_who() {
            let problem = "must be false where inbound.auth asks callers who they are";
            loader.refuse(&Self::allow_anonymous, problem);
        }
        inbound
    }

    /// What lets callers connect from other machines, as a clause.
    pub(super) fn remedies() -> String {
        let [auth, anonymous]: [&SettingSpec; 2] = [&AuthSettings::auth, &Self::allow_anonymous];
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
            claims: GrantClaims { projects: defaults.jwt_projects_claim, ..GrantClaims::default() },
            proxies: Proxies::default(),
        }
    }
}

impl AuthSettings {
    fn resolve(self, loader: &mut SettingsLoader<'_>) -> InboundAuth {
        for need in self.needs() {
            self.check(loader, &need);
        }
        if self.jwt_algorithms.is_empty() {
            let problem = "must name an algorithm: without one no token is good";
            loader.refuse(&Self::jwt_algorithms, problem);
        }
        match self.auth {
            AuthKind::None => InboundAuth::None,
            AuthKind::ApiKey => self.api_keys_file.map_or(InboundAuth::None, InboundAuth::ApiKey),
            AuthKind::Jwt => self.jwt(loader.proxies()).map_or(InboundAuth::None, InboundAuth::Jwt),
        }
    }

    fn needs(&self) -> [AuthNeed; 8] {
        let key =
            |setting, is_set| AuthNeed { setting, is_set, auth: AuthKind::ApiKey, is_needed: true };
        let jwt = |setting, is_set| AuthNeed { auth: AuthKind::Jwt, ..key(setting, is_set) };
        let claim = |setting, is_set| AuthNeed { is_needed: false, ..jwt(setting, is_set) };
        [
            key(&Self::api_keys_file.spec, self.api_keys_file.is_some()),
            jwt(&Self::jwt_jwks.spec, self.jwt_jwks.is_some()),
            jwt(&Self::jwt_issuer.spec, self.jwt_issuer.is_some()),
            jwt(&Self::jwt_audience.spec, self.jwt_audience.is_some()),
            claim(&Self::jwt_usernames_claim.spec, self.jwt_usernames_claim.is_some()),
            claim(&Self::jwt_desktop_ids_claim.spec, self.jwt_desktop_ids_claim.is_some()),
            claim(
                &Self::jwt_desktop_pool_ids_claim.spec,
                self.jwt_desktop_pool_ids_claim.is_some(),
            ),
            claim(&Self::jwt_permissions_claim.spec, self.jwt_permissions_claim.is_some()),
        ]
    }

    /// Refuses a setting that is missing, and one that does nothing: its user believes that the gateway is
    /// guarded.
    fn check(&self, loader: &mut SettingsLoader<'_>, need: &AuthNeed) {
        let AuthNeed { setting, is_set, auth, is_needed } = *need;
        let (is_missing, is_idle) =
            (is_needed && !is_set && self.auth == auth, is_set && self.auth != auth);
        if !(is_missing || is_idle) || !loader.are_valid(&[&Self::auth, setting]) {
            return;
        }
        let auth = auth.word();
        let problem = if is_missing {
            format!("must be set with inbound.auth={auth}")
        } else {
            format!("does nothing without inbound.auth={auth}: set that, or leave this out")
        };
        loader.refuse(setting, &problem);
    }

    fn jwt(self, proxies: Proxies) -> Option<JwtConfig> {
        Some(JwtConfig {
            jwks: self.jwt_jwks?,
            issuer: self.jwt_issuer?,
            audience: self.jwt_audience?,
            algorithms: self.jwt_algorithms,
            leeway: self.jwt_leeway,
            claims: GrantClaims {
                projects: self.jwt_projects_claim,
                usernames: self.jwt_usernames_claim,
                desktop_ids: self.jwt_desktop_ids_claim,
                desktop_pool_ids: self.jwt_desktop_pool_ids_claim,
                permissions: self.jwt_permissions_claim,
            },
            proxies,
        })
    }
}

impl AuthKind {
    /// As written in the settings.
    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ApiKey => "api-key",
            Self::Jwt => "jwt",
        }
    }
}

const fn claim_shown_as(placeholder: &'static str) -> Parsed<String> {
    Parsed {
        allowed: "a text of 1 to 1000 bytes without control characters",
        placeholder,
        parse: claim,
    }
}

fn path(text: &str) -> Option<PathBuf> {
    is_plain(text).then(|| PathBuf::from(text))
}

fn claim(text: &str) -> Option<String> {
    (is_plain(text) && text.len() <= LONGEST_CLAIM).then(|| text.to_owned())
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// Reads an address, which has a scheme, or else a path.
fn jwks(text: &str) -> Option<JwksSource> {
    if !text.contains("://") {
        return path(text).map(JwksSource::File);
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
