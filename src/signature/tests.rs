use std::borrow::Cow;

use serde_json::Value;

use super::*;

/// Results of the official SDK, one per rule of the guide.
const VECTORS: &str = include_str!("../../tests/fixtures/signing-vectors.json");

#[test]
fn every_vector_of_the_official_sdk_is_reproduced() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = file["vectors"].as_array().unwrap();

    for vector in vectors {
        let (input, expected, name) = (&vector["input"], &vector["expected"], &vector["name"]);
        let owned_query: Vec<(Cow<'_, str>, Cow<'_, str>)> = input["query"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap().into(), pair[1].as_str().unwrap().into()))
            .collect();
        let headers: Vec<(&str, &str)> = expected["headers_sent"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let request = SignableRequest {
            method: input["method"].as_str().unwrap(),
            path: input["path"].as_str().unwrap(),
            query: &owned_query,
            headers: &headers,
            body: input["body"].as_str().unwrap_or_default().as_bytes(),
        };

        let signed = Signature::of(&request, input["sk"].as_str().unwrap());

        assert_eq!(canonical_request(&request), expected["canonical_request"], "{name}");
        assert_eq!(string_to_sign(&request), expected["string_to_sign"], "{name}");
        assert_eq!(
            signed.authorization(input["ak"].as_str().unwrap()),
            expected["authorization"],
            "{name}"
        );
    }
    assert_eq!(vectors.len(), 38);
}
