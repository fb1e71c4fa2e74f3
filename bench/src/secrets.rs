//! What a deployment has besides the gateway: a certificate, and an issuer of signed tokens.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use crate::recordings::USERS;
use crate::{CERTIFICATE, Error, KEY};

const PROJECT: &str = "089b2f9a3d80d3062f24c00ca4ed5cbd";
const DAY: Duration = Duration::from_hours(24);

/// Writes a certificate of 127.0.0.1, a key set, and tokens of as many callers, one a line.
pub fn write(directory: &Path, count: usize) -> Result<(), Error> {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    std::fs::write(directory.join(CERTIFICATE), own.cert.pem())?;
    std::fs::write(directory.join(KEY), own.signing_key.serialize_pem())?;

    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| "no key")?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).map_err(|_| "no key")?;
    let (_, point) = key.public_key().as_ref().split_at(1);
    let (x, y) = point.split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let set = json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "bench", "x": x, "y": y },
    ] });
    std::fs::write(directory.join("jwks.json"), set.to_string())?;

    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"JWT","kid":"bench"}"#);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut tokens = String::new();
    for caller in 0..count {
        let claims = json!({
            "iss": "https://login.example", "aud": "bench", "sub": format!("caller-{caller:08}"),
            "iat": now.as_secs(), "exp": (now + DAY).as_secs(), "scope": "screen-records:read",
            "projects": [PROJECT], "usernames": USERS,
        });
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = key.sign(&random, signed.as_bytes()).map_err(|_| "no signature")?;
        writeln!(tokens, "{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))?;
    }
    Ok(std::fs::write(directory.join("tokens"), tokens)?)
}
