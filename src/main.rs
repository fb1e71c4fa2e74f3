//! The binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    screen_record_gateway::cli::run(std::env::args_os(), std::env::vars_os())
}
