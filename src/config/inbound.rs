//! `inbound.*`: who may ask for what.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use url::Url;

use super::form::{ListOf, OneOf, Parsed, Span, Switch};
use super::setting::{Role, Row, Setting};
use super::values::Values;
use crate::domain::ProjectId;

/// The demo has one project and no credentials of its own to guard.
const ROLES: &[Role] = &[Role::Serve];
/// The algorithms whose keys can be public. With a shared secret, whoever can check a token can make
/// one, and `none` proves nothing.
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

/// How callers show who they are, without the details of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AuthKind {
    None,
    ApiKey,
    Jwt,
}

static AUTH: Setting<OneOf<AuthKind>> = Setting::new(
    "inbound.auth",
    OneOf(&[("none", AuthKind::None), ("api-key", AuthKind::ApiKey), ("jwt", AuthKind::Jwt)]),
    "how callers show who they are: not at all, with a key of inbound.api_keys_file, or with a \
     signed token whose keys inbound.jwt_jwks has",
)
.or("none")
.only_for(ROLES)
.changeable();
static API_KEYS_FILE: Setting<Parsed<PathBuf>> = Setting::new(
    "inbound.api_keys_file",
    Parsed {
        allowed: "the path of a file, without control characters",
        placeholder: "FILE",
        parse: file,
    },
    "the keys of callers, as their SHA-256, with names and projects; read again when it changes. \
     Needed with inbound.auth=api-key",
)
.only_for(ROLES)
.changeable();
static JWT_JWKS: Setting<Parsed<JwksSource>> = Setting::new(
    "inbound.jwt_jwks",
    Parsed {
        allowed: "an http or https address without user and fragment, such as \
                  https://login.example.com/keys, or the path of a file",
        placeholder: "ADDRESS|FILE",
        parse: jwks,
    },
    "where the public keys of tokens are, as a JSON Web Key Set. Needed with inbound.auth=jwt",
)
.only_for(ROLES)
.changeable();
static JWT_ISSUER: Setting<Parsed<String>> = Setting::new(
    "inbound.jwt_issuer",
    Parsed { allowed: CLAIM_ALLOWED, placeholder: "TEXT", parse: claim },
    "the issuer (iss) that tokens have to name. Needed with inbound.auth=jwt",
)
.only_for(ROLES)
.changeable();
static JWT_AUDIENCE: Setting<Parsed<String>> = Setting::new(
    "inbound.jwt_audience",
    Parsed { allowed: CLAIM_ALLOWED, placeholder: "TEXT", parse: claim },
    "the audience (aud) that tokens have to name, alone or among others. Needed with \
     inbound.auth=jwt",
)
.only_for(ROLES)
.changeable();
static JWT_ALGORITHMS: Setting<ListOf<OneOf<Algorithm>>> = Setting::new(
    "inbound.jwt_algorithms",
    ListOf(OneOf(ALGORITHMS)),
    "the algorithms that tokens may be signed with",
)
.or("RS256,ES256")
.only_for(ROLES)
.changeable();
static JWT_LEEWAY: Setting<Span> = Setting::new(
    "inbound.jwt_leeway",
    Span { least: Duration::ZERO, most: Duration::from_mins(10) },
    "how far the clocks of issuer and gateway may be apart",
)
.or("60s")
.only_for(ROLES)
.changeable();
static JWT_PROJECTS_CLAIM: Setting<Parsed<String>> = Setting::new(
    "inbound.jwt_projects_claim",
    Parsed { allowed: CLAIM_ALLOWED, placeholder: "NAME", parse: claim },
    "the claim with the projects that a caller may see: a text with blanks between them or a list; \
     * is every project, a token without the claim sees none",
)
.or("projects")
.only_for(ROLES)
.changeable();

const CLAIM_ALLOWED: &str = "a text of 1 to 1000 bytes without control characters";

static PROJECTS: Setting<ListOf<Parsed<ProjectId>>> = Setting::new(
    "inbound.projects",
    ListOf(Parsed {
        allowed: "a project id of 1 to 64 letters, digits, - and _",
        placeholder: "PROJECT",
        parse: |text| ProjectId::parse(text).ok(),
    }),
    "the projects that are served; others get FORBIDDEN without an upstream call",
)
.or_unset("all")
.only_for(ROLES)
.changeable();
static ALLOW_ANONYMOUS: Setting<Switch> = Setting::new(
    "inbound.allow_anonymous",
    Switch,
    "lets anybody who can connect use the gateway's own credentials; without it and without \
     inbound.auth, `listen` has to be a loopback address under such credentials",
)
.or("false")
.only_for(ROLES)
.changeable();

pub(super) static ROWS: &[&dyn Row] = &[
    &AUTH,
    &API_KEYS_FILE,
    &JWT_JWKS,
    &JWT_ISSUER,
    &JWT_AUDIENCE,
    &JWT_ALGORITHMS,
    &JWT_LEEWAY,
    &JWT_PROJECTS_CLAIM,
    &PROJECTS,
    &ALLOW_ANONYMOUS,
];

/// What has to be sound before it can be said whether callers are asked who they are.
pub(super) static AUTH_ROWS: &[&dyn Row] =
    &[&AUTH, &API_KEYS_FILE, &JWT_JWKS, &JWT_ISSUER, &JWT_AUDIENCE, &ALLOW_ANONYMOUS];

