//! The types of the GraphQL schema, one in a file, and their resolvers. Their doc comments are the
//! schema's descriptions.

pub(super) mod query;
pub(super) mod subscription;
mod entity;
mod project;
mod screen_record;
mod screen_record_filter;
mod screen_record_order;
mod screen_record_statistics;
mod screen_record_statistics_group;
mod screen_record_order_field;
mod screen_record_change;
mod desktop;
mod download_link;
mod desktop_operation;
mod connection;
mod page_info;
pub(super) mod scalars;
mod field;
