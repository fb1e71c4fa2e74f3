//! The version and commit of this build.

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, from a variable at build time; `None` without it.
///
/// A build needs neither git nor its folder. The variable does not begin with `GATEWAY_`, because settings do.
pub const COMMIT: Option<&str> = option_env!("BUILD_COMMIT");

/// Version and commit, as `--version` shows them: `0.2.0 (1a2b3c4d5e6f)`.
pub fn version() -> String {
    describe(VERSION, COMMIT)
}

fn describe(version: &str, commit: Option<&str>) -> String {
    // An empty variable counts as not set, because build files cannot unset one.
    match commit.filter(|commit| !commit.is_empty()) {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_knows_its_commit_says_so_and_one_that_does_not_is_silent() {
        assert_eq!(describe("1.2.3", Some("1a2b3c4d5e6f")), "1.2.3 (1a2b3c4d5e6f)");
        assert_eq!(describe("1.2.3", Some("")), "1.2.3");
        assert_eq!(describe("1.2.3", None), "1.2.3");
    }
}
