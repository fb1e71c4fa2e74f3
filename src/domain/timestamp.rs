//! An instant, in the range and the form that the `DateTime` scalar can write.

use std::fmt;

/// An instant in UTC between the years 0000 and 9999.
///
/// Displays as `YYYY-MM-DDTHH:MM:SS.sssZ`: exactly three fraction digits, finer ones cut, as
/// <https://scalars.graphql.org/andimarek/date-time.html> wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// Takes an instant; `None` outside the years 0000 to 9999, which the scalar cannot write.
    pub fn new(instant: jiff::Timestamp) -> Option<Self> {
        let year = jiff::tz::TimeZone::UTC.to_datetime(instant).year();
        (0..=9999).contains(&year).then_some(Self(instant))
    }

    /// The instant.
    pub fn instant(self) -> jiff::Timestamp {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = jiff::tz::TimeZone::UTC.to_datetime(self.0);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            utc.year(),
            utc.month(),
            utc.day(),
            utc.hour(),
            utc.minute(),
            utc.second(),
            utc.millisecond(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finer_digits_are_cut_and_three_are_always_written() {
        for (written, shown) in [
            ("2024-10-15T10:04:41Z", "2024-10-15T10:04:41.000Z"),
            ("2024-10-15T10:04:41.263999Z", "2024-10-15T10:04:41.263Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
        ] {
            let timestamp = Timestamp::new(written.parse().unwrap()).unwrap();

            assert_eq!(timestamp.to_string(), shown, "of {written}");
        }
    }

    #[test]
    fn years_that_need_a_sign_are_refused() {
        assert_eq!(Timestamp::new("-000001-12-31T23:59:59Z".parse().unwrap()), None);
    }
}
