//! How resolvers return the fields of the upstream.

use std::borrow::Cow;
use std::sync::Arc;

use async_graphql::parser::types;
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, OutputType, Positioned, ServerResult, Value};

use crate::domain::{Failure, Field, OpenEnum};
use crate::graphql::context::OperationContext;

/// A field, shown.
pub(crate) fn shown<T, U>(
    field: Field<T>,
    show: impl FnOnce(T) -> U,
) -> Option<Result<U, Failure>> {
    field.map(|read| read.map(show).map_err(Failure::Unreadable))
}

/// A field by reference, shown.
pub(crate) fn read<'r, T, U>(
    field: &'r Field<T>,
    show: impl FnOnce(&'r T) -> U,
) -> Option<Result<U, Failure>> {
    shown(field.as_ref().map(|read| read.as_ref().map_err(Arc::clone)), show)
}

pub(crate) fn text(field: &Field<Arc<str>>) -> Option<Result<Counted<&str>, Failure>> {
    read(field, |text| Counted(&**text))
}

pub(crate) fn raw<T>(field: &Field<OpenEnum<T>>) -> Option<Result<Counted<&str>, Failure>> {
    read(field, |value| Counted(&*value.raw))
}

/// A text whose length the upstream chooses. It counts towards the size of the response. Once that is
/// exceeded it is `null`: the response will be replaced by an error.
pub(crate) struct Counted<T>(pub(crate) T);

impl<T: OutputType> OutputType for Counted<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(
        &self,
        context: &ContextSelectionSet<'_>,
        field: &Positioned<types::Field>,
    ) -> ServerResult<Value> {
        let size = context.data_unchecked::<OperationContext>().size();
        if size.is_exceeded() {
            return Ok(Value::Null);
        }
        let value = self.0.resolve(context, field).await?;
        if let Value::String(text) = &value {
            size.add_text(text);
        }
        Ok(value)
    }
}
