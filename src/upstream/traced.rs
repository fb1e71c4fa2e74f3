//! The spans of attempts to call the upstream: one for each, with what OpenTelemetry's conventions for
//! HTTP clients say of it. Addresses are shown as templates, so projects and records are not named.

use super::client::SignedRequest;
use super::metrics::reason;
use crate::domain::Failure;
use crate::trace::{Begun, Kind, Span, Trace};

/// An attempt under way. If it is dropped without an outcome, nobody waited for it any more, or its
/// time was up.
pub(super) struct TracedAttempt {
    span: Span,
    has_ended: bool,
}

impl TracedAttempt {
    /// Begins, and writes into the request under which trace.
    pub(super) fn begin(trace: &Trace, request: &mut SignedRequest) -> Self {
        let span = trace.begin(|| begun(request));
        span.trace().write(&mut request.http.headers);
        Self { span, has_ended: false }
    }

    pub(super) fn end(mut self, answer: Result<u16, &Failure>) {
        self.has_ended = true;
        let trace = self.span.trace();
        match answer {
            Ok(status) => {
                trace.tell("http.response.status_code", i64::from(status));
                if status >= 400 {
                    trace.fail(&status.to_string());
                }
            }
            Err(failure) => trace.fail(reason(failure.code())),
        }
    }
}

impl Drop for TracedAttempt {
    fn drop(&mut self) {
        if !self.has_ended {
            self.span.trace().fail("abandoned");
        }
    }
}

fn begun(request: &SignedRequest) -> Begun {
    let SignedRequest { http, template, earlier_attempts, .. } = request;
    let (method, url) = (http.method.as_str(), &http.url);
    let begun = Begun {
        name: format!("{method} {template}").into(),
        kind: Kind::Client,
        attributes: Vec::new(),
    };
    begun
        .with("http.request.method", method.to_owned())
        .with("url.scheme", url.scheme().to_owned())
        .with("url.template", *template)
        .with_some("server.address", url.host_str().map(str::to_owned))
        .with_some("server.port", url.port_or_known_default().map(i64::from))
        .with_some(
            "http.request.resend_count",
            (*earlier_attempts > 0).then(|| i64::from(*earlier_attempts)),
        )
}
