//! Debian's nginx as an upstream: HTTP/2 over TLS, on a free port.

use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Authority;

/// `nginx`; ends when dropped.
pub(crate) struct Nginx {
    pub(crate) url: url::Url,
    directory: PathBuf,
    child: Child,
}

impl Nginx {
    /// Answers every request with a body, and closes a connection after `keepalive_requests`.
    pub(crate) async fn start(authority: &Authority, keepalive_requests: u32, body: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory =
            std::env::temp_dir().join(format!("gateway-test-nginx-{}-{port}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let identity = authority.issue();
        fs::write(directory.join("certificate.pem"), identity.certificate).unwrap();
        fs::write(directory.join("key.pem"), identity.key).unwrap();
        fs::write(directory.join("nginx.conf"), settings(port, keepalive_requests, body)).unwrap();
        let child = Command::new("nginx")
            .args(["-c", "nginx.conf", "-e", "error.log", "-p"])
            .arg(&directory)
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need Debian's package nginx");
        let nginx =
            Self { url: format!("https://localhost:{port}").parse().unwrap(), directory, child };
        let listening = async {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), listening).await.expect("nginx never came");
        nginx
    }

    /// The protocol and the status of each answered request.
    pub(crate) fn answered(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.join("access.log")).unwrap();
        log.lines().map(str::to_owned).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn settings(port: u16, keepalive_requests: u32, body: &str) -> String {
    let mut paths = String::new();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(paths, "{kind}_temp_path {kind};").unwrap();
    }
    format!(
        "daemon off;
         master_process off;
         pid nginx.pid;
         events {{ worker_connections 2048; }}
         http {{
             {paths}
             log_format short '$server_protocol $status';
             access_log access.log short;
             keepalive_requests {keepalive_requests};
             server {{
                 listen 127.0.0.1:{port} ssl http2;
                 ssl_certificate certificate.pem;
                 ssl_certificate_key key.pem;
                 default_type application/json;
                 location / {{ return 200 '{body}'; }}
             }}
         }}"
    )
}
