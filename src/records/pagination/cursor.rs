//! Cursors: where in a list a row was when it was shown.
//!
//! A cursor holds all it needs, so it outlives the process. Upstream lists are numbered and their
//! rows shift when others come or go, so beside the row's number a cursor holds its time and hashes
//! of the last few ids: enough to know again what has been shown already.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::super::seal::CursorSeal;
use crate::domain::{Failure, RecordId, Timestamp};

/// First byte of a cursor, changed with its layout.
const VERSION: u8 = 1;
/// How many ids a cursor remembers.
const REMEMBERED: usize = 8;
/// Stands for a time that is not known.
const NO_TIME: i64 = i64::MIN;

/// The list a cursor belongs to: project, filter and order, but not the size of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListPrint([u8; 6]);

/// The hash of a row's id, in whichever form the id is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IdPrint(u64);

/// A cursor as clients get it.
#[derive(Clone, Debug)]
pub struct CursorText {
    cursor: Cursor,
    /// Seals it for a restricted caller.
    seal: Option<CursorSeal>,
}

/// The place of a row in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    list: ListPrint,
    /// Number of the row in the upstream's list, from 0.
    pub(crate) offset: u32,
    /// What the list is sorted by, in milliseconds since 1970.
    pub(crate) time: Option<i64>,
    /// The row's own id last.
    pub(crate) shown: Vec<IdPrint>,
}

impl ListPrint {
    pub(crate) fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(beginning(&hash.finalize()))
    }
}

impl IdPrint {
    pub(crate) fn of(id: &str) -> Self {
        Self(u64::from_be_bytes(beginning(&Sha256::digest(RecordId::folded(id)))))
    }
}

/// The time that a cursor remembers, in milliseconds.
pub(crate) fn millis(time: Timestamp) -> i64 {
    let since =
        time.as_utc().duration_since(jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    i64::try_from(since.as_millis()).unwrap_or(NO_TIME)
}

impl Cursor {
    /// The place of a row that follows those of `before`.
    pub(crate) fn new(
        list: ListPrint,
        offset: u32,
        time: Option<i64>,
        shown: impl DoubleEndedIterator<Item = IdPrint>,
    ) -> Self {
        let mut shown: Vec<IdPrint> = shown.rev().take(REMEMBERED).collect();
        shown.reverse();
        Self { list, offset, time, shown }
    }

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
        let cursor = match seal {
            Some(seal) => seal.open(text).and_then(|content| Self::from_fixed_size(&content)),
            None => URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| Self::from_bytes(&bytes)),
        };
        let cursor = cursor.ok_or_else(|| {
            refusal("is not a cursor: take it from endCursor or from an edge of the same list")
        })?;
        if cursor.list != list {
            return Err(refusal(
                "is a cursor of another list: project, filter and order must be those it came from",
            ));
        }
        Ok(cursor)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[version], rest) = bytes.split_first_chunk()?;
        let (list, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (shown, left) = rest.as_chunks();
        if version != VERSION || !left.is_empty() || shown.len() > REMEMBERED {
            return None;
        }
        let time = i64::from_be_bytes(*time);
        Some(Self {
            list: ListPrint(*list),
            offset: u32::from_be_bytes(*offset),
            time: (time != NO_TIME).then_some(time),
            shown: shown.iter().map(|id| IdPrint(u64::from_be_bytes(*id))).collect(),
        })
    }
}

impl Cursor {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.list.0);
        bytes.extend(self.offset.to_be_bytes());
        bytes.extend(self.time.unwrap_or(NO_TIME).to_be_bytes());
        bytes.extend(self.shown.iter().flat_map(|id| id.0.to_be_bytes()));
        bytes
    }

    /// The bytes, filled up to the size of the longest cursor: the length of a sealed one says nothing. The
    /// last byte says how many bytes were added.
    fn to_fixed_size(&self) -> Vec<u8> {
        let mut bytes = self.to_bytes();
        let padding = (REMEMBERED - self.shown.len()) * size_of::<IdPrint>();
        bytes.resize(bytes.len() + padding, 0);
        bytes.push(u8::try_from(padding).unwrap_or_default());
        bytes
    }

    fn from_fixed_size(bytes: &[u8]) -> Option<Self> {
        let (padding, bytes) = bytes.split_last()?;
        Self::from_bytes(bytes.get(..bytes.len().checked_sub(usize::from(*padding))?)?)
    }

    pub(crate) fn text(self, seal: Option<CursorSeal>) -> CursorText {
        CursorText { cursor: self, seal }
    }
}

impl CursorText {
    /// Writes the cursor.
    ///
    /// # Errors
    /// [`Failure::Overloaded`] if the system gives no random numbers to seal it with.
    pub fn write(&self) -> Result<String, Failure> {
        match &self.seal {
            Some(seal) => seal.seal(self.cursor.to_fixed_size()),
            None => Ok(self.cursor.to_string()),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

fn beginning<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut beginning = [0; N];
    for (to, from) in beginning.iter_mut().zip(bytes) {
        *to = *from;
    }
    beginning
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list() -> ListPrint {
        ListPrint::of(&["project", "filter"])
    }

    #[test]
    fn a_cursor_comes_back_as_it_was_given_out() {
        let ids = (0..12).map(|number| IdPrint::of(&number.to_string()));
        let cursor = Cursor::new(list(), 7, Some(-5), ids);

        let read = Cursor::parse(&cursor.to_string(), list(), None);

        assert_eq!(read, Ok(cursor.clone()));
        assert_eq!(cursor.shown.len(), REMEMBERED);
        assert_eq!(cursor.shown.last(), Some(&IdPrint::of("11")));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Cursor::parse(&text, list(), None);
            let _ = Cursor::parse(&URL_SAFE_NO_PAD.encode(bytes), list(), None);
        }
    }
}
