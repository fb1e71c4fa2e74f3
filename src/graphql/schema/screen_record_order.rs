//! How a list of recordings is sorted.

use async_graphql::InputObject;

use super::screen_record_order_field::ScreenRecordOrderField;
use crate::domain::Direction;

/// Order of a list of recordings.
#[derive(Default, InputObject)]
pub(crate) struct ScreenRecordOrder {
    /// Field to sort by.
    #[graphql(default)]
    pub(super) field: ScreenRecordOrderField,
    /// Direction of the order.
    #[graphql(default)]
    pub(super) direction: Direction,
}
