//! The primitives that the single flight and the generations of loads are made of.
//!
//! The standard library's. In tests they are those of the model checker while a model runs, so that
//! `model` drives the very code that is shipped.

#[cfg(not(test))]
pub(super) use std::sync::{Mutex, MutexGuard, RwLock};

#[cfg(test)]
pub(super) use modelled::{Mutex, MutexGuard, RwLock, modelling};

#[cfg(test)]
mod modelled {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::LockResult;
    use std::sync::PoisonError;

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

    /// Declares a lock that is the standard library's or the model checker's, and its guards.
    macro_rules! lock {
        ($lock:ident { $($method:ident -> $guard:ident),* }) => {
            /// The standard library's, or the model checker's.
            #[derive(Debug)]
            pub(in crate::records) enum $lock<T> {
                Real(std::sync::$lock<T>),
                Checked(checked::$lock<T>),
            }

            impl<T> $lock<T> {
                pub(in crate::records) fn new(value: T) -> Self {
                    if MODELLING.get() {
                        Self::Checked(checked::$lock::new(value))
                    } else {
                        Self::Real(std::sync::$lock::new(value))
                    }
                }

                $(
                    pub(in crate::records) fn $method(&self) -> LockResult<$guard<'_, T>> {
                        match self {
                            Self::Real(lock) => match lock.$method() {
                                Ok(guard) => Ok($guard::Real(guard)),
                                Err(error) => {
                                    Err(PoisonError::new($guard::Real(error.into_inner())))
                                }
                            },
                            Self::Checked(lock) => match lock.$method() {
                                Ok(guard) => Ok($guard::Checked(guard)),
                                Err(error) => {
                                    Err(PoisonError::new($guard::Checked(error.into_inner())))
                                }
                            },
                        }
                    }
                )*
            }

            impl<T: Default> Default for $lock<T> {
                fn default() -> Self {
                    Self::new(T::default())
                }
            }

            $(
                /// The guard of the lock.
                pub(in crate::records) enum $guard<'l, T> {
                    Real(std::sync::$guard<'l, T>),
                    Checked(checked::$guard<'l, T>),
                }

                impl<T> Deref for $guard<'_, T> {
                    type Target = T;

                    fn deref(&self) -> &T {
                        match self {
                            Self::Real(guard) => guard,
                            Self::Checked(guard) => guard,
                        }
                    }
                }
            )*
        };
    }

    /// Lets a guard change what it guards.
    macro_rules! writable {
        ($($guard:ident),*) => {
            $(impl<T> DerefMut for $guard<'_, T> {
                fn deref_mut(&mut self) -> &mut T {
                    match self {
                        Self::Real(guard) => guard,
                        Self::Checked(guard) => guard,
                    }
                }
            })*
        };
    }

    lock!(Mutex { lock -> MutexGuard });
    lock!(RwLock { read -> RwLockReadGuard, write -> RwLockWriteGuard });
    writable!(MutexGuard, RwLockWriteGuard);
}
