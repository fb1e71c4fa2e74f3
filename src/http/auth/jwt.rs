//! Signed tokens: what they have to be like, and what they say of a caller.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::jwks::Jwks;
use super::{AuthError, AuthParts, AuthSetupError, Projects, verifier};
use crate::clock::Clock;
use crate::config::{JwksSource, JwtConfig};
use crate::domain::{ProjectId, Secret};

/// Stands for every project.
const EVERY: &str = "*";

/// Verifies tokens.
pub(super) struct Tokens {
    jwks: Jwks,
    config: Arc<JwtConfig>,
    clock: Clock,
}

/// What a token that is good says of who bears it.
pub(super) struct Bearer {
    pub(super) subject: String,
    pub(super) projects: Projects,
    /// When it is good no longer.
    pub(super) until: Timestamp,
    /// What the token was held against.
    pub(super) terms: Arc<JwtConfig>,
}

type Claims = Map<String, Value>;

/// Why a token is not verified, as a sentence.
enum Unverified {
    /// None of the keys has signed it.
    Signature(&'static str),
    /// One has, but what it says is wrong.
    Claims(&'static str),
}

impl Tokens {
    /// Reads the keys, and follows them from now on.
    pub(super) async fn start(
        config: &JwtConfig,
        parts: AuthParts,
    ) -> Result<Self, AuthSetupError> {
        verifier::install();
        let clock = parts.clock.clone();
        let config = Arc::new(config.clone());
        Ok(Self { jwks: Jwks::start(&config, parts).await?, config, clock })
    }

    /// Tokens are held against something else. Keys of the same address stay as they are; those of
    /// another have to be there.
    pub(super) async fn changed(
        &self,
        config: &JwtConfig,
        parts: AuthParts,
    ) -> Result<Self, AuthSetupError> {
        let is_followed = matches!(config.jwks, JwksSource::Address(_));
        if is_followed && config.jwks == self.config.jwks {
            let (jwks, clock) = (self.jwks.clone(), self.clock.clone());
            return Ok(Self { jwks, config: Arc::new(config.clone()), clock });
        }
        Self::start_with_keys(config, parts).await
    }

    /// As [`Self::start`], where it is an error that there are no keys yet.
    pub(super) async fn start_with_keys(
        config: &JwtConfig,
        parts: AuthParts,
    ) -> Result<Self, AuthSetupError> {
        let tokens = Self::start(config, parts).await?;
        if tokens.trouble().is_some() {
            return Err(AuthSetupError::NoKeys);
        }
        Ok(tokens)
    }

    /// Whether a token that was good under other terms would be judged the same way under these.
    pub(super) fn agree_with(&self, terms: &Arc<JwtConfig>) -> bool {
        let compared = |config: &JwtConfig| {
            let JwtConfig { issuer, audience, algorithms, projects_claim, .. } = config.clone();
            (issuer, audience, algorithms, projects_claim)
        };
        Arc::ptr_eq(terms, &self.config) || compared(terms) == compared(&self.config)
    }

    /// Why no token can be verified, where that is so.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        self.jwks.trouble()
    }

    /// Who bears a token, if it is good.
    pub(super) async fn verify(&self, token: &Secret) -> Result<Bearer, AuthError> {
        let header = decode_header(token.expose()).map_err(|_| {
            AuthError::InvalidCredential(
                "the token is no JSON Web Token with a signature that is known here",
            )
        })?;
        if !self.config.algorithms.contains(&header.alg) {
            return Err(AuthError::InvalidCredential(
                "the token is signed with an algorithm not allowed here",
            ));
        }
        if header.crit.is_some() {
            // What has to be understood (RFC 7515, section 4.1.11) is not.
            return Err(AuthError::InvalidCredential(
                "the token has critical headers, which are not known",
            ));
        }
        let mut verified = self.verified(token, &header);
        let is_unsigned = matches!(verified, Err(Unverified::Signature(_)));
        if is_unsigned && self.jwks.refresh_for(header.kid.as_deref()).await {
            verified = self.verified(token, &header);
        }
        let claims = match verified {
            Ok(claims) => claims,
            Err(Unverified::Signature(_)) if self.trouble().is_some() => {
                return Err(AuthError::Unavailable);
            }
            Err(Unverified::Signature(reason) | Unverified::Claims(reason)) => {
                return Err(AuthError::InvalidCredential(reason));
            }
        };
        let until = self.check_times(&claims)?;
        let subject = text(&claims, "sub").filter(|subject| !subject.is_empty());
        let subject =
            subject.ok_or(AuthError::InvalidCredential("the token has no subject (sub)"))?;
        let projects = projects(claims.get(&self.config.projects_claim));
        let terms = Arc::clone(&self.config);
        Ok(Bearer { subject: subject.to_owned(), projects, until, terms })
    }

    /// The claims of a token that one of the keys has signed for this audience.
    fn verified(&self, token: &Secret, header: &Header) -> Result<Claims, Unverified> {
        let mut validation = Validation::new(header.alg);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.audience]);
        // By this process's clock, below.
        validation.validate_exp = false;
        let mut reason = "the token is signed with a key that is not known";
        for key in self.jwks.candidates(header.kid.as_deref(), header.alg) {
            match decode::<Claims>(token.expose(), key.key(), &validation) {
                Ok(token) => return Ok(token.claims),
                Err(error) if is_about_claims(&error) => {
                    return Err(Unverified::Claims(sentence(&error)));
                }
                Err(error) => reason = sentence(&error),
            }
        }
        Err(Unverified::Signature(reason))
    }

    /// When the token ends, unless that was before, or it has not begun.
    fn check_times(&self, claims: &Claims) -> Result<Timestamp, AuthError> {
        let leeway = self.config.leeway;
        let now = self.clock.timestamp();
        let end = claims.get("exp").and_then(instant);
        let end =
            end.ok_or(AuthError::InvalidCredential("the token does not say when it ends (exp)"))?;
        let until = end.checked_add(leeway).unwrap_or(Timestamp::MAX);
        if until <= now {
            return Err(AuthError::InvalidCredential("the token has expired"));
        }
        if let Some(start) = claims.get("nbf") {
            let malformed =
                AuthError::InvalidCredential("the token does not say when it begins (nbf)");
            let start = instant(start).ok_or(malformed)?;
            if start.checked_sub(leeway).unwrap_or(Timestamp::MIN) > now {
                return Err(AuthError::InvalidCredential("the token is not good yet"));
            }
        }
        Ok(until)
    }
}

