//! The metrics page.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::version::{COMMIT, VERSION};

/// Everything that is counted, ready to be shown.
#[derive(Clone)]
pub struct MetricsPage {
    registry: Arc<Registry>,
}

impl MetricsPage {
    /// A page of the metrics that `register` puts on show, and of the build.
    pub fn new(register: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        // Build files cannot unset a variable: what is set to nothing counts as not told.
        let commit = COMMIT.filter(|commit| !commit.is_empty()).unwrap_or("unknown");
        let build = Info::new(vec![("version", VERSION), ("commit", commit)]);
        registry.register("gateway_build", "Version and commit of the running build", build);
        register(&mut registry);
        Self { registry: Arc::new(registry) }
    }

    /// The page as OpenMetrics text.
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
    fn the_page_tells_version_and_commit() {
        let page = MetricsPage::new(|_| {}).render().unwrap();

        let commit = COMMIT.filter(|commit| !commit.is_empty()).unwrap_or("unknown");
        let build = format!("gateway_build_info{{version=\"{VERSION}\",commit=\"{commit}\"}} 1\n");
        assert!(page.contains(&build), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
