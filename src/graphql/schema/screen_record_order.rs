//! How a list of recordings is sorted.

use async_graphql::InputObject;

use super::order_direction::OrderDirection;
use super::screen_record_order_field::ScreenRecordOrderField;

/// How a list of recordings is sorted.
#[derive(Default, InputObject)]
pub(crate) struct ScreenRecordOrder {
    /// What it is sorted by.
    #[graphql(default)]
    pub(super) field: ScreenRecordOrderField,
    /// Which way.
    #[graphql(default)]
    pub(super) direction: OrderDirection,
}
