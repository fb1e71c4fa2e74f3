//! IAM: tokens for a user's name and password.

use std::collections::HashMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use super::config::SimulatorConfig;

/// The tokens that were issued, and their ends.
#[derive(Default)]
pub(super) struct Iam(Mutex<HashMap<String, Timestamp>>);

impl Iam {
    /// Answers a login.
    pub(super) fn login(&self, config: &SimulatorConfig, body: &[u8], now: Timestamp) -> Response {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let part = |pointer: &str| body.pointer(pointer)?.as_str();
        let user = "/auth/identity/password/user";
        let [name, password, domain] =
            ["/name", "/password", "/domain/name"].map(|key| part(&format!("{user}{key}")));
        let (Some(name), Some(password), Some(domain)) = (name, password, domain) else {
            return refusal(StatusCode::BAD_REQUEST, "body invalid");
        };
        let is_known = config.iam_users.iter().any(|user| {
            user.name == name
                && user.domain == domain
                && bool::from(user.password.as_bytes().ct_eq(password.as_bytes()))
        });
        if !is_known {
            return refusal(StatusCode::UNAUTHORIZED, "The username or password is wrong.");
        }
        let scope = part("/auth/scope/project/id");
        if scope.is_some_and(|id| !config.projects.iter().any(|known| known == id)) {
            return refusal(StatusCode::UNAUTHORIZED, "The project does not exist.");
        }
        let life = SignedDuration::try_from(config.token_life).unwrap_or(SignedDuration::MAX);
        let ends = now.checked_add(life).unwrap_or(Timestamp::MAX);
        let token = random_hex();
        self.0.lock().insert(token.clone(), ends);
        let project = scope.or(config.projects.first().map(String::as_str));
        let body = json!({ "token": {
            "methods": ["password"],
            "issued_at": written(now),
            "expires_at": written(ends),
            "project": { "id": project },
            "user": { "name": name },
        } });
        (StatusCode::CREATED, [("x-subject-token", token)], Json(body)).into_response()
    }

    /// When a token ends, if it was issued.
    pub(super) fn end_of(&self, token: &str) -> Option<Timestamp> {
        self.0.lock().get(token).copied()
    }
}

/// An instant as IAM and the metadata service write it.
pub(super) fn written(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// A refusal in IAM's own shape.
fn refusal(status: StatusCode, message: &str) -> Response {
    let title = status.canonical_reason();
    let error = json!({ "code": status.as_u16(), "message": message, "title": title });
    (status, Json(json!({ "error": error }))).into_response()
}

/// 64 hexadecimal digits.
pub(super) fn random_hex() -> String {
    let mut random = [0_u8; 32];
    // Without randomness all are the same, which a simulation survives.
    let _ = getrandom::fill(&mut random);
    hex::encode(random)
}
