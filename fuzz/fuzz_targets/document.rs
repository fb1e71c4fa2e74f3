//! See `screen_record_gateway::fuzzing::document`.
#![no_main]

use screen_record_gateway::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::document(bytes));
