//! The cache that replicas share, in a real Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use screen_record_gateway::config::{CredentialsMode, RedisKind};
use serde_json::{Value, json};

use crate::support::{
    Gateway, HttpAnswer, PROJECT, RECORD, RedisServer, Reply, ScriptedUpstream, SlowWay, TOKEN,
    screen_record,
};

const UP: &str = "gateway_shared_cache_up 1";
const WRITTEN: &str = "gateway_shared_cache_writes_total{outcome=\"written\"} 1";

async fn upstream() -> ScriptedUpstream {
    ScriptedUpstream::start(|seen| {
        if seen.path.ends_with("download-address") {
            let link = json!({ "id": RECORD, "download_url": "https://video.example/secret-link" });
            return Reply::json(200, &json!({ "address": [link] }));
        }
        let id = seen.path.rsplit('/').next();
        Reply::json(200, &json!({ "id": id, "status": "RECORDING" }))
    })
    .await
}

/// A replica whose upstream others share.
async fn replica(upstream: &ScriptedUpstream, redis: &RedisServer) -> Gateway {
    let gateway = alone(upstream, redis).await;
    gateway.until_metric(UP).await;
    gateway
}

/// A replica that may not have reached Redis yet.
async fn alone(upstream: &ScriptedUpstream, redis: &RedisServer) -> Gateway {
    Gateway::configured(upstream.clone(), |config| config.cache.shared = Some(redis.config())).await
}

/// Two replicas; the first has read the record and written it to Redis.
async fn two_replicas_with_one_cached_record() -> (ScriptedUpstream, RedisServer, [Gateway; 2]) {
    let (upstream, redis) = (upstream().await, RedisServer::start().await);
    let replicas = [replica(&upstream, &redis).await, replica(&upstream, &redis).await];
    replicas[0].query(&screen_record("id")).await;
    replicas[0].until_metric(WRITTEN).await;
    (upstream, redis, replicas)
}

async fn purge(gateway: &Gateway, body: &Value) -> HttpAnswer {
    let address = format!("http://{}/purge", gateway.admin);
    let request = gateway.http().post(address).header("content-type", "application/json");
    HttpAnswer::of(request.body(body.to_string()).send().await.unwrap()).await
}

fn is_the_record(answer: &Value) -> bool {
    answer["data"]["screenRecord"]["id"] == RECORD
}

/// Repeats a query until the replica calls the upstream, which it does only if nothing is cached.
async fn until_read_anew(gateway: &Gateway, upstream: &ScriptedUpstream) {
    let before = upstream.requests();
    gateway.until(&screen_record("id"), |_| upstream.requests() > before).await;
}

#[tokio::test]
async fn a_record_read_by_one_replica_is_served_by_another_without_a_call() {
    let (upstream, _redis, [_, other]) = two_replicas_with_one_cached_record().await;

    let answer = other.post(&screen_record("id"), &[("x-auth-token", TOKEN)]).await;

    assert!(is_the_record(&answer.json));
    assert_eq!(upstream.requests(), 1);
    assert!(answer.header("cache-status").contains("hit"), "{}", answer.header("cache-status"));
}

