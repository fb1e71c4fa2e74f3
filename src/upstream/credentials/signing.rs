//! Signing with an access key: that of the settings, or a temporary one.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::config::AccessKey;
use crate::domain::{Failure, ProjectId};
use crate::signature::{SignableRequest, Signature, date_header};

const SDK_DATE: HeaderName = HeaderName::from_static("x-sdk-date");
const PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");

/// Signs a request with a `Host`: adds the signature and the signed headers. Without a `project` that of the
/// key counts.
pub(crate) fn sign(
    key: &AccessKey,
    at: Timestamp,
    headers: &mut HeaderMap,
    project: Option<&ProjectId>,
    request: &SignableRequest<'_>,
) -> Result<(), Failure> {
    let date = date_header(at);
    let mut signed = [request.headers, &[("x-sdk-date", date.as_str())]].concat();
    if let Some(project) = project.map(ProjectId::as_str).or(key.project_id.as_deref()) {
        signed.push(("x-project-id", project));
        headers.insert(PROJECT_ID, secret_value(project)?);
    }
    if let Some(token) = &key.security_token {
        signed.push(("x-security-token", token.expose()));
        headers.insert(SECURITY_TOKEN, secret_value(token.expose())?);
    }
    if !request.body.is_empty() {
        signed.push(("content-type", "application/json"));
    }
    let signature =
        Signature::of(&SignableRequest { headers: &signed, ..*request }, key.secret.expose());
    let authorization = signature.authorization(key.access.expose());
    headers.insert(AUTHORIZATION, secret_value(&authorization)?);
    if let Ok(date) = HeaderValue::from_str(&date) {
        headers.insert(SDK_DATE, date);
    }
    Ok(())
}

/// A header value that debug output and HTTP/2's compression tables leave out.
pub(crate) fn secret_value(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Failure::BadInput {
        argument: "X-Auth-Token",
        problem: "holds characters that no header can carry".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}
