//! The formats of the metrics page: OpenMetrics 1.0 and the classic text format 0.0.4 of Prometheus.

use std::fmt::Write as _;

use axum::http::HeaderMap;

use crate::http::negotiation::rank;

/// A format of the metrics page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposition {
    /// The format that every tool for Prometheus reads.
    Classic,
    OpenMetrics,
}

impl Exposition {
    /// The format that a scraper prefers; classic if it does not prefer OpenMetrics. Prometheus does.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Self {
        let openmetrics = rank("application/openmetrics-text", headers);
        let classic = rank("text/plain", headers);
        if openmetrics > classic { Self::OpenMetrics } else { Self::Classic }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// An OpenMetrics page in this format.
    pub(crate) fn write(self, openmetrics: String) -> String {
        match self {
            Self::Classic => classic(&openmetrics),
            Self::OpenMetrics => openmetrics,
        }
    }
}

/// Samples are equal in both formats. The classic format names a family like its samples, has no type `info`,
/// and marks neither units nor an end.
fn classic(openmetrics: &str) -> String {
    let mut page = String::with_capacity(openmetrics.len());
    let mut help = "";
    for line in openmetrics.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            page.push_str(line);
            page.push('\n');
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(_), text) => help = text.unwrap_or_default(),
            (Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                // Writing to a string cannot fail.
                let _ = writeln!(page, "# HELP {name}{suffix} {help}");
                let _ = writeln!(page, "# TYPE {name}{suffix} {kind}");
            }
            _ => {}
        }
    }
    page
}
