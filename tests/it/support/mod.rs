//! The harness: the real app on free ports, in front of an upstream that a test scripts.

mod gateway;
mod scripted;
mod files;
mod issuer;
mod authority;
mod socket;
mod redis_server;
mod slow_way;
mod closing;
mod http2;
mod nginx;
mod log;
mod receiver;
mod raw;

pub(crate) use authority::{Authority, Identity, TlsWay};
pub(crate) use closing::{Closing, ClosingUpstream};
pub(crate) use files::TestFile;
pub(crate) use gateway::{
    Gateway, HttpAnswer, PROJECT, RECORD, TOKEN, client, config_for, logs_in, patient,
    screen_record,
};
pub(crate) use http2::{Http2Upstream, Turn};
pub(crate) use issuer::{AUDIENCE, ISSUER, Issuer, base64url, key_set, message, seconds_from_now};
pub(crate) use log::{keep_log, log};
pub(crate) use nginx::Nginx;
pub(crate) use raw::RawResponse;
pub(crate) use receiver::{Receiver, Spanned, tree};
pub(crate) use redis_server::RedisServer;
pub(crate) use scripted::{Reply, ScriptedUpstream, Seen};
pub(crate) use slow_way::SlowWay;
pub(crate) use socket::{Said, Socket};
