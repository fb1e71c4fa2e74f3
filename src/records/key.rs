//! What cached data is found by. The caller is part of it: data never crosses callers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::{ProjectId, RecordId, Secret, Token};

/// Finds something in a project for one caller: a recording, a list or a page. Compared in full.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Key<I> {
    pub(crate) caller: CallerKey,
    pub(crate) project: ProjectId,
    pub(crate) id: I,
}

pub(crate) type RecordKey = Key<RecordId>;

/// Who may see a cached record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum CallerKey {
    /// Everybody who may use the gateway's own credentials.
    Gateway,
    /// The holder of one token, known by a keyed hash of it.
    Holder([u8; 32]),
}

/// Makes keys of tokens, so that no token is kept: BLAKE3's keyed hash, under a key that only this process
/// knows, or only the replicas that share a cache.
pub(crate) struct TokenHasher([u8; 32]);

impl TokenHasher {
    /// With a secret it hashes alike wherever the secret is, without one in this process only.
    pub(crate) fn new(secret: Option<&Secret>) -> Result<Self, getrandom::Error> {
        let context = "screen-record-gateway 2026-11 callers of a shared cache";
        secret_key(context, secret).map(Self)
    }

    pub(crate) fn key_of(&self, token: &Token) -> CallerKey {
        CallerKey::Holder(*blake3::keyed_hash(&self.0, token.expose().as_bytes()).as_bytes())
    }
}

/// A key for one purpose: made of a secret, or a random one of this process.
pub(crate) fn secret_key(
    purpose: &str,
    secret: Option<&Secret>,
) -> Result<[u8; 32], getrandom::Error> {
    let mut key = [0_u8; 32];
    match secret {
        Some(secret) => key = blake3::derive_key(purpose, secret.expose().as_bytes()),
        None => getrandom::fill(&mut key)?,
    }
    Ok(key)
}

impl fmt::Debug for CallerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "CallerKey::Gateway",
            Self::Holder(_) => "CallerKey::Holder(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tokens_never_share_a_key() {
        let hasher = TokenHasher::new(None).unwrap();

        let (one, other) = (hasher.key_of(&Token::new("one")), hasher.key_of(&Token::new("other")));

        assert!(one != other && one != CallerKey::Gateway);
        assert!(one == hasher.key_of(&Token::new("one")));
    }

    #[test]
    fn replicas_that_share_a_secret_agree_on_the_hash_of_a_token() {
        let token = Token::new("one");

        let [one, other, stranger] = ["a secret", "a secret", "another secret"]
            .map(|secret| TokenHasher::new(Some(&Secret::new(secret))).unwrap().key_of(&token));

        assert!(one == other && one != stranger);
    }

    #[test]
    fn the_hash_of_a_token_differs_between_processes() {
        let token = Token::new("one");

        let keys = [TokenHasher::new(None).unwrap(), TokenHasher::new(None).unwrap()]
            .map(|hasher| hasher.key_of(&token));

        assert!(keys[0] != keys[1]);
    }
}
