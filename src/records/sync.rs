//! The primitives that the single flight and the eras of purges are made of.
//!
//! The standard library's. In tests they are those of the model checker while a model runs, so that
//! `model` drives the very code that is shipped.

#[cfg(not(test))]
pub(super) use std::sync::atomic::AtomicU64;
#[cfg(not(test))]
pub(super) use std::sync::{Mutex, MutexGuard};

#[cfg(test)]
pub(super) use modelled::{AtomicU64, Mutex, MutexGuard, modelling};

#[cfg(test)]
mod modelled {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::LockResult;
    use std::sync::PoisonError;
    use std::sync::atomic::Ordering;

    use shuttle::sync as checked;

    thread_local! {
        /// Whether a model runs in this thread. Its own threads are all carried by this one.
        static MODELLING: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs a model, in which what is made is made of the model checker's primitives.
    pub(in crate::records) fn modelling(run: impl FnOnce()) {
        struct Over;

        impl Drop for Over {
            fn drop(&mut self) {
                MODELLING.set(false);
            }
        }

        MODELLING.set(true);
        let _over = Over;
        run();
    }

    /// [`std::sync::Mutex`], or the model checker's.
    #[derive(Debug)]
    pub(in crate::records) enum Mutex<T> {
        Real(std::sync::Mutex<T>),
        Checked(checked::Mutex<T>),
    }

    /// The guard of a [`Mutex`].
    pub(in crate::records) enum MutexGuard<'m, T> {
        Real(std::sync::MutexGuard<'m, T>),
        Checked(checked::MutexGuard<'m, T>),
    }

    /// [`std::sync::atomic::AtomicU64`], or the model checker's.
    #[derive(Debug)]
    pub(in crate::records) enum AtomicU64 {
        Real(std::sync::atomic::AtomicU64),
        Checked(checked::atomic::AtomicU64),
    }

    impl<T> Mutex<T> {
        pub(in crate::records) fn new(value: T) -> Self {
            if MODELLING.get() {
                Self::Checked(checked::Mutex::new(value))
            } else {
                Self::Real(std::sync::Mutex::new(value))
            }
        }

        pub(in crate::records) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            match self {
                Self::Real(lock) => {
                    let poisoned = |error: PoisonError<_>| MutexGuard::Real(error.into_inner());
                    lock.lock()
                        .map(MutexGuard::Real)
                        .map_err(|error| PoisonError::new(poisoned(error)))
                }
                Self::Checked(lock) => {
                    let poisoned = |error: PoisonError<_>| MutexGuard::Checked(error.into_inner());
                    lock.lock()
                        .map(MutexGuard::Checked)
                        .map_err(|error| PoisonError::new(poisoned(error)))
                }
            }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            match self {
                Self::Real(guard) => guard,
                Self::Checked(guard) => guard,
            }
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            match self {
                Self::Real(guard) => guard,
                Self::Checked(guard) => guard,
            }
        }
    }

    impl Default for AtomicU64 {
        fn default() -> Self {
            if MODELLING.get() {
                Self::Checked(checked::atomic::AtomicU64::new(0))
            } else {
                Self::Real(std::sync::atomic::AtomicU64::new(0))
            }
        }
    }

    impl AtomicU64 {
        pub(in crate::records) fn load(&self, ordering: Ordering) -> u64 {
            match self {
                Self::Real(number) => number.load(ordering),
                Self::Checked(number) => number.load(ordering),
            }
        }

        pub(in crate::records) fn fetch_add(&self, more: u64, ordering: Ordering) -> u64 {
            match self {
                Self::Real(number) => number.fetch_add(more, ordering),
                Self::Checked(number) => number.fetch_add(more, ordering),
            }
        }
    }
}