#[tokio::test]
async fn a_record_cached_for_one_caller_is_read_again_for_another() {
    let (upstream, _redis, [_, other]) = two_replicas_with_one_cached_record().await;

    other.query_as("token-of-another", &screen_record("id")).await;

    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn neither_a_token_nor_a_link_to_a_video_is_ever_in_redis() {
    let (_upstream, redis, [first, _]) = two_replicas_with_one_cached_record().await;

    let answer = first.query(&screen_record("id downloadUrl")).await;
    // Everything that is written after the link has been written now.
    first.query_as("token-of-another", &screen_record("id")).await;
    first.until_metric("gateway_shared_cache_writes_total{outcome=\"written\"} 2").await;

    let link = &answer["data"]["screenRecord"]["downloadUrl"];
    assert_eq!(link, "https://video.example/secret-link");
    let names: Vec<String> = redis.run(&["KEYS", "*"]).await;
    assert!(!names.is_empty());
    for name in names {
        let value: Vec<u8> = redis.run(&["GET", &name]).await;
        let shown = format!("{name} {}", String::from_utf8_lossy(&value));
        assert!(!shown.contains("secret-link") && !shown.contains("token-of"), "{shown}");
    }
}

#[tokio::test]
async fn replicas_that_miss_the_same_record_at_once_make_one_call() {
    let (upstream, redis) = (upstream().await, RedisServer::start().await);
    let [first, second] = [replica(&upstream, &redis).await, replica(&upstream, &redis).await];
    upstream.hold();
    let query = screen_record("id");

    let releasing = async {
        // Both have found nothing in Redis before any answer arrives.
        let missed = "gateway_shared_cache_reads_total{outcome=\"miss\"} 1";
        first.until_metric(missed).await;
        second.until_metric(missed).await;
        upstream.arrived(1).await;
        upstream.release();
    };
    let (one, other, ()) = tokio::join!(first.query(&query), second.query(&query), releasing);

    assert!(is_the_record(&one) && is_the_record(&other));
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn a_shared_entry_keeps_its_age_on_another_replica() {
    let (upstream, redis, [_, other]) = two_replicas_with_one_cached_record().await;
    // Fresh for five seconds, kept for ten minutes after that; three seconds pass.
    let name = redis.only_entry().await;
    redis.run::<()>(&["PEXPIRE", &name, "602000"]).await;

    let answer = other.post(&screen_record("id"), &[("x-auth-token", TOKEN)]).await;

    assert_eq!(upstream.requests(), 1);
    assert_eq!(answer.header("age"), "3");
}

#[tokio::test]
async fn a_stale_shared_entry_is_read_again_and_replaces_a_failure() {
    let (upstream, redis, [_, other]) = two_replicas_with_one_cached_record().await;
    let name = redis.only_entry().await;
    redis.run::<()>(&["PEXPIRE", &name, "300000"]).await;
    upstream.answer_with(|_| Reply::json(503, &json!({})));

    let answer = other.query(&screen_record("id")).await;

    assert_eq!(upstream.requests(), 2);
    assert!(is_the_record(&answer));
    assert_eq!(answer["extensions"]["stale"], true);
}

#[tokio::test]
async fn a_request_with_no_cache_is_answered_by_the_upstream() {
    let (upstream, _redis, [_, other]) = two_replicas_with_one_cached_record().await;

    let headers = [("x-auth-token", TOKEN), ("cache-control", "no-cache")];
    other.post(&screen_record("id"), &headers).await;

    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn shared_entries_of_another_version_and_broken_ones_are_ignored() {
    for value in ["\u{2}{}", "", "\u{1}{\"stamps\":", "not at all"] {
        let (upstream, redis, [_, other]) = two_replicas_with_one_cached_record().await;
        let name = redis.only_entry().await;
        redis.run::<()>(&["SET", &name, value, "PX", "60000"]).await;

        let answer = other.query(&screen_record("id")).await;

        assert!(is_the_record(&answer), "with {value:?}");
        assert_eq!(upstream.requests(), 2, "with {value:?}");
        other.until_metric("gateway_shared_cache_reads_total{outcome=\"broken\"} 1").await;
    }
}

#[tokio::test]
async fn deployments_with_another_identity_or_secret_share_no_entries() {
    let (upstream, redis, _first) = two_replicas_with_one_cached_record().await;
    let gateways_own = CredentialsMode::Metadata(screen_record_gateway::config::MetadataService {
        endpoint: "http://127.0.0.1:9".parse().unwrap(),
        project_id: None,
    });
    let other_secret = Gateway::configured(upstream.clone(), |config| {
        let secret = screen_record_gateway::domain::Secret::new("another secret");
        config.cache.shared = Some(redis.config());
        config.cache.key_secret = Some(secret);
    })
    .await;
    let other_identity = Gateway::configured(upstream.clone(), |config| {
        config.cache.shared = Some(redis.config());
        config.upstream.credentials = gateways_own;
    })
    .await;

    for gateway in [&other_secret, &other_identity] {
        gateway.until_metric(UP).await;
        gateway.query(&screen_record("id")).await;

        gateway.until_metric("gateway_shared_cache_reads_total{outcome=\"miss\"} 1").await;
    }
}

#[tokio::test]
async fn a_purge_drops_the_record_from_redis_and_every_replica() {
    let scopes = [
        json!({ "projectId": PROJECT, "id": RECORD.replace('-', "") }),
        json!({ "projectId": PROJECT }),
        json!({ "all": true }),
    ];
    for body in scopes {
        let (upstream, redis, [first, other]) = two_replicas_with_one_cached_record().await;
        other.query(&screen_record("id")).await;
        assert_eq!(upstream.requests(), 1);

        let purged = purge(&first, &body).await;

        assert_eq!(purged.status, 200);
        // Redis holds no entry of any caller.
        let third = replica(&upstream, &redis).await;
        third.query(&screen_record("id")).await;
        assert_eq!(upstream.requests(), 2, "after {body}");
        tokio::time::timeout(
            Duration::from_secs(1),
            other.until_metric("gateway_shared_cache_news_total{kind=\"purge\"} 1"),
        )
        .await
        .expect("the news took more than a second");
    }
}

#[tokio::test]
async fn a_record_purged_on_one_replica_is_read_again_on_another() {
    let (upstream, _redis, [first, other]) = two_replicas_with_one_cached_record().await;
    other.query(&screen_record("id")).await;

    purge(&first, &json!({ "all": true })).await;

    until_read_anew(&other, &upstream).await;
}

#[tokio::test]
async fn a_load_in_progress_on_another_replica_does_not_restore_a_purged_record() {
    let (upstream, redis) = (upstream().await, RedisServer::start().await);
    let [first, other] = [replica(&upstream, &redis).await, replica(&upstream, &redis).await];
    upstream.hold();
    let query = screen_record("id");
    let purging = async {
        upstream.arrived(1).await;
        purge(&first, &json!({ "projectId": PROJECT })).await;
        upstream.release();
    };
    tokio::join!(other.query(&query), purging);

    // It was written, but is ignored.
    let third = replica(&upstream, &redis).await;
    third.query(&query).await;

    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn a_refusal_reaches_the_other_replicas() {
    let (upstream, _redis, [first, other]) = two_replicas_with_one_cached_record().await;
    other.query(&screen_record("id")).await;
    upstream.answer_with(|_| Reply::json(403, &json!({})));

    let headers = [("x-auth-token", TOKEN), ("cache-control", "no-cache")];
    first.post(&screen_record("id"), &headers).await;

    let is_refused = |answer: &Value| answer["errors"][0]["extensions"]["code"] == "FORBIDDEN";
    tokio::time::timeout(Duration::from_secs(1), other.until(&screen_record("id"), is_refused))
        .await
        .expect("the news took more than a second");
}

#[tokio::test]
async fn a_refused_token_gets_none_of_its_records_from_any_replica_or_redis() {
    let (upstream, redis, [first, other]) = two_replicas_with_one_cached_record().await;
    let second = format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "second") {{ id }} }}"#);
    first.query(&second).await;
    first.until_metric("gateway_shared_cache_writes_total{outcome=\"written\"} 2").await;
    other.query(&second).await;
    first.query_as("another", &second).await;
    first.until_metric("gateway_shared_cache_writes_total{outcome=\"written\"} 3").await;

    upstream.answer_with(|_| Reply::json(401, &json!({ "error_code": "APIGW.0301" })));
    let headers = [("x-auth-token", TOKEN), ("cache-control", "no-cache")];
    first.post(&screen_record("id"), &headers).await;
    first.until_metric("gateway_shared_cache_undelivered_news 0").await;
    other.until_metric("gateway_shared_cache_news_total{kind=\"refusal\"} 1").await;
    upstream.answer_with(|_| Reply::json(503, &json!({})));

    for replica in [&first, &other, &replica(&upstream, &redis).await] {
        let answer = replica.query(&second).await;
        let code = &answer["errors"][0]["extensions"]["code"];
        assert_eq!(code, "UPSTREAM_UNAVAILABLE", "{answer}");
        let others = replica.query_as("another", &second).await;
        assert_eq!(others["data"]["screenRecord"]["id"], "second", "{others}");
    }
}

#[tokio::test]
async fn a_token_that_is_accepted_again_is_shared_again() {
    let (upstream, redis, [first, _]) = two_replicas_with_one_cached_record().await;
    upstream.answer_with(|_| Reply::json(401, &json!({ "error_code": "APIGW.0301" })));
    let headers = [("x-auth-token", TOKEN), ("cache-control", "no-cache")];
    first.post(&screen_record("id"), &headers).await;
    first.until_metric("gateway_shared_cache_undelivered_news 0").await;

    upstream.answer_with(|_| Reply::json(200, &json!({ "id": RECORD })));
    first.query(&screen_record("id")).await;
    first.until_metric("gateway_shared_cache_writes_total{outcome=\"written\"} 2").await;
    let calls = upstream.requests();
    let answer = replica(&upstream, &redis).await.query(&screen_record("id")).await;

    assert!(is_the_record(&answer));
    assert_eq!(upstream.requests(), calls);
}

#[tokio::test]
async fn a_replica_starts_without_redis_and_uses_it_once_it_is_up() {
    let (upstream, mut redis) = (upstream().await, RedisServer::stopped());
    let first = alone(&upstream, &redis).await;
    let away = first.admin_get("/readyz").await;
    let answer = first.query(&screen_record("id")).await;

    redis.begin().await;
    first.until_metric(UP).await;
    let there = first.admin_get("/readyz").await;
    let headers = [("x-auth-token", TOKEN), ("cache-control", "no-cache")];
    first.post(&screen_record("id"), &headers).await;
    first.until_metric(WRITTEN).await;
    let other = replica(&upstream, &redis).await;
    other.query(&screen_record("id")).await;

    assert!(is_the_record(&answer));
    assert_eq!(away, (200, "ready, but the shared cache does not answer\n".to_owned()));
    assert_eq!(there, (200, "ready\n".to_owned()));
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn a_redis_that_hangs_costs_the_time_limit_a_few_times_and_then_nothing() {
    let (upstream, redis) = (upstream().await, RedisServer::start().await);
    let gateway = Gateway::configured(upstream.clone(), |config| {
        let shared = redis.config();
        let timeout = Duration::from_millis(100);
        config.cache.shared =
            Some(screen_record_gateway::config::SharedCacheConfig { timeout, ..shared });
    })
    .await;
    gateway.until_metric(UP).await;

    redis.hang(true);
    for number in 0..5 {
        let query =
            format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "r{number}") {{ id }} }}"#);
        assert_eq!(gateway.query(&query).await["data"]["screenRecord"]["id"], format!("r{number}"));
    }
    gateway.until_metric("gateway_shared_cache_up 0").await;
    redis.hang(false);

    gateway.until_metric(UP).await;
    assert_eq!(upstream.requests(), 5);
}

