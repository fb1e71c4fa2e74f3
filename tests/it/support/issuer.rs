//! An issuer of signed tokens.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://login.example.com";
pub(crate) const AUDIENCE: &str = "recordings";

/// An issuer with one key.
pub(crate) struct Issuer {
    pub(crate) id: String,
    key: EcdsaKeyPair,
}

impl Issuer {
    pub(crate) fn new(id: &str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap();
        Self { id: id.to_owned(), key }
    }

    /// The public key, as an entry of a key set.
    pub(crate) fn jwk(&self) -> Value {
        let point = self.point();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": base64url(&point[1..33]), "y": base64url(&point[33..]),
        })
    }

    /// The public key, uncompressed.
    pub(crate) fn point(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    /// A valid token, with these claims added or replaced.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({ "alg": "ES256", "typ": "JWT", "kid": self.id }), claims)
    }

    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", base64url(signature.as_ref()))
    }
}

/// Header and claims as they are signed. A claim that is null is left out.
pub(crate) fn message(header: &Value, claims: &Value) -> String {
    let mut all = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "a-caller", "exp": seconds_from_now(600),
        "projects": "*",
    });
    let members = all.as_object_mut().unwrap();
    members.extend(claims.as_object().unwrap().clone());
    members.retain(|_, claim| !claim.is_null());
    let part = |json: &Value| base64url(json.to_string().as_bytes());
    format!("{}.{}", part(header), part(&all))
}

pub(crate) fn seconds_from_now(seconds: i64) -> i64 {
    jiff::Timestamp::now().as_second() + seconds
}

/// The keys of some issuers.
pub(crate) fn key_set(issuers: &[&Issuer]) -> Value {
    json!({ "keys": issuers.iter().map(|issuer| issuer.jwk()).collect::<Vec<_>>() })
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut block = [0; 3];
        block[..chunk.len()].copy_from_slice(chunk);
        let [a, b, c] = block.map(usize::from);
        let digits = [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63];
        text.extend(digits[..=chunk.len()].iter().map(|digit| char::from(DIGITS[*digit])));
    }
    text
}
