//! Verifies signed tokens, and reads what they say of a caller.

use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use jiff::Timestamp;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Header, Validation, decode, decode_header};
use moka::sync::Cache;
use serde_json::{Map, Value};

use super::caller::{Caller, Validity};
use super::error::{AuthError, AuthSetupError};
use super::grant::grant_of_token;
use super::jwks::{Jwks, PublicKey};
use super::{AuthParts, verifier};
use crate::clock::Clock;
use crate::config::{GrantClaims, JwksSource, JwtConfig};
use crate::domain::Secret;

/// The memory for verified tokens, in bytes.
const MAX_VERIFIED_BYTES: u64 = 24 * 1024 * 1024;
/// What a verified token takes beside its text and what was read from it, estimated.
const BOOKKEEPING: usize = 500;

/// Verifies tokens.
pub(super) struct TokenVerifier {
    jwks: Jwks,
    config: Arc<JwtConfig>,
    clock: Clock,
    /// Bearers by the whole token. Verifying a signature takes longer than all else that a cached response needs.
    verified: Cache<Secret, Verified, RandomState>,
}

/// The bearer of a token that was verified.
#[derive(Clone)]
struct Verified {
    bearer: Caller,
    expires: Timestamp,
    /// The keys in use when it was verified.
    keys: Arc<Vec<PublicKey>>,
}

type Claims = Map<String, Value>;

