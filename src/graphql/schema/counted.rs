//! Values whose length the upstream chooses.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, OutputType, Positioned, ServerResult, Value};

use crate::graphql::context::OperationContext;

/// A text that counts towards the size of the response. Once that is exceeded it is `null`: the response
/// will be replaced by an error.
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
        field: &Positioned<Field>,
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
