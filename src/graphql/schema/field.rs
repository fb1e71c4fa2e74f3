//! Fields that were read one by one, as resolvers return them.

use std::sync::Arc;

use super::counted::Counted;
use crate::domain::{Failure, Field, OpenEnum};

/// A field that is kept, shown.
pub(crate) fn read<'r, T, U>(
    field: &'r Field<T>,
    show: impl Fn(&'r T) -> U,
) -> Option<Result<U, Failure>> {
    field.as_ref().map(|read| match read {
        Ok(value) => Ok(show(value)),
        Err(unreadable) => Err(Failure::Unreadable(Arc::clone(unreadable))),
    })
}

/// A field that was handed out, shown.
pub(crate) fn shown<T, U>(
    field: Field<T>,
    show: impl FnOnce(T) -> U,
) -> Option<Result<U, Failure>> {
    field.map(|read| read.map(show).map_err(Failure::Unreadable))
}

pub(crate) fn text(field: &Field<Arc<str>>) -> Option<Result<Counted<&str>, Failure>> {
    read(field, |text| Counted(&**text))
}

pub(crate) fn raw<T>(field: &Field<OpenEnum<T>>) -> Option<Result<Counted<&str>, Failure>> {
    read(field, |value| Counted(&*value.raw))
}