/// Why verification failed, as a sentence.
enum Unverified {
    /// None of the keys has signed the token.
    Signature(&'static str),
    /// A key has signed it, but a claim is wrong.
    Claims(&'static str),
}

impl TokenVerifier {
    /// Reads the keys, and refreshes them from then on.
    pub(super) async fn start(
        config: &JwtConfig,
        parts: &AuthParts,
    ) -> Result<Self, AuthSetupError> {
        verifier::install();
        let jwks = Jwks::start(config, parts).await?;
        Ok(Self::new(jwks, config, parts.clock.clone()))
    }

    fn new(jwks: Jwks, config: &JwtConfig, clock: Clock) -> Self {
        let verified = Cache::builder()
            .max_capacity(MAX_VERIFIED_BYTES)
            .weigher(weight)
            .build_with_hasher(RandomState::default());
        Self { jwks, config: Arc::new(config.clone()), clock, verified }
    }

    /// The same keys under other rules; `None` for keys of a file, and for another address.
    pub(super) fn with_rules(&self, config: &JwtConfig) -> Option<Self> {
        let has_same_keys =
            config.jwks == self.config.jwks && matches!(config.jwks, JwksSource::Address(_));
        has_same_keys.then(|| Self::new(self.jwks.clone(), config, self.clock.clone()))
    }

    /// Whether a token that was verified by `rules` would be verified the same way now.
    pub(super) fn has_same_rules(&self, rules: &Arc<JwtConfig>) -> bool {
        let compared = |config: &JwtConfig| {
            let JwtConfig { issuer, audience, algorithms, claims, .. } = config.clone();
            (issuer, audience, algorithms, claims)
        };
        Arc::ptr_eq(rules, &self.config) || compared(rules) == compared(&self.config)
    }

    /// Whether claims may restrict callers.
    pub(super) fn may_restrict(&self) -> bool {
        let projects = self.config.claims.projects.clone();
        self.config.claims != GrantClaims { projects, ..GrantClaims::default() }
    }

    /// Why no token can be verified for now, if so.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        self.jwks.trouble()
    }

    /// The bearer of a token. A token is verified again once it has expired, or the keys were read again.
    pub(super) async fn verify(&self, token: Option<&Secret>) -> Result<Caller, AuthError> {
        let missing = "no token was sent: give Authorization: Bearer";
        let token = token.ok_or(AuthError::MissingCredential(missing))?;
        // Read before the token is verified: keys that replace them meanwhile end what is kept here.
        let keys = self.jwks.keys();
        if let Some(Verified { bearer, expires, keys: of_then }) = self.verified.get(token)
            && Arc::ptr_eq(&keys, &of_then)
            && self.clock.timestamp() < expires
        {
            return Ok(bearer);
        }
        let claims = self.claims(token).await?;
        let expires = self.check_times(&claims)?;
        let subject = claims.get("sub").and_then(Value::as_str);
        let subject = subject.filter(|subject| !subject.is_empty());
        let subject = subject.ok_or_else(|| invalid("the token has no subject (sub)"))?;
        let grant = grant_of_token(&claims, &self.config.claims);
        let validity = Validity::Token { expires, rules: Arc::clone(&self.config) };
        let bearer = Caller::with_token(subject, grant, validity);
        self.verified.insert(token.clone(), Verified { bearer: bearer.clone(), expires, keys });
        Ok(bearer)
    }

    /// The claims of a token, once its signature is verified; fetches the keys again if none fits.
    async fn claims(&self, token: &Secret) -> Result<Claims, AuthError> {
        let header = decode_header(token.expose()).map_err(|_| {
            invalid("the token is no JSON Web Token with a signature that is known here")
        })?;
        if !self.config.algorithms.contains(&header.alg) {
            return Err(invalid("the token is signed with an algorithm not allowed here"));
        }
        if header.crit.is_some() {
            // RFC 7515, section 4.1.11: critical headers must be understood, and none is.
            return Err(invalid("the token has critical headers, which are not known"));
        }
        let keys = self.jwks.keys();
        let mut verified = self.verified(&keys, token, &header);
        if let Err(Unverified::Signature(_)) = verified {
            let fetched = self.jwks.keys_for(header.kid.as_deref()).await;
            if !Arc::ptr_eq(&fetched, &keys) {
                verified = self.verified(&fetched, token, &header);
            }
        }
        verified.map_err(|unverified| match unverified {
            Unverified::Signature(_) if self.trouble().is_some() => AuthError::Unavailable,
            Unverified::Signature(reason) | Unverified::Claims(reason) => invalid(reason),
        })
    }

    /// The claims of a token that one of the keys has signed for this audience.
    fn verified(
        &self,
        keys: &[PublicKey],
        token: &Secret,
        header: &Header,
    ) -> Result<Claims, Unverified> {
        let mut validation = Validation::new(header.alg);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.audience]);
        // By this process's clock, below.
        validation.validate_exp = false;
        let mut reason = "the token is signed with a key that is not known";
        for key in keys.iter().filter(|key| key.fits(header.kid.as_deref(), header.alg)) {
            let problem = match decode::<Claims>(token.expose(), &key.key, &validation) {
                Ok(token) => return Ok(token.claims),
                Err(error) => claims_problem(&error),
            };
            if let Some(problem) = problem {
                return Err(Unverified::Claims(problem));
            }
            reason = "the token's signature is not that of its key";
        }
        Err(Unverified::Signature(reason))
    }

    /// When the token expires. Refuses one that has expired, or is not valid yet.
    fn check_times(&self, claims: &Claims) -> Result<Timestamp, AuthError> {
        let leeway = self.config.leeway;
        let now = self.clock.timestamp();
        let end = claims.get("exp").and_then(instant);
        let end = end.ok_or_else(|| invalid("the token does not say when it ends (exp)"))?;
        let expires = end.checked_add(leeway).unwrap_or(Timestamp::MAX);
        if expires <= now {
            return Err(invalid("the token has expired"));
        }
        if let Some(start) = claims.get("nbf") {
            let malformed = invalid("the token does not say when it begins (nbf)");
            let start = instant(start).ok_or(malformed)?;
            if start.checked_sub(leeway).unwrap_or(Timestamp::MIN) > now {
                return Err(invalid("the token is not good yet"));
            }
        }
        Ok(expires)
    }
}

