//! What the programs of the benchmark share: requests and what their answers have to hold, plans for
//! the load generator, a cheap HTTP client, processor time, the records of the upstream.

pub mod plan;
pub mod asks;
pub mod client;
pub mod process;
pub mod records;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;

/// Serves on a free port of the loopback interface, and prints the address.
pub async fn serve(router: Router) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    announce(listener.local_addr()?)?;
    axum::serve(listener, router).await?;
    Ok(())
}

fn announce(address: SocketAddr) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "http://{address}")?;
    Ok(out.flush()?)
}
