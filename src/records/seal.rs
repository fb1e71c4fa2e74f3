//! Seals the cursors of restricted callers, so that they show neither ids nor how many rows were passed over.
//!
//! Authenticated encryption (ChaCha20-Poly1305, RFC 8439) under a random nonce: the same place never has
//! the same cursor twice, so a cursor that changes says nothing about rows before it. The grant is
//! authenticated as well, so a cursor is of no use to a caller with another one.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::key::secret_key;
use crate::domain::{Failure, GrantKey, Secret};

/// First byte of a sealed cursor. Cursors that are not sealed have another.
const VERSION: u8 = 2;

/// Seals cursors. Clones share the key.
#[derive(Clone)]
pub(crate) struct CursorKey(Arc<LessSafeKey>);

/// Seals the cursors of one grant.
#[derive(Clone)]
pub(crate) struct CursorSeal {
    key: CursorKey,
    grant: GrantKey,
}

impl CursorKey {
    /// A key made of a secret, which is the same on every replica, or one of this process only.
    pub(crate) fn new(secret: Option<&Secret>) -> Result<Self, getrandom::Error> {
        let purpose = "screen-record-gateway 2026-11 cursors of restricted callers";
        let key = secret_key(purpose, secret)?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("the key has the right length");
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }

    pub(crate) fn for_grant(&self, grant: GrantKey) -> CursorSeal {
        CursorSeal { key: self.clone(), grant }
    }
}

impl CursorSeal {
    /// Seals the content of a cursor.
    ///
    /// # Errors
    /// [`Failure::Overloaded`] if the system gives no random numbers.
    pub(crate) fn seal(&self, mut content: Vec<u8>) -> Result<String, Failure> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| Failure::Overloaded)?;
        let key = &self.key.0;
        let sealed = key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            self.context(),
            &mut content,
        );
        sealed.map_err(|_| Failure::Overloaded)?;
        Ok(URL_SAFE_NO_PAD.encode([&[VERSION], &nonce[..], &content].concat()))
    }

    /// The content of a cursor that was sealed for the same grant.
    pub(crate) fn open(&self, text: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (&mut [version], rest) = bytes.split_first_chunk_mut()?;
        let (nonce, sealed) = rest.split_first_chunk_mut()?;
        if version != VERSION {
            return None;
        }
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.key.0.open_in_place(nonce, self.context(), sealed).ok().map(|content| content.to_vec())
    }

    /// What is authenticated beside the content.
    fn context(&self) -> Aad<Vec<u8>> {
        Aad::from([&[VERSION], self.grant.as_bytes()].concat())
    }
}

/// Shows nothing of the key.
impl fmt::Debug for CursorSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorSeal(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Grant, Permission, Rights};

    fn grant(permissions: impl IntoIterator<Item = Permission>) -> GrantKey {
        let permissions = Some(permissions.into_iter().collect());
        Grant::from(Rights { permissions, ..Rights::default() }).key()
    }

    #[test]
    fn a_sealed_cursor_is_opened_by_its_own_key_and_grant_only() {
        let secret = |text| CursorKey::new(Some(&Secret::new(text))).unwrap();
        let own = grant([Permission::Read]);
        let text = secret("one").for_grant(own).seal(b"place".to_vec()).unwrap();

        assert_eq!(secret("one").for_grant(own).open(&text).unwrap(), b"place");
        assert!(secret("two").for_grant(own).open(&text).is_none());
        assert!(CursorKey::new(None).unwrap().for_grant(own).open(&text).is_none());
        assert!(secret("one").for_grant(grant([])).open(&text).is_none());
        let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for place in 0..bytes.len() {
            bytes[place] ^= 1;
            assert!(secret("one").for_grant(own).open(&URL_SAFE_NO_PAD.encode(&bytes)).is_none());
            bytes[place] ^= 1;
        }
    }

    #[test]
    fn the_same_place_never_has_the_same_cursor_twice() {
        let seal = CursorKey::new(None).unwrap().for_grant(grant([]));

        let [one, other] = [(); 2].map(|()| seal.seal(b"place".to_vec()).unwrap());

        assert_eq!(one.len(), other.len());
        assert_ne!(one, other);
    }
}
