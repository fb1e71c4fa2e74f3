//! Header fields of a request, whatever holds them: what is made of a field is made of it in one place,
//! whether HTTP's own library has read the request or the fast path has.

use axum::http::{HeaderMap, HeaderName};
use httparse::Header;

/// Header fields.
pub(crate) trait Fields {
    /// The values of a field, in the order they came in.
    fn all_of<'f>(&'f self, name: &'f HeaderName) -> impl Iterator<Item = &'f [u8]>;

    /// The first value of a field.
    fn first_of<'f>(&'f self, name: &'f HeaderName) -> Option<&'f [u8]> {
        self.all_of(name).next()
    }

    /// The values of a field that are texts of visible ASCII, blanks and tabs.
    fn texts_of<'f>(&'f self, name: &'f HeaderName) -> impl Iterator<Item = &'f str> {
        self.all_of(name).filter_map(text)
    }
}

/// A value as a text, where it is one of visible ASCII, blanks and tabs.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    // Not one by one until one is not: most values are good ones, and are looked at many bytes at once.
    let is_text = value.iter().fold(true, |is, byte| is & matches!(byte, b' '..=b'~' | b'\t'));
    if is_text { str::from_utf8(value).ok() } else { None }
}

impl Fields for HeaderMap {
    fn all_of<'f>(&'f self, name: &'f HeaderName) -> impl Iterator<Item = &'f [u8]> {
        self.get_all(name).iter().map(http::HeaderValue::as_bytes)
    }

    fn first_of<'f>(&'f self, name: &'f HeaderName) -> Option<&'f [u8]> {
        self.get(name).map(http::HeaderValue::as_bytes)
    }
}

/// Header fields as they were read, in the order they came in.
pub struct ReadFields<'b, 'r> {
    fields: &'r [Header<'b>],
    /// The lengths of their names, a bit for each, modulo 64.
    lengths: u64,
}

impl<'b, 'r> ReadFields<'b, 'r> {
    /// All of these.
    pub fn new(fields: &'r [Header<'b>]) -> Self {
        let lengths = fields.iter().fold(0, |lengths, field| lengths | bit(field.name));
        Self { fields, lengths }
    }

    /// Each with its name as it is written, and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.fields.iter().map(|field| (field.name, field.value))
    }
}

fn bit(name: &str) -> u64 {
    1 << (name.len() % 64)
}

impl Fields for ReadFields<'_, '_> {
    fn all_of<'f>(&'f self, name: &'f HeaderName) -> impl Iterator<Item = &'f [u8]> {
        let name = name.as_str();
        // Most of what is looked for is not there.
        let may_be = self.lengths & bit(name) != 0;
        let fields = if may_be { self.fields } else { &[] };
        let named = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    static NAME: HeaderName = HeaderName::from_static("x-name");

    #[test]
    fn fields_are_the_same_whatever_holds_them() {
        let given: [(&str, &[u8]); 4] =
            [("X-Name", b"one"), ("other", b"no"), ("x-name", b"\xff"), ("x-NAME", b"three")];
        let read = given.map(|(name, value)| Header { name, value });
        let read = ReadFields::new(&read);
        let mut map = HeaderMap::new();
        for (name, value) in given {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }

        for values in [map.all_of(&NAME).collect(), read.all_of(&NAME).collect::<Vec<_>>()] {
            assert_eq!(values, [&b"one"[..], b"\xff", b"three"]);
        }
        for texts in [map.texts_of(&NAME).collect(), read.texts_of(&NAME).collect::<Vec<_>>()] {
            assert_eq!(texts, ["one", "three"]);
        }
        assert_eq!(
            (map.first_of(&NAME), read.first_of(&NAME)),
            (Some(&b"one"[..]), Some(&b"one"[..]))
        );
    }

    #[test]
    fn a_text_is_what_a_header_value_takes_for_one() {
        for byte in 0..=u8::MAX {
            let bytes = [b'a', byte];
            let of_value = HeaderValue::from_bytes(&bytes).ok();
            let of_value = of_value.as_ref().and_then(|value| value.to_str().ok());

            assert_eq!(text(&bytes), of_value, "of {byte}");
        }
    }
}
