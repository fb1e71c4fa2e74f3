//! See `screen_record_gateway::fuzzing::wire`.
#![no_main]

use screen_record_gateway::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::wire(bytes));
