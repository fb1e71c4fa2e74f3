//! Flat JSON objects, read member by member without a general parser: nearly every recording is one, and
//! reading them is a good part of what a miss costs.
//!
//! Only what is plain is read here. For anything else (an escape, a value with parts, a number with a
//! fraction, anything that is no JSON) there is no answer, and the general parser reads it all again and
//! says what is wrong.

/// Hands out every member, in order: its name and its value as JSON text. `None` where the text is no flat
/// object; what was handed out before counts for nothing then.
pub(super) fn members<'t>(text: &'t str, mut member: impl FnMut(&'t str, &'t str)) -> Option<()> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_blanks();
    reader.take(b'{')?;
    reader.skip_blanks();
    if reader.take(b'}').is_none() {
        loop {
            let name = reader.quoted()?;
            reader.skip_blanks();
            reader.take(b':')?;
            reader.skip_blanks();
            let value = reader.value()?;
            member(name.get(1..name.len() - 1)?, value);
            reader.skip_blanks();
            if reader.take(b',').is_none() {
                break;
            }
            reader.skip_blanks();
        }
        reader.take(b'}')?;
    }
    reader.skip_blanks();
    (reader.at == text.len()).then_some(())
}

/// A text and how far it has been read.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let blank = |byte: &&u8| matches!(**byte, b' ' | b'\n' | b'\r' | b'\t');
        self.at += self.rest().iter().take_while(blank).count();
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.rest().first() == Some(&byte)).then(|| self.at += 1)
    }

    /// The next so many bytes.
    fn advance(&mut self, bytes: usize) -> Option<&'t str> {
        let taken = self.text.get(self.at..self.at + bytes)?;
        self.at += bytes;
        Some(taken)
    }

    /// A string without escapes, quotes included.
    fn quoted(&mut self) -> Option<&'t str> {
        let (first, inner) = self.rest().split_first()?;
        (*first == b'"').then_some(())?;
        let length = plain_length(inner);
        (inner.get(length) == Some(&b'"')).then_some(())?;
        self.advance(length + 2)
    }

    fn value(&mut self) -> Option<&'t str> {
        let rest = self.rest();
        match rest.first()? {
            b'"' => self.quoted(),
            b'-' | b'0'..=b'9' => {
                let sign = usize::from(rest.first() == Some(&b'-'));
                let digits =
                    rest.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).count();
                let leads_with_zero = rest.get(sign) == Some(&b'0');
                let is_whole = !matches!(rest.get(sign + digits), Some(b'.' | b'e' | b'E'));
                let is_plain = is_whole && digits > 0 && (digits == 1 || !leads_with_zero);
                if is_plain { self.advance(sign + digits) } else { None }
            }
            _ => {
                let words = ["null", "true", "false"];
                let word = words.into_iter().find(|word| rest.starts_with(word.as_bytes()))?;
                self.advance(word.len())
            }
        }
    }
}

/// How many bytes go by before a quote, a backslash or a control character; eight at a time, by the test for
/// a zero byte in a word that "Bit Twiddling Hacks" describes
/// (<https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord>).
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let mut length = 0;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        let below = |limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
        let is = |byte: u8| {
            let differs = word ^ (ONES * u64::from(byte));
            differs.wrapping_sub(ONES) & !differs
        };
        // A borrow can only set bits above the first one that is right, and the first is all that counts.
        let found = (below(b' ') | is(b'"') | is(b'\\')) & HIGHS;
        if found != 0 {
            return length + (found.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let ends = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
    length + rest.iter().position(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    fn read(text: &str) -> Option<Vec<(&str, &str)>> {
        let mut found = Vec::new();
        members(text, |name, value| found.push((name, value))).map(|()| found)
    }

    #[test]
    fn members_are_handed_out_as_they_stand() {
        let text = " {\"a\" : \"x\" ,\n\"b\":-12,\"\":null,\"c\":true,\"d\":false,\"e\":0,\"a\":\"桌面\"} ";

        let found = read(text).unwrap();

        let expected = [
            ("a", "\"x\""),
            ("b", "-12"),
            ("", "null"),
            ("c", "true"),
            ("d", "false"),
            ("e", "0"),
            ("a", "\"桌面\""),
        ];
        assert_eq!(found, expected);
        assert_eq!(read("{}"), Some(vec![]));
    }

    #[test]
    fn what_is_not_plain_is_left_alone() {
        for text in [
            "",
            "{",
            "[]",
            "null",
            "{}x",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":[]}",
            "{\"a\":{}}",
            "{\"a\":\"\\n\"}",
            "{\"\\u0061\":1}",
            "{\"a\":\"\n\"}",
            "{\"a\":1.0}",
            "{\"a\":1e3}",
            "{\"a\":01}",
            "{\"a\":-}",
            "{\"a\":+1}",
            "{\"a\":nul}",
            "{\"a\":nullx}",
            "{\"a\":\"x}",
        ] {
            assert_eq!(read(text), None, "of {text:?}");
        }
    }

    #[test]
    fn an_end_is_found_wherever_it_stands() {
        for end in [b'"', b'\\', b'\n', 0, 0x1f] {
            for length in 0..40 {
                let mut bytes = vec![b'!'; length];
                bytes.push(end);
                bytes.extend_from_slice(b"\"\x01\\ \xff");

                assert_eq!(plain_length(&bytes), length, "of {end}");
            }
        }
        assert_eq!(plain_length("é\u{7f} 桌面".as_bytes()), "é\u{7f} 桌面".len());
    }

    proptest! {
        #[test]
        fn whatever_is_read_the_general_parser_reads_too(
            text in "[ \\n]?\\{( ?\"[a-z\\\\\"\u{1}é]{0,9}\" ?: ?(null|tru?e|-?[0-9]{1,3}|0[.]5|\"[ -~é\\n]{0,20}\"|\\[\\])[,} ]){0,4}\\}?",
        ) {
            if let Some(found) = read(&text) {
                let whole: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
                for (name, value) in &found {
                    let raw: &RawValue = serde_json::from_str(value).unwrap();
                    prop_assert_eq!(raw.get(), *value);
                    prop_assert!(whole.contains_key(*name));
                }
                for (name, value) in whole {
                    let last = found.iter().rev().find(|(other, _)| *other == name).unwrap().1;
                    prop_assert_eq!(serde_json::from_str::<Value>(last).unwrap(), value);
                }
            }
        }
    }
}
