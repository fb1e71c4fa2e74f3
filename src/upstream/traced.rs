//! The spans of attempts to call the upstream: one for each, with what OpenTelemetry's conventions for
//! HTTP clients say of it. Addresses are shown as templates, so projects and records are not named.

use bytes::Bytes;
use http::Request;
use http::uri::Scheme;

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
    pub(super) fn begin(
        trace: &Trace,
        request: &mut Request<Bytes>,
        (template, resent): (&'static str, u32),
    ) -> Self {
        let span = trace.begin(|| begun(request, template, resent));
        span.trace().write(request.headers_mut());
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

fn begun(request: &Request<Bytes>, template: &'static str, resent: u32) -> Begun {
    let (method, uri) = (request.method().as_str(), request.uri());
    let usual_port = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
    let begun = Begun {
        name: format!("{method} {template}").into(),
        kind: Kind::Client,
        attributes: Vec::new(),
    };
    begun
        .with("http.request.method", method.to_owned())
        .with_some("url.scheme", uri.scheme_str().map(str::to_owned))
        .with("url.template", template)
        .with_some("server.address", uri.host().map(str::to_owned))
        .with("server.port", i64::from(uri.port_u16().unwrap_or(usual_port)))
        .with_some("http.request.resend_count", (resent > 0).then(|| i64::from(resent)))
}
