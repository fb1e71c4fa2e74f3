//! The answer of the call for download addresses.

use std::borrow::Cow;

use super::{Unlike, list, read_object};
use crate::domain::{DownloadLink, Field, Unreadable};
use crate::upstream::normalize::WireValue;

/// A link and the recording it belongs to.
#[derive(Debug, Default)]
pub(crate) struct LinkRow {
    pub(crate) id: Option<String>,
    pub(crate) link: Field<DownloadLink>,
}

/// Reads all links of an answer. Rows that are no objects are left out: they name no recording.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object with rows.
pub(crate) fn download_links(body: &[u8]) -> Result<Vec<LinkRow>, Unlike> {
    let page = list(body, "address", |row| read_object(row, note))?;
    Ok(page.rows.into_iter().filter_map(Result::ok).collect())
}

fn note(row: &mut LinkRow, key: &str, value: WireValue<'_>) {
    match key {
        "id" => row.id = value.name().map(Cow::into_owned),
        "download_url" => row.link = link(value),
        _ => {}
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
