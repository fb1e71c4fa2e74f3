//! What a caller may do with a visible recording.

use std::fmt;

/// A permission of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Read recordings. Without it, no recording is visible.
    Read,
    /// Read what happened on the desktop during a recording.
    Operations,
    /// Get links to the video.
    Download,
}

impl Permission {
    const ALL: [Self; 3] = [Self::Read, Self::Operations, Self::Download];

    /// The permission of a name, if there is one.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }

    /// Its name, in the file of keys and in tokens.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operations => "operations",
            Self::Download => "download",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
