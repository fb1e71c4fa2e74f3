//! The binary: arguments to one command to an exit code.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use screen_record_gateway::cli;

/// Requests are made of many small allocations; the system's allocator takes about twice as long over them
/// and gives less of the memory back.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    Box::pin(cli::run(std::env::args_os())).await
}
