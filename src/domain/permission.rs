//! What a caller may do with a visible recording, field by field.

use std::fmt;

/// A permission for one field of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Read what happened on the desktop during a recording.
    Operations,
    /// Get links to the video.
    Download,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operations => "operations",
            Self::Download => "download",
        })
    }
}
