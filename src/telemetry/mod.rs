//! What the process tells about itself: the form of its log lines, its metrics page, and where
//! its traces go.
//!
//! The other areas only emit; each owns the metrics it counts.

mod logs;
mod json_lines;
mod metrics;
mod traces;

pub use logs::{Log, start_logging};
pub use metrics::MetricsPage;
pub use traces::Traces;
