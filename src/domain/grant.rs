//! What a caller may see and do.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use sha2::{Digest as _, Sha256};

use super::{Failure, ProjectId, RecordId, RecordText, ScreenRecord};

/// Ids without case and dashes, see [`RecordId::folded`].
pub type FoldedIds = BTreeSet<Arc<str>>;

/// What a caller may see and do. Equal grants show equal data.
///
/// A recording is visible if its project is granted and it meets every constraint that is present. A
/// recording without the field of a constraint does not meet it.
#[derive(PartialEq, Eq)]
pub struct Grant {
    rights: Rights,
    key: GrantKey,
}

/// The parts of a grant.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// Projects; `None` for every project that the gateway serves.
    pub projects: Option<BTreeSet<ProjectId>>,
    /// Constraint on the user of a recording, compared exactly.
    pub usernames: Option<BTreeSet<Arc<str>>>,
    /// Constraint on the desktop of a recording.
    pub desktop_ids: Option<FoldedIds>,
    /// Constraint on the desktop pool of a recording.
    pub desktop_pool_ids: Option<FoldedIds>,
    /// What the caller may do; `None` for everything.
    pub permissions: Option<BTreeSet<Permission>>,
}

/// What a caller may do with a visible recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Read recordings. Without it, no recording is visible.
    Read,
    /// Read what happened on the desktop during a recording.
    Operations,
    /// Get links to the video.
    Download,
}

/// Hash of a whole grant, for keys of caches.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrantKey([u8; 32]);

impl From<Rights> for Grant {
    fn from(rights: Rights) -> Self {
        let key = rights.key();
        Self { rights, key }
    }
}

impl Grant {
    /// The grant of callers who do not authenticate: everything.
    pub fn unrestricted() -> Arc<Self> {
        static EVERYTHING: LazyLock<Arc<Grant>> =
            LazyLock::new(|| Arc::new(Rights::default().into()));
        Arc::clone(&EVERYTHING)
    }

    /// The key of everything that was made for this grant.
    pub fn key(&self) -> GrantKey {
        self.key
    }

    /// Whether recordings of granted projects may be invisible.
    pub fn is_restricted(&self) -> bool {
        let Rights { usernames, desktop_ids, desktop_pool_ids, .. } = &self.rights;
        let is_constrained =
            usernames.is_some() || desktop_ids.is_some() || desktop_pool_ids.is_some();
        is_constrained || !self.has(Permission::Read)
    }

    /// Whether recordings of a project may be asked for at all.
    pub fn includes_project(&self, project: &ProjectId) -> bool {
        self.rights.projects.as_ref().is_none_or(|projects| projects.contains(project))
    }

    /// Whether a recording of a granted project is visible.
    pub fn shows(&self, record: &ScreenRecord) -> bool {
        let text = |of| record.filled_text(of);
        self.has(Permission::Read)
            && meets_exactly(self.rights.usernames.as_ref(), text(RecordText::Username))
            && meets(self.rights.desktop_ids.as_ref(), text(RecordText::DesktopId))
            && meets(self.rights.desktop_pool_ids.as_ref(), text(RecordText::DesktopPoolId))
    }

    /// Whether no recording at all can be visible.
    pub fn shows_nothing(&self) -> bool {
        let Rights { usernames, desktop_ids, desktop_pool_ids, .. } = &self.rights;
        let constraints = [usernames, desktop_ids, desktop_pool_ids];
        !self.has(Permission::Read) || constraints.into_iter().flatten().any(BTreeSet::is_empty)
    }

    /// Whether recordings of a user may be visible.
    pub fn includes_username(&self, username: &str) -> bool {
        meets_exactly(self.rights.usernames.as_ref(), Some(username))
    }

    /// Whether recordings of a desktop may be visible.
    pub fn includes_desktop(&self, desktop_id: &str) -> bool {
        meets(self.rights.desktop_ids.as_ref(), Some(desktop_id))
    }

    /// The one user whose recordings alone can be visible.
    pub fn only_username(&self) -> Option<&str> {
        let usernames = self.rights.usernames.as_ref().filter(|usernames| usernames.len() == 1);
        usernames?.first().map(|username| &**username)
    }

    /// Checks a permission.
    ///
    /// # Errors
    /// [`Failure::NotPermitted`] without it.
    pub fn require(&self, permission: Permission) -> Result<(), Failure> {
        let permitted = self.has(permission).then_some(());
        permitted.ok_or(Failure::NotPermitted { permission: permission.name() })
    }

    fn has(&self, permission: Permission) -> bool {
        self.rights.permissions.as_ref().is_none_or(|all| all.contains(&permission))
    }
}

/// Whether a text meets a constraint, if there is one.
pub(super) fn meets_exactly(constraint: Option<&BTreeSet<Arc<str>>>, text: Option<&str>) -> bool {
    constraint.is_none_or(|texts| text.is_some_and(|text| texts.contains(text)))
}

/// Whether an id meets a constraint, if there is one.
pub(super) fn meets(constraint: Option<&FoldedIds>, id: Option<&str>) -> bool {
    constraint.is_none_or(|ids| id.is_some_and(|id| ids.contains(&*RecordId::folded(id))))
}

