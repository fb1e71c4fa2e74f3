//! The harness: the real app on free ports, in front of an upstream that does what a test says.

mod gateway;
mod scripted;

pub(crate) use gateway::{Gateway, HttpAnswer, PROJECT, RECORD, TOKEN, screen_record};
pub(crate) use scripted::{Reply, ScriptedUpstream, Seen};