/// A replica that reaches Redis through a slow proxy, with a limit of one second for each read.
async fn through_a_slow_proxy(
    upstream: &ScriptedUpstream,
    redis: &RedisServer,
) -> (Gateway, SlowWay) {
    let way = SlowWay::to(redis.port).await;
    let gateway = Gateway::configured(upstream.clone(), |config| {
        let mut shared = redis.config();
        shared.servers.nodes[0].port = way.port;
        config.cache.shared = Some(shared);
    })
    .await;
    gateway.until_metric(UP).await;
    (gateway, way)
}

#[tokio::test]
async fn all_commands_of_a_read_have_one_time_limit_together() {
    let (upstream, redis) = (upstream().await, RedisServer::start().await);
    let (gateway, way) = through_a_slow_proxy(&upstream, &redis).await;
    way.delay(Duration::from_millis(800));

    let begun = Instant::now();
    let answer = gateway.query(&screen_record("id")).await;

    assert!(is_the_record(&answer));
    // The lookup and the lease take 800 ms each.
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_abandoned_lease_is_waited_for_two_seconds_at_most() {
    let (upstream, redis) = (upstream().await, RedisServer::start().await);
    let (gateway, way) = through_a_slow_proxy(&upstream, &redis).await;
    gateway.query(&screen_record("id")).await;
    gateway.until_metric(WRITTEN).await;
    // The entry is gone, and so is the holder of the lease.
    let entry = redis.only_entry().await;
    redis.run::<()>(&["SET", &entry.replace(":record:", ":lease:"), "1", "PX", "60000"]).await;
    redis.run::<()>(&["DEL", &entry]).await;
    gateway.advance(Duration::from_hours(1));
    way.delay(Duration::from_millis(100));

    let begun = Instant::now();
    let answer = gateway.query(&screen_record("id")).await;

    assert!(is_the_record(&answer));
    assert_eq!(upstream.requests(), 2);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn records_of_a_list_are_not_shared_with_other_replicas() {
    let (upstream, redis) = (upstream().await, RedisServer::start().await);
    upstream.answer_with(|seen| match seen.parameter("limit") {
        Some(_) => seen.page_of("screen_records", &[json!({ "id": RECORD })]),
        None => Reply::json(200, &json!({ "id": "read-alone" })),
    });
    let gateway = replica(&upstream, &redis).await;

    let list = format!(r#"{{ screenRecords(projectId: "{PROJECT}") {{ nodes {{ id }} }} }}"#);
    gateway.query(&list).await;
    gateway.query(&screen_record("id")).await;
    // Everything that the list causes to be written is written before this.
    let alone = format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "read-alone") {{ id }} }}"#);
    gateway.query(&alone).await;
    gateway.until_metric(WRITTEN).await;

    assert_eq!(upstream.requests(), 2);
    assert!(redis.only_entry().await.ends_with(":read-alone"));
}

