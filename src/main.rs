//! The binary: arguments to one command to an exit code.

use std::process::ExitCode;

use screen_record_gateway::cli;

#[tokio::main]
async fn main() -> ExitCode {
    cli::run(std::env::args_os()).await
}