/// Who is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboundConfig {
    /// `inbound.auth`: how callers show who they are.
    pub auth: InboundAuth,
    /// `inbound.projects`: the projects that are served; `None` serves all.
    pub projects: Option<BTreeSet<ProjectId>>,
    /// `inbound.allow_anonymous`: lets anybody who can connect use the gateway's own credentials.
    pub allow_anonymous: bool,
}

/// How callers show who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InboundAuth {
    /// Not at all.
    #[default]
    None,
    /// With a key whose hash is in this file: `inbound.api_keys_file`.
    ApiKey(PathBuf),
    /// With a signed token.
    Jwt(JwtConfig),
}

/// What a token has to be like.
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
    /// `inbound.jwt_projects_claim`
    pub projects_claim: String,
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
    pub(super) fn read(values: &mut Values<'_>) -> Self {
        let auth = auth(values);
        let projects = projects(values);
        let allow_anonymous = values.read_or(&ALLOW_ANONYMOUS, false);
        if allow_anonymous && auth != InboundAuth::None {
            let problem = "must be false where inbound.auth asks callers who they are";
            values.refuse(&ALLOW_ANONYMOUS, problem);
        }
        Self { auth, projects, allow_anonymous }
    }

    /// What lets callers in that connect from elsewhere, as a clause.
    pub(super) fn remedies() -> String {
        format!(
            "unless inbound.auth is api-key or jwt (--{}, {}) or inbound.allow_anonymous is true \
             (--{}, {})",
            AUTH.flag(),
            AUTH.environment(),
            ALLOW_ANONYMOUS.flag(),
            ALLOW_ANONYMOUS.environment(),
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
        Self {
            jwks,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            algorithms: vec![Algorithm::RS256, Algorithm::ES256],
            leeway: Duration::from_mins(1),
            projects_claim: "projects".to_owned(),
        }
    }
}

fn auth(values: &mut Values<'_>) -> InboundAuth {
    let kind = values.read_or(&AUTH, AuthKind::None);
    let file = values.read(&API_KEYS_FILE);
    let jwt = jwt(values, kind);
    let is_missing = file.is_none();
    check_need(values, &API_KEYS_FILE, is_missing, ("api-key", kind == AuthKind::ApiKey));
    match kind {
        AuthKind::None => InboundAuth::None,
        AuthKind::ApiKey => file.map_or(InboundAuth::None, InboundAuth::ApiKey),
        AuthKind::Jwt => jwt.map_or(InboundAuth::None, InboundAuth::Jwt),
    }
}

fn jwt(values: &mut Values<'_>, kind: AuthKind) -> Option<JwtConfig> {
    let (jwks, issuer, audience) =
        (values.read(&JWT_JWKS), values.read(&JWT_ISSUER), values.read(&JWT_AUDIENCE));
    for (row, is_missing) in [
        (&JWT_JWKS as &dyn Row, jwks.is_none()),
        (&JWT_ISSUER, issuer.is_none()),
        (&JWT_AUDIENCE, audience.is_none()),
    ] {
        check_need(values, row, is_missing, ("jwt", kind == AuthKind::Jwt));
    }
    let algorithms = values.read(&JWT_ALGORITHMS);
    if algorithms.as_ref().is_some_and(Vec::is_empty) {
        values.refuse(&JWT_ALGORITHMS, "must name an algorithm: without one no token is good");
    }
    let leeway = values.read(&JWT_LEEWAY);
    let projects_claim = values.read(&JWT_PROJECTS_CLAIM);
    let default = JwtConfig::new(jwks?, &issuer?, &audience?);
    Some(JwtConfig {
        algorithms: algorithms.unwrap_or(default.algorithms),
        leeway: leeway.unwrap_or(default.leeway),
        projects_claim: projects_claim.unwrap_or(default.projects_claim),
        ..default
    })
}

/// Refuses a setting that is missing under its way to authenticate, and one that would do nothing
/// under another: who sets it believes that the gateway is guarded.
fn check_need(values: &mut Values<'_>, row: &dyn Row, is_missing: bool, need: (&str, bool)) {
    let (auth, is_needed) = need;
    if is_missing != is_needed
        || !values.are_sound(&[&AUTH, row])
        || !row.roles().contains(&values.role())
    {
        return;
    }
    let problem = if is_needed {
        format!("must be set with inbound.auth={auth}")
    } else {
        format!("does nothing without inbound.auth={auth}: set that, or leave this out")
    };
    values.refuse(row, &problem);
}

fn projects(values: &mut Values<'_>) -> Option<BTreeSet<ProjectId>> {
    let projects = values.read(&PROJECTS)?;
    if projects.is_empty() {
        values.refuse(&PROJECTS, "must name a project; leave it out to serve all");
    }
    Some(projects.into_iter().collect())
}

fn file(text: &str) -> Option<PathBuf> {
    is_plain(text).then(|| PathBuf::from(text))
}

fn claim(text: &str) -> Option<String> {
    (is_plain(text) && text.len() <= LONGEST_CLAIM).then(|| text.to_owned())
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// Reads an address or a path: whatever has a scheme is an address.
fn jwks(text: &str) -> Option<JwksSource> {
    if !text.contains("://") {
        return file(text).map(JwksSource::File);
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
