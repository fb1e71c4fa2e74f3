//! See `screen_record_gateway::fuzzing::connection`.
#![no_main]

use screen_record_gateway::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::connection(bytes));
