//! Cursors: where in a list a row was when it was shown.
//!
//! A cursor holds all it needs, so it outlives the process. Upstream lists are numbered and their rows shift
//! when others come or go. So a cursor holds the row's number, its time, and hashes of the last few ids:
//! enough to recognise what has been shown.
//!
//! The cursors of restricted callers are sealed, so that they show neither ids nor how many rows were passed
//! over. The seal is authenticated encryption (ChaCha20-Poly1305, RFC 8439) under a random nonce: the same
//! place never has the same cursor twice, so a cursor that changes says nothing about rows before it. The
//! grant is authenticated as well, so a cursor is of no use to a caller with another one.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};

use super::super::key::secret_key;
use crate::domain::{Failure, GrantKey, RecordId, Secret, Timestamp};

/// First byte of a cursor, changed with its layout.
const VERSION: u8 = 3;
/// First byte of a sealed cursor.
const SEALED: u8 = 2;
/// How many ids a cursor remembers.
pub(super) const REMEMBERED: usize = 8;
/// Stands for a time that is not known.
const NO_TIME: i64 = i64::MIN;

/// The list a cursor belongs to: project, filter and order, but not the size of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListPrint(u64);

/// The hash of a row's id, in whichever form the id is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct IdPrint(u64);

/// The place of a row in a list.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    pub(crate) list: ListPrint,
    /// Number of the row in the upstream's list, from 0.
    pub(crate) offset: u32,
    /// What the list is sorted by, in milliseconds since 1970.
    pub(crate) time: Option<i64>,
    /// The last ids that were shown, the row's own at the end. Unused places are 0.
    pub(crate) shown: [IdPrint; REMEMBERED],
    /// Seals it for a restricted caller.
    pub(crate) seal: Option<CursorSeal>,
}

impl ListPrint {
    pub(crate) fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(beginning(hash))
    }
}

impl IdPrint {
    pub(crate) fn of(id: &str) -> Self {
        Self(beginning(Sha256::new_with_prefix(RecordId::folded(id))))
    }
}

fn beginning(hash: Sha256) -> u64 {
    hash.finalize().into_iter().take(8).fold(0, |print, byte| (print << 8) | u64::from(byte))
}

/// The time that a cursor remembers, in milliseconds.
pub(crate) fn millis(time: Timestamp) -> i64 {
    let since =
        time.as_utc().duration_since(jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    i64::try_from(since.as_millis()).unwrap_or(NO_TIME)
}

impl Cursor {
    /// Reads a cursor that was given out for a list.
    ///
    /// # Errors
    /// [`Failure::BadInput`] for a text that is no cursor, and for one of another list.
    pub(crate) fn parse(
        text: &str,
        list: ListPrint,
        seal: Option<&CursorSeal>,
    ) -> Result<Self, Failure> {
        let refusal =
            |problem: &str| Failure::BadInput { argument: "after", problem: problem.to_owned() };
        let bytes = match seal {
            Some(seal) => seal.open(text),
            None => URL_SAFE_NO_PAD.decode(text).ok(),
        };
        let cursor = bytes.and_then(|bytes| Self::from_bytes(&bytes)).ok_or_else(|| {
            refusal("is not a cursor: take it from endCursor or from an edge of the same list")
        })?;
        if cursor.list != list {
            return Err(refusal(
                "is a cursor of another list: project, filter and order must be those it came from",
            ));
        }
        Ok(Self { seal: seal.cloned(), ..cursor })
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[version], rest) = bytes.split_first_chunk()?;
        let (list, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (shown, left) = rest.as_chunks();
        let shown: Vec<_> = shown.iter().map(|id| IdPrint(u64::from_be_bytes(*id))).collect();
        if version != VERSION || !left.is_empty() {
            return None;
        }
        Some(Self {
            list: ListPrint(u64::from_be_bytes(*list)),
            offset: u32::from_be_bytes(*offset),
            time: Some(i64::from_be_bytes(*time)).filter(|time| *time != NO_TIME),
            shown: shown.try_into().ok()?,
            seal: None,
        })
    }

    /// Writes the cursor. All have the same length, so the length of a sealed one says nothing.
    ///
    /// # Errors
    /// [`Failure::Overloaded`] if the system gives no random numbers to seal it with.
    pub(crate) fn write(&self) -> Result<String, Failure> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.list.0.to_be_bytes());
        bytes.extend(self.offset.to_be_bytes());
        bytes.extend(self.time.unwrap_or(NO_TIME).to_be_bytes());
        bytes.extend(self.shown.iter().flat_map(|id| id.0.to_be_bytes()));
        match &self.seal {
            Some(seal) => seal.seal(bytes),
            None => Ok(URL_SAFE_NO_PAD.encode(bytes)),
        }
    }
}

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
        Ok(URL_SAFE_NO_PAD.encode([&[SEALED], &nonce[..], &content].concat()))
    }

    /// The content of a cursor that was sealed for the same grant.
    pub(crate) fn open(&self, text: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (&mut [version], rest) = bytes.split_first_chunk_mut()?;
        let (nonce, sealed) = rest.split_first_chunk_mut()?;
        if version != SEALED {
            return None;
        }
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.key.0.open_in_place(nonce, self.context(), sealed).ok().map(|content| content.to_vec())
    }

    /// What is authenticated beside the content.
    fn context(&self) -> Aad<Vec<u8>> {
        Aad::from([&[SEALED], self.grant.as_bytes()].concat())
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
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Grant, Permission, Rights};

    fn list() -> ListPrint {
        ListPrint::of(&["project", "filter"])
    }

    #[test]
    fn a_cursor_comes_back_as_it_was_given_out() {
        let shown = std::array::from_fn(|number| IdPrint::of(&number.to_string()));
        let cursor = Cursor { list: list(), offset: 7, time: Some(-5), shown, seal: None };

        let read = Cursor::parse(&cursor.write().unwrap(), list(), None).unwrap();

        assert_eq!((read.offset, read.time, read.shown), (7, Some(-5), shown));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Cursor::parse(&text, list(), None);
            let _ = Cursor::parse(&URL_SAFE_NO_PAD.encode(bytes), list(), None);
        }
    }

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
