//! The answer of the call for download addresses.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Key, Listed, Unlike, list, read_object};
use crate::domain::{DownloadLink, Field, Unreadable};
use crate::upstream::normalize::WireValue;

const LISTED: Listed = Listed { rows: "address", total: None };

/// A link and the recording it belongs to.
#[derive(Debug, Default)]
pub(crate) struct LinkRow {
    pub(crate) id: Option<String>,
    pub(crate) link: Field<DownloadLink>,
}

/// Reads all links of an answer. Rows that are no objects are passed over: they name no recording,
/// so there is nobody to tell.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object with rows.
pub(crate) fn download_links(body: &[u8]) -> Result<Vec<LinkRow>, Unlike> {
    let page = list(body, LISTED, |row| read_object(row, LinkVisitor))?;
    Ok(page.rows.into_iter().filter_map(Result::ok).collect())
}

struct LinkVisitor;

impl<'de> Visitor<'de> for LinkVisitor {
    type Value = LinkRow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut row = LinkRow::default();
        while let Some(Key(key)) = map.next_key()? {
            match key.as_ref() {
                "id" => {
                    row.id = WireValue::new(map.next_value::<&RawValue>()?.get())
                        .name()
                        .map(Cow::into_owned);
                }
                "download_url" => {
                    row.link = link(WireValue::new(map.next_value::<&RawValue>()?.get()));
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(row)
    }
}

/// What cannot be read is not repeated: it may be a link all the same.
fn link(value: WireValue<'_>) -> Field<DownloadLink> {
    let unreadable = || Unreadable::new("is not an address on the web", "");
    match value.text()? {
        Ok(text) if text.trim().is_empty() => None,
        Ok(text) => Some(DownloadLink::parse(&text).ok_or_else(unreadable)),
        Err(_) => Some(Err(unreadable())),
    }
}
