//! The metrics page.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::version::{COMMIT, VERSION};

/// Everything that is counted, ready to be shown.
pub struct MetricsPage {
    registry: Registry,
}

/// A page of the build alone.
impl Default for MetricsPage {
    fn default() -> Self {
        let mut registry = Registry::default();
        // Build files cannot unset a variable: an empty one counts as not set.
        let commit = COMMIT.filter(|commit| !commit.is_empty()).unwrap_or("unknown");
        let build = Info::new(vec![("version", VERSION), ("commit", commit)]);
        registry.register("gateway_build", "Version and commit of the running build", build);
        Self { registry }
    }
}

impl MetricsPage {
    /// Adds the metrics of a part.
    pub fn add<M>(&mut self, metrics: M, register: fn(&M, &mut Registry)) -> M {
        register(&metrics, &mut self.registry);
        metrics
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
        let page = MetricsPage::default().render().unwrap();

        let commit = COMMIT.filter(|commit| !commit.is_empty()).unwrap_or("unknown");
        let build = format!("gateway_build_info{{version=\"{VERSION}\",commit=\"{commit}\"}} 1\n");
        assert!(page.contains(&build), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
