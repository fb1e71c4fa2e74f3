//! An instant, in the range and the form that the `DateTime` scalar can write.

use std::fmt;

use jiff::fmt::temporal::DateTimePrinter;

const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// An instant in UTC between the years 0000 and 9999. The default is the first of them.
///
/// Displays as `YYYY-MM-DDTHH:MM:SS.sssZ`: exactly three fraction digits, finer ones cut, as
/// <https://scalars.graphql.org/andimarek/date-time.html> wants it.
// Not a `jiff::Timestamp`: that ends a day before the year 9999 does, and the last second of 9999
// is a common way to write "never".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::civil::DateTime);

impl Timestamp {
    /// Takes an instant as date and time in UTC; `None` before the year 0000, which the scalar
    /// cannot write.
    pub fn from_utc(utc: jiff::civil::DateTime) -> Option<Self> {
        (utc.year() >= 0).then_some(Self(utc))
    }

    /// An earlier instant, at the earliest the beginning of the year 0000.
    #[must_use]
    pub fn saturating_sub(self, by: jiff::SignedDuration) -> Self {
        Self::from_utc(self.0.saturating_sub(by)).unwrap_or_default()
    }

    /// The first whole second that is not earlier.
    #[must_use]
    pub fn up_to_second(self) -> Self {
        let cut = self.0.with().subsec_nanosecond(0).build().unwrap_or(self.0);
        if cut == self.0 {
            self
        } else {
            Self(cut.saturating_add(jiff::SignedDuration::from_secs(1)))
        }
    }

    /// The instant as date and time in UTC.
    pub fn as_utc(self) -> jiff::civil::DateTime {
        self.0
    }

    /// The instant as it is displayed.
    pub(crate) fn text(self) -> String {
        let mut text = String::with_capacity(33);
        // The printer asks for 32 bytes. Writing to a string cannot fail.
        let _ = PRINTER.print_datetime(&self.0, &mut text);
        text.push('Z');
        text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finer_digits_are_cut_and_three_are_always_written() {
        for (written, shown) in [
            ("2024-10-15T10:04:41", "2024-10-15T10:04:41.000Z"),
            ("2024-10-15T10:04:41.263999", "2024-10-15T10:04:41.263Z"),
            ("1969-12-31T23:59:59.999999", "1969-12-31T23:59:59.999Z"),
            ("0000-01-01T00:00:00", "0000-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999999999", "9999-12-31T23:59:59.999Z"),
        ] {
            let timestamp = Timestamp::from_utc(written.parse().unwrap()).unwrap();

            assert_eq!(timestamp.to_string(), shown, "of {written}");
        }
    }

    #[test]
    fn years_that_need_a_sign_are_refused() {
        assert_eq!(Timestamp::from_utc("-000001-12-31T23:59:59".parse().unwrap()), None);
    }
}
