//! A shutdown lets requests in progress finish.

use serde_json::json;

use crate::support::{Gateway, RECORD, Reply, ScriptedUpstream, TOKEN, screen_record};

#[tokio::test]
async fn during_a_shutdown_requests_in_progress_are_answered_and_readyz_is_503() {
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD }))).await;
    upstream.hold();
    let mut gateway = Gateway::before(upstream.clone()).await;
    let body = json!({ "query": screen_record("id") }).to_string();
    let under_way = gateway
        .http()
        .post(gateway.url())
        .header("content-type", "application/json")
        .header("x-auth-token", TOKEN)
        .body(body)
        .send();
    let under_way = tokio::spawn(under_way);
    upstream.arrived(1).await;

    gateway.stop();
    let not_ready = async {
        while gateway.admin_get("/readyz").await.0 == 200 {
            tokio::task::yield_now().await;
        }
    };
    not_ready.await;
    let refused = tokio::net::TcpStream::connect(gateway.address).await;
    upstream.release();
    let answer = under_way.await.unwrap().unwrap();
    gateway.stopped().await;

    assert!(refused.is_err(), "a new connection was accepted");
    assert_eq!(answer.status().as_u16(), 200);
    assert!(answer.text().await.unwrap().contains(RECORD));
}
