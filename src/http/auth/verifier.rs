//! Lets `jsonwebtoken` verify signatures with ring, which TLS needs anyway.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{self as of_ring, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};

/// Verifies only: this process signs no tokens and makes no keys.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(unsupported()),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the verifier of the whole process.
pub(super) fn install() {
    // Fails only if it is installed already.
    let _ = PROVIDER.install_default();
}

/// A key, and the algorithm of the token, which is of the key's family.
struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl RingVerifier {
    fn verify_by_ring(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let wrong = |_| Error::from(ErrorKind::InvalidSignature);
        match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let parameters = rsa(self.algorithm).ok_or_else(unsupported)?;
                let key = RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signature).map_err(wrong)
            }
            DecodingKeyKind::SecretOrDer(point) => {
                let curve = curve(self.algorithm).ok_or_else(unsupported)?;
                UnparsedPublicKey::new(curve, point).verify(message, signature).map_err(wrong)
            }
        }
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.verify_by_ring(message, signature).map_err(signature::Error::from_source)
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

fn unsupported() -> Error {
    ErrorKind::UnsupportedAlgorithm.into()
}
