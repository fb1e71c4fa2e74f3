//! Verifies signed tokens, and reads what they say of a caller.

use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use jiff::Timestamp;
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, Header, Validation, decode, decode_header,
};
use moka::sync::Cache;
use ring::signature::{self as of_ring, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};

use super::grant::grant_of_token;
use super::jwks::{Jwks, PublicKey};
use super::{AuthParts, AuthSetupError, Caller, Validity, loggable};
use crate::config::{GrantClaims, JwksSource, JwtConfig};
use crate::domain::{CallerIdentity, Secret};
use crate::http::refusal::Refusal;

/// The memory for verified tokens, in bytes.
const MAX_VERIFIED_BYTES: u64 = 24 * 1024 * 1024;
/// What a verified token takes beside its text and what was read from it, estimated.
const BOOKKEEPING: usize = 500;

/// Lets `jsonwebtoken` verify signatures with ring, which TLS needs anyway.
/// Verifies only: this process signs no tokens and makes no keys.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Verifies tokens.
pub(super) struct TokenVerifier {
    pub(super) jwks: Arc<Jwks>,
    config: Arc<JwtConfig>,
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

impl TokenVerifier {
    /// Reads the keys, and refreshes them from then on.
    pub(super) async fn start(
        config: &JwtConfig,
        parts: &AuthParts,
    ) -> Result<Self, AuthSetupError> {
        // Fails only if it is installed already.
        let _ = PROVIDER.install_default();
        let jwks = Jwks::start(config, parts).await?;
        Ok(Self::new(jwks, config))
    }

    fn new(jwks: Arc<Jwks>, config: &JwtConfig) -> Self {
        let verified = Cache::builder()
            .max_capacity(MAX_VERIFIED_BYTES)
            .weigher(weight)
            .build_with_hasher(RandomState::default());
        Self { jwks, config: Arc::new(config.clone()), verified }
    }

    /// The same keys under other rules; `None` for keys of a file, and for another address.
    pub(super) fn with_rules(&self, config: &JwtConfig) -> Option<Self> {
        let has_same_keys =
            config.jwks == self.config.jwks && matches!(config.jwks, JwksSource::Address(_));
        has_same_keys.then(|| Self::new(Arc::clone(&self.jwks), config))
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

    /// The bearer of a token. A token is verified again once it has expired, or the keys were read again.
    pub(super) async fn verify(&self, token: Option<&Secret>) -> Result<Caller, Refusal> {
        let missing = "no token was sent: give Authorization: Bearer";
        let token = token.ok_or_else(|| Refusal::missing_credential(missing))?;
        // Read before the token is verified: keys that replace them meanwhile end what is kept here.
        let keys = self.jwks.keys.get();
        if let Some(Verified { bearer, expires, keys: of_then }) = self.verified.get(token)
            && Arc::ptr_eq(&keys, &of_then)
            && self.jwks.clock.timestamp() < expires
        {
            return Ok(bearer);
        }
        let claims = self.claims(token).await?;
        let expires = self.check_times(&claims)?;
        let subject = claims.get("sub").and_then(Value::as_str);
        let subject = subject.filter(|subject| !subject.is_empty());
        let subject = subject.ok_or_else(|| invalid("the token has no subject (sub)"))?;
        let grant = grant_of_token(&claims, &self.config.claims);
        let bearer = Caller {
            identity: CallerIdentity::Name(subject.into()),
            name: Some(loggable(subject).into()),
            token: None,
            grant,
            validity: Validity::Token { expires, rules: Arc::clone(&self.config) },
        };
        self.verified.insert(token.clone(), Verified { bearer: bearer.clone(), expires, keys });
        Ok(bearer)
    }

    /// The claims of a token, once its signature is verified; fetches the keys again if none fits.
    async fn claims(&self, token: &Secret) -> Result<Claims, Refusal> {
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
        let keys = self.jwks.keys.get();
        let mut verified = self.verified(&keys, token, &header);
        if verified.is_none() {
            let fetched = self.jwks.keys_for(header.kid.as_deref()).await;
            if !Arc::ptr_eq(&fetched, &keys) {
                verified = self.verified(&fetched, token, &header);
            }
        }
        verified.unwrap_or_else(|| {
            Err(match self.jwks.trouble() {
                Some(_) => Refusal::unavailable("the gateway has no keys yet to check tokens with"),
                None => invalid("the token is not signed with a key that is known here"),
            })
        })
    }

    /// The claims of a token that one of the keys has signed, or what is wrong with them; `None` if none has.
    fn verified(
        &self,
        keys: &[PublicKey],
        token: &Secret,
        header: &Header,
    ) -> Option<Result<Claims, Refusal>> {
        let mut validation = Validation::new(header.alg);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.audience]);
        // By this process's clock, below.
        validation.validate_exp = false;
        let mut fitting = keys.iter().filter(|key| key.fits(header.kid.as_deref(), header.alg));
        fitting.find_map(|key| match decode::<Claims>(token.expose(), &key.key, &validation) {
            Ok(token) => Some(Ok(token.claims)),
            Err(error) => claims_problem(&error).map(|problem| Err(invalid(problem))),
        })
    }