/// The claims that are kept are parts of the token.
fn weight(token: &Secret, _: &Verified) -> u32 {
    u32::try_from(3 * token.expose().len() + BOOKKEEPING).unwrap_or(u32::MAX)
}

fn invalid(reason: &'static str) -> AuthError {
    AuthError::InvalidCredential(reason)
}

/// Seconds since 1970. Values out of range become the last instant that there is.
fn instant(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    let since = Duration::try_from_secs_f64(seconds.floor()).unwrap_or(Duration::MAX);
    Some(Timestamp::UNIX_EPOCH.checked_add(since).unwrap_or(Timestamp::MAX))
}

/// What is wrong with the claims of a token whose signature is valid, without quoting it; `None` for another
/// error. The library checks the signature first.
fn claims_problem(error: &Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::InvalidIssuer => Some("the token is of another issuer (iss)"),
        ErrorKind::InvalidAudience => Some("the token is for another audience (aud)"),
        ErrorKind::MissingRequiredClaim(_) => Some("the token has no exp, iss or aud"),
        ErrorKind::InvalidClaimFormat(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_) => {
            Some("the token cannot be read")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;
    use serde_json::json;

    use super::*;

    fn tokens(keys: &Value, algorithms: &[Algorithm]) -> TokenVerifier {
        verifier::install();
        let jwks = JwksSource::File("nowhere".into());
        let algorithms = algorithms.to_vec();
        let config = JwtConfig { algorithms, ..JwtConfig::new(jwks, "issuer", "audience") };
        let jwks = Jwks::of(&json!({ "keys": keys })).unwrap();
        TokenVerifier::new(jwks, &config, Clock::default())
    }

    #[tokio::test]
    async fn signatures_of_every_algorithm_are_verified_and_no_others() {
        let signed = include_str!("../../../tests/fixtures/jwt/signed.json");
        let signed: Vec<Value> = serde_json::from_str(signed).unwrap();
        let mut seen = 0;
        for row in &signed {
            let algorithm: Algorithm = row["alg"].as_str().unwrap().parse().unwrap();
            let token = row["token"].as_str().unwrap();
            let tokens = tokens(&json!([row["key"]]), &[algorithm]);

            let bearer = tokens.verify(Some(&Secret::new(token))).await.unwrap();
            assert_eq!(bearer.subject(), Some("some"), "of {algorithm:?}");

            let (message, signature) = token.rsplit_once('.').unwrap();
            let (start, rest) = signature.split_at(signature.len() / 2);
            let changed = if rest.starts_with('A') { "B" } else { "A" };
            for forged in [
                format!("{message}.{start}{changed}{}", rest.get(1..).unwrap()),
                format!("{message}.{start}"),
                format!("{message}."),
            ] {
                let refused = tokens.verify(Some(&Secret::new(&*forged))).await.err().unwrap();
                assert!(
                    matches!(refused, AuthError::InvalidCredential(_)),
                    "{forged}: {refused:?}"
                );
            }
            for other in signed.iter().filter(|other| other["alg"] != row["alg"]) {
                let token = Secret::new(other["token"].as_str().unwrap());
                let refused = tokens.verify(Some(&token)).await.err().unwrap();
                assert!(
                    matches!(refused, AuthError::InvalidCredential(_)),
                    "{token:?}: {refused:?}"
                );
            }
            seen += 1;
        }
        assert_eq!(seen, 9);
    }

    #[test]
    fn moments_are_read_whatever_number_they_are_written_as() {
        for (value, seconds) in [
            (json!(1_700_000_000), Some(1_700_000_000)),
            (json!(1_700_000_000.9), Some(1_700_000_000)),
            (json!(0), Some(0)),
            (json!(1e300), Some(Timestamp::MAX.as_second())),
            (json!(-1), None),
            (json!("1700000000"), None),
            (json!(null), None),
        ] {
            assert_eq!(instant(&value).map(Timestamp::as_second), seconds, "of {value}");
        }
    }
}