#[tokio::test]
async fn an_absence_on_one_replica_costs_the_others_no_page_of_a_list() {
    let (upstream, redis) = (upstream().await, RedisServer::start().await);
    upstream.answer_with(|seen| match seen.parameter("limit") {
        Some(_) => seen.page_of("screen_records", &[json!({ "id": "listed" })]),
        None => Reply::json(404, &json!({ "error_code": "WKS.00211902" })),
    });
    let [first, other] = [replica(&upstream, &redis).await, replica(&upstream, &redis).await];
    let list = format!(r#"{{ screenRecords(projectId: "{PROJECT}") {{ nodes {{ id }} }} }}"#);
    other.query(&list).await;

    first.query(&screen_record("id")).await;
    other.until_metric("gateway_shared_cache_news_total{kind=\"absence\"} 1").await;
    other.query(&list).await;

    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn a_full_redis_is_read_and_not_written() {
    let (upstream, redis, [first, other]) = two_replicas_with_one_cached_record().await;
    redis.run::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;

    let from_redis = other.query(&screen_record("id")).await;
    let anew = first
        .query(&format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "new") {{ id }} }}"#))
        .await;

    assert!(is_the_record(&from_redis));
    assert_eq!(anew["data"]["screenRecord"]["id"], "new");
    assert_eq!(upstream.requests(), 2);
    first.until_metric("gateway_shared_cache_writes_total{outcome=\"failed\"} 1").await;
}

