//! The upstream's JSON, read value by value.

mod structure;
mod object;
mod record;
mod list;
mod operation;
mod download;

pub(crate) use download::{LinkRow, download_links};
pub(crate) use list::list;
pub(crate) use object::read_object;
pub(crate) use operation::desktop_operation;
pub use record::screen_record;

/// Why the body of a success is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlike {
    /// It is an error: it has an error code and nothing of what was asked for.
    Error,
    /// It is something else; what, as a clause.
    Malformed(String),
}

/// Keys that hold an error's code, in any of the shapes that are in use, or an error object.
const ERROR_KEYS: [&str; 6] = ["error_code", "errorCode", "errCode", "code", "error", "result"];

#[cfg(test)]
mod tests;
