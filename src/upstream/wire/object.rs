//! The members of a JSON object, each value on its own.
//!
//! serde reads the object. Where one value is not JSON (bytes that are not UTF-8, a raw control
//! character, `NaN`), serde reads nothing. Then [`Scanner`] finds where each value begins and ends,
//! so that the bad value costs its own field only. It reads only brackets, quotes, commas and colons.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::upstream::normalize::WireValue;

/// Why the body of a success is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlike {
    /// It is an error: it has an error code and nothing of what was asked for.
    Error,
    /// It is something else; what, as a clause.
    Malformed(String),
}

/// Reads a text that has to be one JSON object. `note` takes each member, in order, into a value that
/// starts as its default.
///
/// # Errors
/// [`Unlike::Malformed`] for anything but an object.
pub(crate) fn read_object<'b, T: Default>(
    body: &'b [u8],
    note: impl Fn(&mut T, &str, WireValue<'b>),
) -> Result<T, Unlike> {
    let malformed = |problem: &str| Err(Unlike::Malformed(problem.to_owned()));
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if body.trim_ascii().is_empty() {
        return malformed("is empty");
    }
    let mut read = T::default();
    match str::from_utf8(body).map(|text| strict(text, |key, value| note(&mut read, key, value))) {
        Ok(Ok(())) => return Ok(read),
        Ok(Err(error)) if error.is_data() => return malformed("is not a JSON object"),
        Ok(Err(_)) | Err(_) => {}
    }
    let Some(members) = members(body) else { return malformed("is not JSON") };
    read = T::default();
    for member in members {
        let key: Option<MemberKey<'_>> = serde_json::from_slice(member.key).ok();
        note(&mut read, key.as_ref().map_or("", |key| &key.0), WireValue::of(member.value));
    }
    Ok(read)
}

/// The items of a JSON array; nothing where the value is no array. `null` is an empty one: some
/// servers write it where there is nothing.
pub(super) fn items(array: WireValue<'_>) -> Option<Vec<WireValue<'_>>> {
    match array {
        WireValue::Json(json) => {
            let items: Option<Vec<&RawValue>> = serde_json::from_str(json).ok()?;
            let items = items.unwrap_or_default();
            Some(items.into_iter().map(|item| WireValue::Json(item.get())).collect())
        }
        WireValue::NotJson(bytes) => {
            let items = split_items(bytes)?;
            Some(items.into_iter().map(WireValue::of).collect())
        }
    }
}

fn strict<'b>(text: &'b str, note: impl FnMut(&str, WireValue<'b>)) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(MemberVisitor(note))?;
    deserializer.end()
}

/// A key of an object.
#[derive(Deserialize)]
struct MemberKey<'a>(#[serde(borrow)] Cow<'a, str>);

struct MemberVisitor<N>(N);

impl<'de, N: FnMut(&str, WireValue<'de>)> Visitor<'de> for MemberVisitor<N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(MemberKey(key)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            (self.0)(&key, WireValue::Json(value.get()));
        }
        Ok(())
    }
}

/// A member of an object, as it stands there.
struct Member<'b> {
    /// With its quotes.
    key: &'b [u8],
    value: &'b [u8],
}

/// The members of an object; nothing where the text has not the structure of one.
fn members(text: &[u8]) -> Option<Vec<Member<'_>>> {
    let mut scanner = Scanner { text, at: 0 };
    let members = scanner.list(b'{', b'}', |scanner| {
        let key = scanner.string()?;
        scanner.skip_space();
        scanner.take(b':')?;
        scanner.skip_space();
        Some(Member { key, value: scanner.value()? })
    })?;
    scanner.is_at_end().then_some(members)
}

/// The items of an array; nothing where the text has not the structure of one.
fn split_items(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut scanner = Scanner { text, at: 0 };
    let items = scanner.list(b'[', b']', Scanner::value)?;
    scanner.is_at_end().then_some(items)
}

