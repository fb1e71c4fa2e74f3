//! How often memory is asked for while a query is answered from the cache.
//!
//! A process of its own, for the allocator that counts. Server and client run on one thread, so what is
//! counted is the whole way from the socket and back to it.
#![expect(clippy::unwrap_used, reason = "what the test sets up itself has to work")]
#![expect(clippy::disallowed_methods, reason = "the test starts servers of its own")]
#![expect(clippy::panic, reason = "settings that the test itself wrote have to be accepted")]

use std::net::{Ipv4Addr, SocketAddr};

use screen_record_gateway::app::App;
use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::{Config, Environment, Invocation};
use screen_record_gateway::simulator::{DEMO_TOKEN, Simulator, SimulatorConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

/// The most allocations allowed for one query, which are as many as today: hyper's for the request, the caller's
/// token, the request's id, the operation, the log line, and the response with its headers.
const MOST: u64 = 16;
const MEASURED: u64 = 100;

#[test]
fn a_cached_query_asks_for_memory_a_few_times() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (mut socket, request) = runtime.block_on(async {
        let (address, request) = gateway().await;
        let mut socket = TcpStream::connect(address).await.unwrap();
        // The first reads from the upstream; pools and tables grow with the next few.
        for _ in 0..20 {
            ask(&mut socket, &request).await;
        }
        (socket, request)
    });

    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            for _ in 0..MEASURED {
                ask(&mut socket, &request).await;
            }
        });
    });

    let each = counted.count_total / MEASURED;
    println!("{each} allocations for a query, {} bytes", counted.bytes_total / MEASURED);
    assert!((1..=MOST).contains(&each), "{each} allocations for a query");
}

/// Sends a query and takes its answer, without asking for memory itself.
async fn ask(socket: &mut TcpStream, request: &[u8]) {
    let (mut room, mut filled) = ([0_u8; 4096], 0);
    socket.write_all(request).await.unwrap();
    // Up to the end of the only answer.
    while !room.get(..filled).unwrap().ends_with(b"}}}") {
        let read = socket.read(room.get_mut(filled..).unwrap()).await.unwrap();
        assert!(read > 0, "the answer ended early");
        filled += read;
    }
    let answer = room.get(..filled).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let names = |name: &[u8]| answer.windows(name.len()).any(|part| part == name);
    assert!(names(b"desktopName") && !names(b"errors"));
}

/// A gateway in front of a simulated upstream, and a query for one of its records.
async fn gateway() -> (SocketAddr, Vec<u8>) {
    let clock = Clock::default();
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let [demo, _] = SimulatorConfig::for_demo();
    let simulated = SimulatorConfig { listen, ..demo };
    let simulator = Simulator::bind(simulated, clock.clone()).await.unwrap();
    let (project, record) = simulator.sample();
    let query = "query($p: ID!, $r: ID!) { screenRecord(projectId: $p, id: $r) { id desktopName size status startTime } }";
    let body = json!({ "query": query, "variables": { "p": project, "r": record } }).to_string();
    let config = config(&format!("http://{}", simulator.local_addr().unwrap()));
    tokio::spawn(simulator.run(std::future::pending()));
    let app = App::build(&config, clock).await.unwrap();
    let address = app.local_addr().unwrap();
    tokio::spawn(app.run(std::future::pending()));
    let length = body.len();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\nx-auth-token: \
         {DEMO_TOKEN}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    (address, request.into_bytes())
}

fn config(upstream: &str) -> Config {
    let args = ["gateway", "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        .into_iter()
        .chain([
            "--cache-ttl-final",
            "1d",
            "--cache-ttl-active",
            "1d",
            "--upstream-endpoint",
            upstream,
        ]);
    let invocation = Invocation::parse(args.map(Into::into), &Environment::of_process());
    match invocation {
        Ok(Invocation::Serve(loaded)) => loaded.settings,
        _ => panic!("the settings were refused"),
    }
}