/// Shows no name and no id.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grant(…)")
    }
}

impl Permission {
    const ALL: [Self; 3] = [Self::Read, Self::Operations, Self::Download];

    /// The permission of a name, if there is one.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }

    /// Its name, in the file of keys and in tokens.
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operations => "operations",
            Self::Download => "download",
        }
    }
}

impl Rights {
    /// Folds ids for a constraint.
    pub fn folded_ids<'i>(ids: impl IntoIterator<Item = &'i str>) -> FoldedIds {
        ids.into_iter().map(|id| RecordId::folded(id).into()).collect()
    }

    fn key(&self) -> GrantKey {
        let Self { projects, usernames, desktop_ids, desktop_pool_ids, permissions } = self;
        let mut hash = Sha256::new();
        add(&mut hash, permissions.as_ref().map(|all| all.iter().map(|one| one.name())));
        add(&mut hash, projects.as_ref().map(|ids| ids.iter().map(ProjectId::as_str)));
        for texts in [usernames, desktop_ids, desktop_pool_ids] {
            add(&mut hash, texts.as_ref().map(|texts| texts.iter().map(|text| &**text)));
        }
        GrantKey(hash.finalize().into())
    }
}

/// Adds a constraint to a hash, so that no two lists of constraints are written the same way.
fn add<'t>(hash: &mut Sha256, texts: Option<impl ExactSizeIterator<Item = &'t str>>) {
    let Some(texts) = texts else { return hash.update([0]) };
    hash.update([1]);
    hash.update(texts.len().to_be_bytes());
    for text in texts {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
}

impl GrantKey {
    /// The hash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::RecordFields;
    use super::*;

    fn users(users: &[&str]) -> BTreeSet<Arc<str>> {
        users.iter().map(|name| Arc::from(*name)).collect()
    }

    fn ids(ids: &[&str]) -> FoldedIds {
        Rights::folded_ids(ids.iter().copied())
    }

    #[test]
    fn a_recording_is_visible_if_it_meets_every_constraint_that_is_present() {
        let all = Rights::default();
        let unreadable = Some(BTreeSet::from([Permission::Operations, Permission::Download]));
        let record: ScreenRecord = RecordFields::default()
            .with_text(RecordText::Username, "alice")
            .with_text(RecordText::DesktopId, "D-1")
            .with_text(RecordText::DesktopPoolId, "P1")
            .into();
        for (number, (rights, expected)) in [
            (all.clone(), true),
            (Rights { usernames: Some(users(&["alice"])), ..all.clone() }, true),
            (Rights { usernames: Some(users(&["Alice", "*"])), ..all.clone() }, false),
            (Rights { usernames: Some(users(&[])), ..all.clone() }, false),
            (Rights { desktop_ids: Some(ids(&["d1"])), ..all.clone() }, true),
            (Rights { desktop_ids: Some(ids(&["D-2"])), ..all.clone() }, false),
            (Rights { desktop_pool_ids: Some(ids(&["p-1", "p2"])), ..all.clone() }, true),
            (
                Rights {
                    usernames: Some(users(&["alice"])),
                    desktop_ids: Some(ids(&[])),
                    ..all.clone()
                },
                false,
            ),
            (Rights { permissions: unreadable, ..all.clone() }, false),
        ]
        .into_iter()
        .enumerate()
        {
            let is_restricted = rights != all;
            let grant = Grant::from(rights);

            assert_eq!(grant.shows(&record), expected, "of grant {number}");
            assert_eq!(grant.is_restricted(), is_restricted, "of grant {number}");
            assert_eq!(grant.shows(&ScreenRecord::default()), !is_restricted, "of grant {number}");
        }
    }

    #[test]
    fn grants_that_differ_have_different_keys() {
        let all = Rights::default();
        let rights = [
            all.clone(),
            Rights { projects: Some(BTreeSet::new()), ..all.clone() },
            Rights { usernames: Some(users(&[])), ..all.clone() },
            Rights { usernames: Some(users(&["a", "b"])), ..all.clone() },
            Rights { usernames: Some(users(&["ab"])), ..all.clone() },
            Rights {
                usernames: Some(users(&["a"])),
                desktop_ids: Some(ids(&["b"])),
                ..all.clone()
            },
            Rights {
                usernames: Some(users(&["a"])),
                desktop_pool_ids: Some(ids(&["b"])),
                ..all.clone()
            },
            Rights { permissions: Some(BTreeSet::new()), ..all.clone() },
        ];

        let keys: std::collections::HashSet<_> = rights.iter().map(Rights::key).collect();

        assert_eq!(keys.len(), rights.len());
        assert!(Grant::from(all) == *Grant::unrestricted());
    }

    #[test]
    fn a_missing_permission_is_named() {
        let permissions = Some(BTreeSet::from([Permission::Read, Permission::Operations]));
        let grant = Grant::from(Rights { permissions, ..Rights::default() });

        assert!(grant.require(Permission::Operations).is_ok());
        let message = grant.require(Permission::Download).unwrap_err().to_string();
        assert_eq!(message, "this caller has no permission for this field: it needs download");
        assert!(!grant.is_restricted());
    }
}
