//! The spans of attempts to call the upstream, with the attributes of OpenTelemetry's conventions for HTTP
//! clients. Addresses appear as templates, so that no span names a project or a record.

use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::attempt::HttpRequest;
use super::metrics::reason;
use crate::domain::Failure;
use crate::spans::{TARGET, context_of, fail, inject};

/// The span of an attempt in progress. Dropping it marks the attempt as abandoned: its callers have left, or
/// its time was up.
pub(super) struct AttemptSpan {
    span: Span,
    has_ended: bool,
}

impl AttemptSpan {
    /// Starts the span, and adds the headers that name it to the request. `template` is the path without ids.
    pub(super) fn start(
        request: &mut HttpRequest,
        template: &'static str,
        region: Option<&str>,
        earlier_attempts: u32,
    ) -> Self {
        let HttpRequest { method, url, .. } = &*request;
        let span = info_span!(
            target: TARGET,
            "attempt",
            otel.name = format!("{method} {template}"),
            otel.kind = "client",
            http.request.method = method.as_str(),
            url.scheme = url.scheme(),
            url.template = template,
            cloud.region = region,
            server.address = url.host_str(),
            server.port = url.port_or_known_default().map(i64::from),
            http.request.resend_count = (earlier_attempts > 0).then(|| i64::from(earlier_attempts)),
        );
        inject(&context_of(&span), &mut request.headers);
        Self { span, has_ended: false }
    }

    /// Records the outcome of the attempt.
    pub(super) fn end(mut self, answer: Result<u16, &Failure>) {
        self.has_ended = true;
        match answer {
            Ok(status) => {
                self.span.set_attribute("http.response.status_code", i64::from(status));
                if status >= 400 {
                    fail(&self.span, &status.to_string());
                }
            }
            Err(failure) => fail(&self.span, reason(failure.code())),
        }
    }
}

impl Drop for AttemptSpan {
    fn drop(&mut self) {
        if !self.has_ended {
            fail(&self.span, "abandoned");
        }
    }
}