    /// When the token expires. Refuses one that has expired, or is not valid yet.
    fn check_times(&self, claims: &Claims) -> Result<Timestamp, Refusal> {
        let leeway = self.config.leeway;
        let now = self.jwks.clock.timestamp();
        let end = claims.get("exp").and_then(instant);
        let end = end.ok_or_else(|| invalid("the token does not say when it ends (exp)"))?;
        let expires = end.checked_add(leeway).unwrap_or(Timestamp::MAX);
        if expires <= now {
            return Err(invalid("the token has expired"));
        }
        if let Some(start) = claims.get("nbf") {
            let malformed = || invalid("the token does not say when it begins (nbf)");
            let start = instant(start).ok_or_else(malformed)?;
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

fn invalid(reason: &'static str) -> Refusal {
    Refusal::invalid_credential(reason)
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

/// A key, and the algorithm of the token, which is of the key's family.
struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                rsa(self.algorithm)
                    .is_some_and(|parameters| key.verify(parameters, message, signature).is_ok())
            }
            DecodingKeyKind::SecretOrDer(point) => curve(self.algorithm).is_some_and(|curve| {
                UnparsedPublicKey::new(curve, point).verify(message, signature).is_ok()
            }),
        };
        if verified { Ok(()) } else { Err(signature::Error::new()) }
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Parameters for keys of at least 2048 bits.
fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&of_ring::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&of_ring::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&of_ring::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&of_ring::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&of_ring::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&of_ring::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn curve(algorithm: Algorithm) -> Option<&'static dyn of_ring::VerificationAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&of_ring::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Some(&of_ring::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Some(&of_ring::ED25519),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::ErrorCode;

    fn tokens(keys: &Value, algorithms: &[Algorithm]) -> TokenVerifier {
        let _ = PROVIDER.install_default();
        let jwks = JwksSource::File("nowhere".into());
        let algorithms = algorithms.to_vec();
        let config = JwtConfig { algorithms, ..JwtConfig::new(jwks, "issuer", "audience") };
        let jwks = Jwks::of(&json!({ "keys": keys })).unwrap();
        TokenVerifier::new(jwks, &config)
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
                assert_eq!(refused.code(), ErrorCode::Unauthenticated, "{forged}: {refused:?}");
            }
            for other in signed.iter().filter(|other| other["alg"] != row["alg"]) {
                let token = Secret::new(other["token"].as_str().unwrap());
                let refused = tokens.verify(Some(&token)).await.err().unwrap();
                assert_eq!(refused.code(), ErrorCode::Unauthenticated, "{token:?}: {refused:?}");
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
