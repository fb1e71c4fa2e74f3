//! What a cached record is found by. The caller is part of it: data never crosses callers.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::domain::{ProjectId, RecordId, Secret, Token};

/// Finds one recording for one caller. Compared in full: project, id and caller.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct RecordKey {
    pub(crate) caller: CallerKey,
    pub(crate) project: ProjectId,
    pub(crate) id: RecordId,
}

/// Who may see a cached record.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CallerKey {
    /// Everybody who may use the gateway's own credentials.
    Gateway,
    /// The holder of one token, known by a keyed hash of it.
    Holder([u8; 32]),
}

/// Makes keys of tokens, so that no token is kept: HMAC-SHA256 under a key that only this process
/// knows, or only the replicas that share a cache.
pub(crate) struct TokenHasher(Hmac<Sha256>);

impl TokenHasher {
    /// A hasher with a key of its own from the system's generator.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut key = [0_u8; 32];
        getrandom::fill(&mut key)?;
        let mac = Hmac::new_from_slice(&key).expect("HMAC takes keys of any length");
        Ok(Self(mac))
    }

    /// A hasher whose key is made of a secret: the same wherever the secret is.
    pub(crate) fn from_secret(secret: &Secret) -> Self {
        let key = secret.expose().as_bytes();
        let mut mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(b"caller");
        Self(mac)
    }

    pub(crate) fn key_of(&self, token: &Token) -> CallerKey {
        let mut mac = self.0.clone();
        mac.update(token.expose().as_bytes());
        CallerKey::Holder(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for CallerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "CallerKey::Gateway",
            Self::Holder(_) => "CallerKey::Holder(…)",
        })
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordKey({}/{})", self.project, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tokens_never_share_a_key() {
        let hasher = TokenHasher::random().unwrap();

        let (one, other) = (hasher.key_of(&Token::new("one")), hasher.key_of(&Token::new("other")));

        assert!(one != other && one != CallerKey::Gateway);
        assert!(one == hasher.key_of(&Token::new("one")));
    }

    #[test]
    fn replicas_that_share_a_secret_agree_on_the_hash_of_a_token() {
        let token = Token::new("one");

        let [one, other, stranger] = ["a secret", "a secret", "another secret"]
            .map(|secret| TokenHasher::from_secret(&Secret::new(secret)).key_of(&token));

        assert!(one == other && one != stranger);
    }

    #[test]
    fn the_hash_of_a_token_differs_between_processes() {
        let token = Token::new("one");

        let keys = [TokenHasher::random().unwrap(), TokenHasher::random().unwrap()]
            .map(|hasher| hasher.key_of(&token));

        assert!(keys[0] != keys[1]);
    }
}
