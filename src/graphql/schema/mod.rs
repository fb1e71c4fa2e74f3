//! The types of the GraphQL schema, one in a file, and their resolvers. Their doc comments are the
//! schema's descriptions.

pub(super) mod query;
pub(super) mod subscription;
pub(super) mod entity;
mod project;
mod screen_record;
mod screen_record_list;
mod screen_record_type;
mod screen_record_status;
mod screen_record_filter;
mod screen_record_order;
mod screen_record_statistics;
mod screen_record_statistics_group;
mod screen_record_group;
mod screen_record_order_field;
mod order_direction;
mod screen_record_change;
mod screen_record_change_kind;
mod desktop;
mod download_link;
mod desktop_operation;
mod desktop_operation_type;
mod desktop_operation_level;
mod desktop_operation_filter;
mod connection;
mod page_info;
pub(super) mod scalars;
mod field;
mod counted;
