//! What this build is: its version, and the commit that it was made from.

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit; none where the build was not told.
///
/// Told by a variable and not asked of git, so that a build needs neither git nor its folder. The
/// name does not begin as the settings' do, which are read when the gateway runs.
pub const COMMIT: Option<&str> = option_env!("BUILD_COMMIT");

/// Version and commit, as `--version` shows them: `0.1.0 (1a2b3c4d5e6f)`.
pub fn version() -> String {
    describe(VERSION, COMMIT)
}

fn describe(version: &str, commit: Option<&str>) -> String {
    // Build files cannot unset a variable: what is set to nothing counts as not told.
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