/// A text and how far it has been read.
struct Scanner<'b> {
    text: &'b [u8],
    at: usize,
}

impl<'b> Scanner<'b> {
    /// What stands between two brackets, with commas between.
    fn list<T>(
        &mut self,
        open: u8,
        close: u8,
        element: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut elements = Vec::new();
        self.skip_space();
        self.take(open)?;
        self.skip_space();
        if self.take(close).is_some() {
            return Some(elements);
        }
        loop {
            elements.push(element(self)?);
            self.skip_space();
            if self.take(b',').is_none() {
                self.take(close)?;
                return Some(elements);
            }
            self.skip_space();
        }
    }

    /// A string, an object or array with all that is in it, or a word such as `12`, `null` or `NaN`.
    fn value(&mut self) -> Option<&'b [u8]> {
        let begin = self.at;
        match self.peek()? {
            b'"' => return self.string(),
            b'{' | b'[' => self.nested()?,
            _ => {
                let ends = |byte: &u8| byte.is_ascii_whitespace() || b",:\"{}[]".contains(byte);
                self.at += self.rest().iter().take_while(|byte| !ends(byte)).count();
            }
        }
        self.text.get(begin..self.at).filter(|value| !value.is_empty())
    }

    /// Goes past an object or array, without a look at which brackets belong together.
    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'b [u8]> {
        let begin = self.at;
        self.take(b'"')?;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                ..0x80 => self.at += 1,
                0x80.. => self.skip_character(),
            }
        }
        self.at += 1;
        self.text.get(begin..self.at)
    }

    /// Skips a character beyond ASCII. If it is not UTF-8, it counts as two bytes of GBK, Big5 or Shift JIS.
    /// The second one may be a backslash, which escapes nothing.
    fn skip_character(&mut self) {
        let next = self.rest().get(..4).unwrap_or(self.rest());
        let valid = next.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
        let is_pair = next.get(1).is_some_and(|second| *second >= 0x40);
        self.at += valid.map_or(1 + usize::from(is_pair), char::len_utf8);
    }

    fn skip_space(&mut self) {
        self.at += self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'b [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.rest().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys and values as text, where the text is an object.
    fn read(text: &[u8]) -> Option<Vec<(String, String)>> {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let members = members(text)?.into_iter();
        Some(members.map(|member| (shown(member.key), shown(member.value))).collect())
    }

    #[test]
    fn values_end_where_they_end_whatever_stands_in_them() {
        for (value, shown) in [
            (&b"NaN"[..], "NaN"),
            (b"-Infinity", "-Infinity"),
            (b"\"a\tb\"", "\"a\tb\""),
            (b"\"a \\\" , } b\"", "\"a \\\" , } b\""),
            (b"\"C:\\Users\"", "\"C:\\Users\""),
            (b"\"\xd5\x5c\"", "\"\u{fffd}\\\""),
            (b"\"\xd5\xc5\\\"\"", "\"\u{fffd}\u{fffd}\\\"\""),
            ("\"桌\\\"\"".as_bytes(), "\"桌\\\"\""),
            (b"[1, {\"a\": \"]\"}, NaN]", "[1, {\"a\": \"]\"}, NaN]"),
        ] {
            let text = [b" { \"k\" : ", value, b" , \"z\":7} "].concat();

            let expected = [("\"k\"", shown), ("\"z\"", "7")];
            let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
            assert_eq!(read(&text), Some(expected.into()), "of {shown}");
        }
        assert_eq!(read(b"{ }"), Some(vec![]));
    }

    #[test]
    fn what_has_not_the_structure_of_an_object_is_none() {
        for text in [
            "",
            "{",
            "[]",
            "null",
            "{}x",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":}",
            "{\"a\":\"x}",
            "{\"a\":[1}",
            "{\"a\":1 2}",
            "{\"a\":1\"b\":2}",
            "<html>",
        ] {
            assert_eq!(read(text.as_bytes()), None, "of {text:?}");
        }
    }
}
