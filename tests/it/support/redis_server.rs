//! A real Redis on a free port.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use screen_record_gateway::config::{RedisNode, RedisServers, SharedCacheConfig};

use super::TestFile;

/// `redis-server` with nothing in it; ends when dropped.
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
    /// Its files, removed at the end.
    _file: Option<TestFile>,
}

impl RedisServer {
    pub(crate) async fn start() -> Self {
        let mut server = Self::stopped();
        server.begin().await;
        server
    }

    /// A server that is not started yet.
    pub(crate) fn stopped() -> Self {
        Self::of(&["--save", "", "--appendonly", "no"], None)
    }

    /// The only node of a cluster.
    pub(crate) async fn cluster() -> Self {
        let file = TestFile::of("");
        let path = file.0.to_string_lossy().into_owned();
        let mut server = Self::of(
            &["--save", "", "--cluster-enabled", "yes", "--cluster-config-file", &path],
            Some(file),
        );
        server.begin().await;
        server.run::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
        server
    }

    /// The only sentinel of a service named `main`, led by `leader`.
    pub(crate) async fn sentinel(leader: &Self) -> Self {
        let file = TestFile::of(&format!("sentinel monitor main 127.0.0.1 {} 1\n", leader.port));
        let path = file.0.to_string_lossy().into_owned();
        let mut server = Self::of(&[&path, "--sentinel"], Some(file));
        server.begin().await;
        server
    }

    fn of(arguments: &[&str], file: Option<TestFile>) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { port, arguments, child: None, _file: file }
    }

    /// Starts it, empty, and waits until it answers.
    pub(crate) async fn begin(&mut self) {
        let directory = std::env::temp_dir();
        let child = Command::new("redis-server")
            .args(&self.arguments)
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--dir"])
            .arg(directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("these tests need Debian's package redis-server");
        self.child = Some(child);
        let answering = async {
            while self.try_connect().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), answering).await.expect("redis never came");
    }

    /// Kills it, like a failing machine.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Suspends it, like a process that hangs, or resumes it.
    pub(crate) fn hang(&self, hangs: bool) {
        let signal = if hangs { "-STOP" } else { "-CONT" };
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        self.try_connect().await.unwrap()
    }

    /// Runs one command.
    pub(crate) async fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let (name, arguments) = words.split_first().unwrap();
        let mut command = redis::cmd(name);
        for argument in arguments {
            command.arg(argument);
        }
        command.query_async(&mut self.connection().await).await.unwrap()
    }

    /// The key of the only entry.
    pub(crate) async fn only_entry(&self) -> String {
        let names: Vec<String> = self.run(&["KEYS", "srg:*:record:*"]).await;
        assert_eq!(names.len(), 1, "{names:?}");
        names.into_iter().next().unwrap()
    }

    /// The gateway's settings for it.
    pub(crate) fn config(&self) -> SharedCacheConfig {
        SharedCacheConfig {
            servers: RedisServers { nodes: vec![self.node()], ..RedisServers::default() },
            // Far more than it takes, so that no test fails because the machine is busy.
            timeout: Duration::from_secs(1),
            ..SharedCacheConfig::default()
        }
    }

    pub(crate) fn node(&self) -> RedisNode {
        RedisNode { host: "127.0.0.1".to_owned(), port: self.port }
    }

    async fn try_connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let client = redis::Client::open(("127.0.0.1", self.port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await?;
        Ok(connection)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
