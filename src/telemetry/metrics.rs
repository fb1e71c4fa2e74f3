//! The metrics page.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Content type of the page: OpenMetrics text, which Prometheus reads.
pub const OPENMETRICS_CONTENT_TYPE: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted, ready to be shown.
#[derive(Clone)]
pub struct MetricsPage {
    registry: Arc<Registry>,
}

impl MetricsPage {
    /// A page of the metrics that `register` puts on show, and of the build.
    pub fn new(register: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("gateway_build", "What is running", build);
        register(&mut registry);
        Self { registry: Arc::new(registry) }
    }

    /// The page as text.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_the_version() {
        let page = MetricsPage::new(|_| {}).render().unwrap();

        assert!(page.contains(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"")), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
