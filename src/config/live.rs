//! Settings that can be replaced while the process runs.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// Settings in use, which can be replaced at any time. Clones share them.
///
/// Reading takes no lock. Read settings that belong together in one call: the next call may return other
/// settings.
#[derive(Debug)]
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// The first settings.
    pub fn new(settings: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// The current settings, for a short use without `await`; otherwise use [`Self::get`].
    pub fn load(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// The current settings, to be kept.
    pub fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the settings.
    pub fn set(&self, settings: T) {
        self.0.store(Arc::new(settings));
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
