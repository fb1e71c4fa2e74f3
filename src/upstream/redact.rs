//! Cuts credentials out of the upstream's texts: its message for an unknown access key holds the key.

use std::borrow::Cow;

/// What stands where something was cut out.
const REDACTED: &str = "[redacted]";
/// Access keys have 20 characters; a few more or less are taken for one, too.
const ACCESS_KEY_LENGTHS: std::ops::RangeInclusive<usize> = 16..=24;
/// Longer runs without a blank are tokens or signatures, not words.
const LONGEST_WORD: usize = 64;
/// Secrets shorter than this would cut holes into ordinary words.
const SHORTEST_SECRET: usize = 4;

/// The text without the given secrets.
pub(crate) fn without<'a>(text: &'a str, secrets: &[&str]) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET) {
        if text.contains(secret) {
            text = Cow::Owned(text.replace(secret, REDACTED));
        }
    }
    text
}

/// The text without the given secrets and without anything that looks like a credential.
pub(crate) fn redact<'a>(text: &'a str, secrets: &[&str]) -> Cow<'a, str> {
    let text = without(text, secrets);
    if words(&text).any(is_credential) {
        let redacted = words(&text).map(|word| if is_credential(word) { REDACTED } else { word });
        return Cow::Owned(redacted.collect());
    }
    text
}

/// The text in pieces: runs of characters that credentials are made of, and what is between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(|c| !is_of_credentials(c)).flat_map(|piece| {
        let end = piece.trim_end_matches(|c| !is_of_credentials(c)).len();
        let (word, separator) = piece.split_at_checked(end).unwrap_or((piece, ""));
        [word, separator]
    })
}

fn is_of_credentials(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=_-.~".contains(c)
}

fn is_credential(word: &str) -> bool {
    word.len() > LONGEST_WORD || word.split(|c| "=/.".contains(c)).any(is_access_key)
}

/// Upper-case letters and digits, as long as an access key. A few letters are asked for, so that
/// times such as `20241015T094441Z` stay readable.
fn is_access_key(word: &str) -> bool {
    ACCESS_KEY_LENGTHS.contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && word.bytes().filter(u8::is_ascii_uppercase).count() > 3
        && word.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_keys_and_tokens_are_cut_out() {
        let token =
            "MIIEuAYJKoZIhvcNAQcCoIIEqTCCBKUCAQExDTALBglghkgBZQMEAgEwggMGBgkqhkiG9w0BBwGgggL3";
        for (text, expected) in [
            (
                "Get secretKey failed,ak:FAKEAK0EXAMPLE000001,err:ak not exist".to_owned(),
                "Get secretKey failed,ak:[redacted],err:ak not exist",
            ),
            (format!("token {token} is invalid"), "token [redacted] is invalid"),
            ("Access=FAKEAK0EXAMPLE000001 refused".to_owned(), "[redacted] refused"),
            ("the word hunter22 is yours".to_owned(), "the word [redacted] is yours"),
        ] {
            assert_eq!(redact(&text, &["hunter22", "is"]), expected);
        }
    }

    #[test]
    fn ordinary_messages_are_left_alone() {
        for text in [
            "",
            "The throttling threshold has been reached: policy user over ratelimit,limit:60,time:1 minute",
            "API not found or not published",
            "Incorrect IAM authentication information: decrypt token fail",
            "signature expired,client time:20241015T094441Z,server time:20241015T100441Z",
            "record 6c655e6a-1b2c-4d3e-8f90-b7f0edc7a082 in 089b2f9a3d80d3062f24c00ca4ed5cbd",
            "记录不存在 WKS.00211902",
        ] {
            assert_eq!(redact(text, &[]), text);
        }
    }
}
