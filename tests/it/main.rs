//! The real app on free ports, in front of an upstream that each test scripts.
#![expect(clippy::disallowed_methods, reason = "the harness starts servers of its own")]
#![expect(clippy::unwrap_used, reason = "what the harness sets up itself has to work")]
#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

mod support;

mod admin;
mod audit;
mod auth;
mod batching;
mod boundaries;
mod callers;
mod check;
mod client_apps;
mod commands;
mod codings;
mod compression;
mod console;
mod downloads;
mod error_bodies;
mod errors;
mod explain;
mod keep_alive;
mod fairness;
mod filters;
mod http_messages;
mod browsers;
mod federation;
mod freshness;
mod grants;
mod graphql_http;
mod imports;
mod response_cache;
mod limits;
mod lists;
mod login;
mod metadata;
mod persisted;
mod projects;
mod purge;
mod rate;
mod security_page;
mod record;
mod reload;
mod resilience;
mod response_size;
mod revocation;
mod schema_file;
mod shared_cache;
mod secrets;
mod settings;
mod shutdown;
mod simulator;
mod slow_clients;
mod specification;
mod stale;
mod statistics;
mod subscription;
mod traces;
mod tls;
mod trusted;
mod unprocessed;
mod upstream_ca;
mod videos;
mod watched_lists;
mod websocket;
