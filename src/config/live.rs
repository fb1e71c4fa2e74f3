//! Settings that may change while the process runs.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// Settings in use, which may be replaced at any time. Clones share them.
///
/// Reading takes no lock. What belongs together is read once: a second reading may see others.
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// Settings to begin with.
    pub fn new(settings: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// The settings that are in use now. Not to be held across a wait; [`Self::get`] is for that.
    pub fn load(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// As [`Self::load`], to be kept.
    pub fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Has others used from now on.
    pub fn set(&self, settings: T) {
        self.0.store(Arc::new(settings));
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&*self.load()).finish()
    }
}
