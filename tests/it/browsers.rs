//! Cross-site requests that a browser sends, and the answers that a page may read.

use reqwest::Method;
use serde_json::json;

use crate::support::{Gateway, HttpAnswer, RECORD, Reply, ScriptedUpstream, TOKEN, screen_record};

const LISTED: &str = "https://app.example";
const UNLISTED: &str = "https://evil.example";

/// A gateway that lists one other origin.
async fn gateway() -> Gateway {
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD }))).await;
    Gateway::configured(upstream, |config| {
        config.graphql.allow_origins = vec![LISTED.to_owned()];
    })
    .await
}

async fn preflight(gateway: &Gateway, origin: &str, names: &str) -> HttpAnswer {
    let request = gateway
        .http()
        .request(Method::OPTIONS, gateway.url())
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", names);
    HttpAnswer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_listed_page_may_send_any_header_and_others_none() {
    let gateway = gateway().await;
    let names = "apollographql-client-name,apollographql-client-version,baggage,content-type,\
                 sentry-trace,tracestate,x-auth-token";

    let listed = preflight(&gateway, LISTED, names).await;
    let unlisted = preflight(&gateway, UNLISTED, names).await;

    assert_eq!(listed.header("access-control-allow-origin"), LISTED);
    assert_eq!(listed.header("access-control-allow-headers"), names);
    assert_eq!(unlisted.header("access-control-allow-origin"), "");
    assert_eq!(listed.header("access-control-allow-credentials"), "");
}

/// The headers by which a browser names the origin of a request, and the statuses of the answers.
struct Marks {
    headers: &'static [(&'static str, &'static str)],
    get: u16,
    post: u16,
}

const fn marks(headers: &'static [(&'static str, &'static str)], get: u16, post: u16) -> Marks {
    Marks { headers, get, post }
}

const MARKS: [Marks; 16] = [
    marks(&[], 200, 200),
    marks(&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], 200, 200),
    marks(&[("sec-fetch-site", "same-origin"), ("origin", UNLISTED)], 200, 200),
    marks(&[("sec-fetch-site", "cross-site"), ("origin", LISTED)], 200, 200),
    marks(&[("sec-fetch-site", "cross-site"), ("origin", UNLISTED)], 403, 403),
    marks(&[("sec-fetch-site", "same-site"), ("origin", UNLISTED)], 403, 403),
    marks(&[("sec-fetch-site", "cross-site"), ("origin", "null")], 403, 403),
    marks(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], 403, 403),
    marks(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 403, 403),
    // An event source.
    marks(&[("sec-fetch-site", "cross-site"), ("accept", "text/event-stream")], 403, 403),
    // Over plain HTTP. A browser sends the own origin with a POST, and with a GET no origin but another one. The type
    // of a POST's content has made it ask first.
    marks(&[("origin", UNLISTED)], 403, 200),
    marks(&[("origin", LISTED)], 200, 200),
    marks(&[("host", "gateway.example"), ("origin", "http://gateway.example")], 200, 200),
    marks(&[("host", "gateway.example:80"), ("origin", "http://Gateway.example:80")], 200, 200),
    marks(&[("host", "gateway.example"), ("origin", "http://gateway.example:80")], 403, 200),
    marks(&[("host", "gateway.example"), ("origin", "null")], 403, 200),
];

#[tokio::test]
async fn a_page_of_another_site_is_answered_only_if_its_origin_is_listed() {
    for Marks { headers, get, post } in MARKS {
        let gateway = gateway().await;
        let document = screen_record("id");
        let token: &[(&str, &str)] = &[("x-auth-token", TOKEN)];
        let headers = [headers, token].concat();
        let mut url: url::Url = gateway.url().parse().unwrap();
        url.query_pairs_mut().append_pair("query", &document);
        let by_get = gateway.http().get(url);
        let by_get =
            headers.iter().fold(by_get, |request, (name, value)| request.header(*name, *value));

        let by_get = by_get.send().await.unwrap().status().as_u16();
        let by_post = gateway.post(&document, &headers).await.status;

        assert_eq!((by_get, by_post), (get, post), "of {headers:?}");
        let answered = usize::from(get == 200 || post == 200);
        assert_eq!(gateway.upstream_requests(), answered, "of {headers:?}");
    }
}

#[tokio::test]
async fn a_cross_site_post_without_preflight_is_refused() {
    let gateway = gateway().await;
    let body = json!({ "query": screen_record("id") }).to_string();

    let request =
        gateway.http().post(gateway.url()).header("content-type", "text/plain").body(body);
    let answer = request.header("sec-fetch-site", "cross-site").send().await.unwrap();

    assert_eq!(answer.status(), 403);
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn a_link_on_another_site_opens_graphiql() {
    let gateway = gateway().await;
    let link =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("accept", "text/html")];
    let mut request = gateway.http().get(gateway.url());
    for (name, value) in link {
        request = request.header(name, value);
    }

    let page = request.send().await.unwrap();

    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("graphiql"));
}
