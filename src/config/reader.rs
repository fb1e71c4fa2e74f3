//! Reads typed values and collects what is wrong with them.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::settings::Setting;
use super::sources::{Layered, Origin, Refusals, Written};

/// The settings as they were written, and the problems found so far.
pub(crate) struct Reader {
    layered: Layered,
    pub(crate) problems: Refusals,
}

impl Reader {
    pub(crate) fn new(layered: Layered, problems: Refusals) -> Self {
        Self { layered, problems }
    }

    /// The value of a setting if it is set and `read` can read it; what cannot be read is noted.
    pub(crate) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let written = self.layered.get(key)?;
        let value = read(written.text.trim());
        if value.is_none() {
            let Written { text, origin } = written;
            let allowed = Setting::by_key(key).map_or("", |setting| setting.allowed);
            let problem = format!("{key} is {text:?} ({origin}): it has to be {allowed}");
            self.problems.0.push(problem);
        }
        value
    }

    pub(crate) fn parse<T: FromStr>(&mut self, key: &'static str) -> Option<T> {
        self.read(key, |text| text.parse().ok())
    }

    pub(crate) fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        self.parse(key).unwrap_or(default)
    }

    pub(crate) fn duration(&mut self, key: &'static str, default: Duration) -> Duration {
        self.read(key, duration).unwrap_or(default)
    }

    pub(crate) fn size(&mut self, key: &'static str, default: u64) -> u64 {
        let size = |text: &str| {
            let size: ByteSize = text.parse().ok()?;
            (size.as_u64() > 0).then_some(size.as_u64())
        };
        self.read(key, size).unwrap_or(default)
    }

    pub(crate) fn bytes(&mut self, key: &'static str, default: usize) -> usize {
        let default = default as u64;
        usize::try_from(self.size(key, default)).unwrap_or(usize::MAX)
    }

    pub(crate) fn count(&mut self, key: &'static str, default: usize) -> usize {
        let read: Option<NonZeroU32> = self.parse(key);
        read.and_then(|count| usize::try_from(count.get()).ok()).unwrap_or(default)
    }

    pub(crate) fn switch(&mut self, key: &'static str, default: bool) -> bool {
        self.parse(key).unwrap_or(default)
    }

    pub(crate) fn list(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.read(key, |text| {
            let items: Vec<String> = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect();
            (!items.is_empty()).then_some(items)
        })
    }

    /// What is set for a key, and by what.
    pub(crate) fn written(&self, key: &str) -> Option<(&str, &Origin)> {
        self.layered.get(key).map(|written| (written.text.as_str(), &written.origin))
    }

    /// Notes that a setting contradicts another; `shown` is its value.
    pub(crate) fn contradiction(&mut self, key: &str, shown: &str, needed: &str) {
        let origin = match self.written(key) {
            Some((_, origin)) => format!(" ({origin})"),
            None => String::new(),
        };
        self.problems.0.push(format!("{key} is {shown}{origin}: {needed}"));
    }
}

/// `250ms`, `5s`, `1m30s`. A bare number is refused: nobody could tell its unit.
fn duration(text: &str) -> Option<Duration> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    humantime::parse_duration(text).ok()
}

/// A duration as it would be written.
pub(crate) fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
