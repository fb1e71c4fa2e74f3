//! The lock that the single flight and the generations of loads are made of.
//!
//! That of `parking_lot`. In tests it is that of the model checker while a model runs, so that `model`
//! drives the very code that is shipped.

#[cfg(not(test))]
pub(super) use parking_lot::Mutex;

#[cfg(test)]
pub(super) use modelled::{Mutex, modelling};

#[cfg(test)]
mod modelled {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;

    thread_local! {
        /// Whether a model runs in this thread. Its own threads are all carried by this one.
        static MODELLING: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs a model, in which locks are the model checker's.
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

    /// That of `parking_lot`, or the model checker's.
    #[derive(Debug)]
    pub(in crate::records) enum Mutex<T> {
        Real(parking_lot::Mutex<T>),
        Checked(shuttle::sync::Mutex<T>),
    }

    pub(in crate::records) enum MutexGuard<'l, T> {
        Real(parking_lot::MutexGuard<'l, T>),
        Checked(shuttle::sync::MutexGuard<'l, T>),
    }

    impl<T> Mutex<T> {
        pub(in crate::records) fn new(value: T) -> Self {
            if MODELLING.get() {
                Self::Checked(shuttle::sync::Mutex::new(value))
            } else {
                Self::Real(parking_lot::Mutex::new(value))
            }
        }

        pub(in crate::records) fn lock(&self) -> MutexGuard<'_, T> {
            match self {
                Self::Real(mutex) => MutexGuard::Real(mutex.lock()),
                Self::Checked(mutex) => {
                    MutexGuard::Checked(mutex.lock().unwrap_or_else(PoisonError::into_inner))
                }
            }
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
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
}