#[tokio::test]
async fn a_purge_while_redis_is_down_is_delivered_once_it_is_back() {
    let (upstream, mut redis, [first, other]) = two_replicas_with_one_cached_record().await;
    other.query(&screen_record("id")).await;
    redis.kill();
    first.until_metric("gateway_shared_cache_up 0").await;

    let purged = purge(&first, &json!({ "projectId": PROJECT })).await;
    redis.begin().await;

    assert_eq!(purged.status, 202);
    until_read_anew(&other, &upstream).await;
    first.until_metric("gateway_shared_cache_undelivered_news 0").await;
}

#[tokio::test]
async fn a_replica_that_missed_a_purge_empties_its_memory_when_redis_is_back() {
    let (upstream, redis, [first, other]) = two_replicas_with_one_cached_record().await;
    other.query(&screen_record("id")).await;
    // The new generation of a purge, without its message.
    let mut names: Vec<String> = redis.run(&["PUBSUB", "CHANNELS", "srg:*:news"]).await;
    let channel = names.remove(0);
    redis.run::<()>(&["SET", &channel.replace(":news", ":purged"), "1"]).await;
    redis.run::<()>(&["SET", &channel.replace(":news", ":last-purge"), "1"]).await;
    redis.run::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;

    until_read_anew(&other, &upstream).await;

    other.until_metric("gateway_shared_cache_news_total{kind=\"missed\"} 2").await;
    drop(first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_dies_and_comes_back_twice_under_load_and_no_answer_is_lost() {
    let (upstream, mut redis) = (upstream().await, RedisServer::start().await);
    let replicas = Arc::new([replica(&upstream, &redis).await, replica(&upstream, &redis).await]);
    let over = Arc::new(AtomicBool::new(false));
    let askers: Vec<_> = (0..8)
        .map(|asker| {
            let (replicas, over) = (Arc::clone(&replicas), Arc::clone(&over));
            tokio::spawn(async move {
                let mut asked = 0_u32;
                while !over.load(Ordering::Relaxed) {
                    asked += 1;
                    let id = format!("r{asker}-{}", asked / 4);
                    let query = format!(
                        r#"{{ screenRecord(projectId: "{PROJECT}", id: "{id}") {{ id }} }}"#
                    );
                    let gateway = &replicas[asked as usize % 2];
                    let answer = gateway.query(&query).await;
                    assert_eq!(answer["data"]["screenRecord"]["id"], id, "{answer}");
                }
                asked
            })
        })
        .collect();

    for _ in 0..2 {
        upstream.arrived(upstream.requests() + 50).await;
        redis.kill();
        for gateway in &*replicas {
            gateway.until_metric("gateway_shared_cache_up 0").await;
        }
        upstream.arrived(upstream.requests() + 50).await;
        redis.begin().await;
        for gateway in &*replicas {
            gateway.until_metric(UP).await;
        }
    }
    over.store(true, Ordering::Relaxed);

    let mut asked = 0;
    for asker in askers {
        asked += asker.await.unwrap();
    }
    assert!(asked > 200, "{asked} answers");
}

#[tokio::test]
async fn a_cluster_serves_as_one_server_does() {
    let (upstream, redis) = (upstream().await, RedisServer::cluster().await);
    let in_cluster = || {
        Gateway::configured(upstream.clone(), |config| {
            let mut shared = redis.config();
            shared.servers.kind = RedisKind::Cluster;
            config.cache.shared = Some(shared);
        })
    };
    let [first, other] = [in_cluster().await, in_cluster().await];
    first.until_metric(UP).await;
    other.until_metric(UP).await;
    first.query(&screen_record("id")).await;
    first.until_metric(WRITTEN).await;

    other.query(&screen_record("id")).await;
    let before_purge = upstream.requests();
    purge(&first, &json!({ "all": true })).await;
    until_read_anew(&other, &upstream).await;

    assert_eq!(before_purge, 1);
}

#[tokio::test]
async fn sentinels_name_the_leader_and_the_next_one_after_it_dies() {
    let (upstream, mut redis) = (upstream().await, RedisServer::start().await);
    let sentinel = RedisServer::sentinel(&redis).await;
    let gateway = Gateway::configured(upstream.clone(), |config| {
        let mut shared = redis.config();
        shared.servers.kind = RedisKind::Sentinel { service: "main".to_owned() };
        shared.servers.nodes = vec![sentinel.node()];
        config.cache.shared = Some(shared);
    })
    .await;
    gateway.until_metric(UP).await;

    gateway.query(&screen_record("id")).await;
    gateway.until_metric(WRITTEN).await;
    redis.kill();
    gateway.until_metric("gateway_shared_cache_up 0").await;
    redis.begin().await;

    gateway.until_metric(UP).await;
}
