//! Ids of projects in settings.

use super::settings::Format;
use crate::domain::ProjectId;

/// The id of a project.
pub(super) fn project_id() -> Format<ProjectId> {
    let allowed = "a project id of 1 to 64 letters, digits, - and _";
    Format::new("PROJECT", allowed, |text| ProjectId::parse(text).ok())
}
