//! A slow proxy to a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Forwards bytes in both directions; those of the server arrive late.
pub(crate) struct SlowWay {
    pub(crate) port: u16,
    delay_ms: Arc<AtomicU64>,
}

impl SlowWay {
    /// A proxy to a port of this machine, without a delay yet.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let delay_ms = Arc::new(AtomicU64::new(0));
        let delay = Arc::clone(&delay_ms);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, server, Arc::clone(&delay)));
            }
        });
        Self { port, delay_ms }
    }

    pub(crate) fn delay(&self, by: Duration) {
        self.delay_ms.store(by.as_millis().try_into().unwrap(), Ordering::Relaxed);
    }
}

async fn pass_on(client: TcpStream, server: u16, delay: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let there = tokio::io::copy(&mut from_client, &mut to_server);
    let back = async {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            tokio::time::sleep(Duration::from_millis(delay.load(Ordering::Relaxed))).await;
            if to_client.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = there => {}
        () = back => {}
    }
}
