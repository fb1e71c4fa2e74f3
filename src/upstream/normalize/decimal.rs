//! Decimal numbers, without the rounding of a float.

/// The longest text that is read, in bytes.
pub(super) const LONGEST: usize = 64;

/// A number, split at its decimal point after the exponent is applied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) is_negative: bool,
    /// The digits before the point, without zeros in front.
    pub(super) whole: String,
    /// The digits after it.
    pub(super) fraction: String,
}

impl Decimal {
    /// Reads `42`, `-42.5`, `4.25e1`; `None` for any other text or a longer one.
    pub(super) fn parse(written: &str) -> Option<Self> {
        // Most texts are dates, which need not be taken apart.
        let may_be_in_number =
            |byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        if written.len() > LONGEST || !written.bytes().all(may_be_in_number) {
            return None;
        }
        let (is_negative, unsigned) = match written.split_at_checked(1)? {
            ("-", rest) => (true, rest),
            ("+", rest) => (false, rest),
            _ => (false, written),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
            None => (unsigned, 0),
        };
        let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [before, after].concat();
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let point = isize::try_from(before.len()).ok()?.checked_add(exponent.into())?;
        let (whole, fraction) = split(&digits, point)?;
        Some(Self { is_negative, whole: whole.trim_start_matches('0').to_owned(), fraction })
    }

    /// The number as an integer, exactly or not at all.
    pub(super) fn to_whole_number(&self) -> Option<i64> {
        if self.fraction.bytes().any(|digit| digit != b'0') {
            return None;
        }
        let sign = if self.is_negative { "-" } else { "" };
        let whole = if self.whole.is_empty() { "0" } else { &self.whole };
        format!("{sign}{whole}").parse().ok()
    }
}

/// The digits before and after a point, which may lie up to [`LONGEST`] digits outside of them.
fn split(digits: &str, point: isize) -> Option<(String, String)> {
    let zeros = |count: usize| (count <= LONGEST).then(|| "0".repeat(count));
    match usize::try_from(point) {
        Ok(point) => match digits.split_at_checked(point) {
            Some((whole, fraction)) => Some((whole.to_owned(), fraction.to_owned())),
            None => Some((digits.to_owned() + &zeros(point - digits.len())?, String::new())),
        },
        Err(_) => Some((String::new(), zeros(point.unsigned_abs())? + digits)),
    }
}
