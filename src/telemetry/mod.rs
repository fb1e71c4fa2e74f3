//! What the process tells about itself: the form of its log lines and its metrics page.
//!
//! The other areas only emit; each owns the metrics it counts.

mod json_line;
mod logs;
mod metrics;

pub use logs::{LogFilter, start_logging};
pub use metrics::{MetricsPage, OPENMETRICS_CONTENT_TYPE};
