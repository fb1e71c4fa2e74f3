//! The simulated upstream's links, followed to the video.

use std::time::Duration;

use screen_record_gateway::clock::Clock;
use screen_record_gateway::simulator::{Simulator, SimulatorConfig};

use crate::support::{Gateway, HttpAnswer, Reply, ScriptedUpstream, TOKEN};

/// A gateway in front of a simulated upstream, whose clock a test can move.
struct Simulated {
    gateway: Gateway,
    clock: Clock,
    /// The fields that select the newest recording with a video.
    list: String,
}

impl Simulated {
    async fn start() -> Self {
        let clock = Clock::default();
        let simulated = SimulatorConfig {
            listen: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
            tokens: vec![TOKEN.to_owned()],
            ..SimulatorConfig::default()
        };
        let simulator = Simulator::bind(simulated, clock.clone()).await.unwrap();
        let endpoint = format!("http://{}", simulator.local_addr().unwrap());
        let filter = "filter: { status: UPLOAD_COMPLETED }, first: 1";
        let list = format!("projectId: \"{}\", {filter}", simulator.sample().0);
        tokio::spawn(simulator.run(std::future::pending()));
        let unused = ScriptedUpstream::start(|_| Reply::Hang).await;
        let gateway = Gateway::configured(unused, |config| {
            config.upstream.default.as_mut().unwrap().endpoint = endpoint.parse().unwrap();
        })
        .await;
        Self { gateway, clock, list }
    }

    async fn link(&self) -> String {
        let fields = "nodes { downloadLink { url expiresAt } }";
        let answer =
            self.gateway.query(&format!("{{ screenRecords({}) {{ {fields} }} }}", self.list)).await;
        let link = &answer["data"]["screenRecords"]["nodes"][0]["downloadLink"];
        let expires_at: jiff::Timestamp = link["expiresAt"].as_str().unwrap().parse().unwrap();
        let validity = expires_at.duration_since(jiff::Timestamp::now());
        assert!((880..=900).contains(&validity.as_secs()), "{validity}");
        link["url"].as_str().unwrap().to_owned()
    }

    async fn get(&self, url: &str, range: Option<&str>) -> (HttpAnswer, String) {
        let mut request = self.gateway.http().get(url);
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let response = request.send().await.unwrap();
        let length = response.content_length().unwrap().to_string();
        (HttpAnswer::of(response).await, length)
    }
}

#[tokio::test]
async fn a_link_leads_to_a_video_that_can_be_read_in_ranges() {
    let simulated = Simulated::start().await;
    let url = simulated.link().await;

    let (whole, length) = simulated.get(&url, None).await;

    assert_eq!((whole.status, whole.header("content-type")), (200, "video/webm"));
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let end = length.parse::<u64>().unwrap() - 1;
    assert!(end < 100_000, "{end}");
    for (range, status, content_range, bytes) in [
        ("bytes=0-", 206, format!("bytes 0-{end}/{length}"), end + 1),
        ("bytes=10-19", 206, format!("bytes 10-19/{length}"), 10),
        ("bytes=10-999999999", 206, format!("bytes 10-{end}/{length}"), end - 9),
        ("bytes=999999999-", 416, format!("bytes */{length}"), 40),
        ("bytes=-4", 200, String::new(), end + 1),
        ("bytes=19-10", 200, String::new(), end + 1),
        ("bytes=0-1,5-6", 200, String::new(), end + 1),
        ("pages=1-2", 200, String::new(), end + 1),
    ] {
        let (part, length) = simulated.get(&url, Some(range)).await;

        let shown = (part.status, part.header("content-range"));
        assert_eq!(shown, (status, &*content_range), "for {range}");
        assert_eq!(length, bytes.to_string(), "for {range}");
    }
}

#[tokio::test]
async fn a_link_that_has_expired_or_was_changed_is_refused() {
    let simulated = Simulated::start().await;
    let url = simulated.link().await;
    let changed = url.replace("Expires=", "Expires=9");

    let (refused, _) = simulated.get(&changed, None).await;
    simulated.clock.advance(Duration::from_secs(901));
    let (expired, _) = simulated.get(&url, None).await;

    assert_eq!((refused.status, expired.status), (403, 403));
}
