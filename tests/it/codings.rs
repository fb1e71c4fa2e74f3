//! The codings of upstream bodies.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::{Value, json};

use crate::support::{Gateway, RECORD, Reply, ScriptedUpstream, screen_record};

fn plain() -> Vec<u8> {
    json!({ "id": RECORD, "username": "x".repeat(1000) }).to_string().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The gateway's answer if the upstream answers with these bytes.
async fn answer(status: u16, coding: &str, body: Vec<u8>) -> (Value, Gateway) {
    let coding = coding.to_owned();
    let upstream = ScriptedUpstream::start(move |_| {
        Reply::bytes(status, &[("content-encoding", &coding)], body.clone())
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    (gateway.query(&screen_record("id username")).await, gateway)
}

#[tokio::test]
async fn every_spelling_and_form_of_gzip_and_deflate_is_read() {
    let plain = plain();
    let (first, second) = plain.split_at(500);
    let members = [gzip(first), gzip(second)].concat();
    for (coding, body) in [
        ("gzip", gzip(&plain)),
        ("GZIP", gzip(&plain)),
        ("x-gzip", gzip(&plain)),
        ("X-GZip", gzip(&plain)),
        ("gzip", members),
        ("deflate", zlib(&plain)),
        ("Deflate", raw_deflate(&plain)),
        ("identity", plain.clone()),
        ("deflate, gzip", gzip(&zlib(&plain))),
    ] {
        let (answer, _) = answer(200, coding, body).await;

        assert_eq!(answer["data"]["screenRecord"]["id"], RECORD, "{coding}: {answer}");
    }
}

#[tokio::test]
async fn an_upstream_answer_in_another_coding_is_invalid() {
    for coding in ["br", "zstd", "compress", "gzip, br"] {
        let (answer, gateway) = answer(200, coding, gzip(&plain())).await;

        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "UPSTREAM_INVALID_RESPONSE", "{coding}: {answer}");
        let message = "the upstream's answer is in a coding that was not asked for: gzip and deflate \
                       are accepted";
        assert_eq!(error["message"], message, "{coding}");
        assert_eq!(gateway.upstream.seen()[0].headers["accept-encoding"], "gzip, deflate");
    }
}

#[tokio::test]
async fn an_upstream_body_that_does_not_match_its_coding_is_invalid() {
    for (coding, body) in [
        ("gzip", plain()),
        ("deflate", plain()),
        ("gzip", gzip(&plain())[..40].to_vec()),
        ("deflate", zlib(&plain())[..20].to_vec()),
    ] {
        let (answer, _) = answer(200, coding, body).await;

        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "UPSTREAM_INVALID_RESPONSE", "{coding}: {answer}");
        assert_eq!(error["message"], "the upstream's answer cannot be decompressed", "{coding}");
    }
}

#[tokio::test]
async fn a_body_is_bounded_once_decompressed_in_every_coding() {
    let large = vec![b' '; 8 * 1024 * 1024];
    for (coding, body) in
        [("gzip", gzip(&large)), ("deflate", zlib(&large)), ("deflate", raw_deflate(&large))]
    {
        let (answer, _) = answer(200, coding, body).await;

        assert_eq!(
            answer["errors"][0]["message"], "the upstream's answer is larger than 1048576 bytes",
            "{coding}"
        );
    }
}

#[tokio::test]
async fn an_error_in_a_known_coding_refines_the_status() {
    let body = br#"{"error_code":"WKS.0202","error_msg":"no such recording"}"#;
    for (coding, body) in [("GZIP", gzip(body)), ("deflate", raw_deflate(body))] {
        let (answer, _) = answer(500, coding, body).await;

        assert_eq!(answer["errors"][0]["extensions"]["code"], "NOT_FOUND", "{coding}: {answer}");
    }
}
