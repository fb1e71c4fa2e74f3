//! The `Date` header, which is the same for a second.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::fmt::rfc2822::DateTimePrinter;

use crate::clock::Clock;

/// Writes what time it is.
#[derive(Debug)]
pub(crate) struct Dates {
    clock: Clock,
    last: Mutex<Option<Date>>,
}

#[derive(Debug)]
struct Date {
    text: Vec<u8>,
    /// When another is due.
    until: Instant,
}

impl Dates {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), last: Mutex::default() }
    }

    /// Writes the date at a moment that is not in the past, as HTTP has it (RFC 9110, section 5.6.7).
    pub(crate) fn write(&self, now: Instant, into: &mut Vec<u8>) {
        // Who would have to wait for another makes it anew.
        let Ok(mut last) = self.last.try_lock() else {
            into.extend_from_slice(&self.make(now).text);
            return;
        };
        let date = match &mut *last {
            Some(date) if now < date.until => date,
            last => last.insert(self.make(now)),
        };
        into.extend_from_slice(&date.text);
    }

    fn make(&self, now: Instant) -> Date {
        let time = self.clock.timestamp();
        // Years that have more or fewer than four digits have no date.
        let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default();
        let passed = u64::try_from(time.subsec_nanosecond()).unwrap_or_default();
        let rest = Duration::from_secs(1).saturating_sub(Duration::from_nanos(passed));
        Date { text: text.into_bytes(), until: now + rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(dates: &Dates, clock: &Clock) -> String {
        let mut text = Vec::new();
        dates.write(clock.now(), &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_date_is_the_time_of_its_second() {
        let clock = Clock::default();
        let dates = Dates::new(&clock);
        for _ in 0..3 {
            let before = clock.timestamp().as_second();
            let date = shown(&dates, &clock);
            let after = clock.timestamp().as_second();

            let parsed = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp().as_second();
            assert!((before..=after).contains(&parsed), "{date}");
            assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
            clock.advance(Duration::from_millis(1700));
        }
    }
}
