//! Names by which a federation router finds cached answers again, to invalidate them.

use std::fmt;

/// What the answers under one tag show. A project and an id are written as the request or the entity's key
/// writes them; in the schema they are placeholders, which the router fills in.
#[derive(Clone, Copy, Debug)]
pub enum CacheTag<'id> {
    /// One recording.
    Recording {
        /// The project that has it.
        project: &'id str,
        /// Its id.
        id: &'id str,
    },
    /// A list or statistics of a project.
    Lists(&'id str),
    /// Anything of a project.
    Project(&'id str),
    /// The projects of the settings, with what was read beneath them.
    Projects,
}

impl fmt::Display for CacheTag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recording { project, id } => write!(f, "recording-{project}-{id}"),
            Self::Lists(project) => write!(f, "lists-{project}"),
            Self::Project(project) => write!(f, "project-{project}"),
            Self::Projects => f.write_str("projects"),
        }
    }
}