/// A moment in seconds since 1970; later ones than there are count as the last.
fn instant(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    let since = Duration::try_from_secs_f64(seconds.floor()).unwrap_or(Duration::MAX);
    Some(Timestamp::UNIX_EPOCH.checked_add(since).unwrap_or(Timestamp::MAX))
}

fn text<'c>(claims: &'c Claims, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}

/// The projects of a claim: none where there is no claim, or it is of another form.
fn projects(claim: Option<&Value>) -> Projects {
    let texts: Vec<&str> = match claim {
        Some(Value::String(text)) => text.split_whitespace().collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    };
    if texts.contains(&EVERY) {
        return None;
    }
    let listed: BTreeSet<_> =
        texts.into_iter().filter_map(|project| ProjectId::parse(project).ok()).collect();
    Some(Arc::new(listed))
}

/// Whether a token's signature is good and its claims are not: the library checks at them in this order.
fn is_about_claims(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidIssuer
            | ErrorKind::InvalidAudience
            | ErrorKind::MissingRequiredClaim(_)
            | ErrorKind::InvalidClaimFormat(_)
            | ErrorKind::Json(_)
            | ErrorKind::Utf8(_)
    )
}

/// What is wrong with a token. Nothing of the token is in it.
fn sentence(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidSignature => "the token's signature is not that of its key",
        ErrorKind::InvalidIssuer => "the token is of another issuer (iss)",
        ErrorKind::InvalidAudience => "the token is for another audience (aud)",
        ErrorKind::MissingRequiredClaim(claim) if claim == "exp" => {
            "the token does not say when it ends (exp)"
        }
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => "the token has no issuer (iss)",
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => {
            "the token has no audience (aud)"
        }
        _ => "the token cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;
    use serde_json::json;

    use super::*;

    fn tokens(keys: &Value, algorithms: &[Algorithm]) -> Tokens {
        verifier::install();
        let jwks = JwksSource::File("nowhere".into());
        let algorithms = algorithms.to_vec();
        let config = JwtConfig { algorithms, ..JwtConfig::new(jwks, "issuer", "audience") };
        let config = Arc::new(config);
        let jwks = Jwks::of(&json!({ "keys": keys })).unwrap();
        Tokens { jwks, config, clock: Clock::default() }
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

            let bearer = tokens.verify(&Secret::new(token)).await.unwrap();
            assert_eq!(bearer.subject, "some", "of {algorithm:?}");

            let (message, signature) = token.rsplit_once('.').unwrap();
            let (start, rest) = signature.split_at(signature.len() / 2);
            let changed = if rest.starts_with('A') { "B" } else { "A" };
            for forged in [
                format!("{message}.{start}{changed}{}", rest.get(1..).unwrap()),
                format!("{message}.{start}"),
                format!("{message}."),
            ] {
                let refused = tokens.verify(&Secret::new(&*forged)).await.err().unwrap();
                assert!(
                    matches!(refused, AuthError::InvalidCredential(_)),
                    "{forged}: {refused:?}"
                );
            }
            for other in signed.iter().filter(|other| other["alg"] != row["alg"]) {
                let token = Secret::new(other["token"].as_str().unwrap());
                let refused = tokens.verify(&token).await.err().unwrap();
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
    fn the_claim_of_projects_is_a_text_or_a_list_and_grants_nothing_else() {
        let of = |claim: Value| {
            projects(Some(&claim)).map(|projects| {
                projects.iter().map(|project| project.as_str().to_owned()).collect::<Vec<_>>()
            })
        };
        for (claim, expected) in [
            (json!("*"), None),
            (json!(["p1", "*"]), None),
            (json!("p1"), Some(vec!["p1"])),
            (json!("p1 p2"), Some(vec!["p1", "p2"])),
            (json!(["p2", "p1", 3, "../x"]), Some(vec!["p1", "p2"])),
            (json!([]), Some(vec![])),
            (json!(""), Some(vec![])),
            (json!(true), Some(vec![])),
            (json!({ "*": "*" }), Some(vec![])),
        ] {
            let expected =
                expected.map(|list| list.into_iter().map(str::to_owned).collect::<Vec<String>>());

            assert_eq!(of(claim.clone()), expected, "of {claim}");
        }
        assert_eq!(projects(None).map(|projects| projects.len()), Some(0));
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
