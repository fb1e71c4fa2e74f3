//! The console, served from the binary. Built from `web/console`.

use axum::response::Response;

use super::static_files::{CSS, JS, SVG, StaticFile, StaticPage, TEXT, file};
use crate::http::state::ConsoleDefaults;

const PAGE: StaticPage =
    StaticPage { html: include_str!("../console/index.html"), placeholder: "__CONSOLE_DEFAULTS__" };
/// The page may load its own files and ask its own address.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";
/// Videos come from object storage, under host names that only their links tell.
const VIDEOS: &str = "media-src https:";
/// The demo's videos come from the simulator, over plain HTTP on this machine.
const DEMO_VIDEOS: &str = "media-src https: http://127.0.0.1:*";

/// The files that the page loads.
pub(super) const FILES: [StaticFile; 4] = [
    file("/assets/console.js", JS, include_bytes!("../console/assets/console.js")),
    file("/assets/console.css", CSS, include_bytes!("../console/assets/console.css")),
    file("/assets/icon.svg", SVG, include_bytes!("../console/assets/icon.svg")),
    // The licences of the software in the other files.
    file("/assets/notices.txt", TEXT, include_bytes!("../console/assets/notices.txt")),
];

/// The page. Only the demo fills in where it starts.
pub(super) fn page(defaults: &ConsoleDefaults) -> Response {
    let videos = if defaults.token.is_some() { DEMO_VIDEOS } else { VIDEOS };
    PAGE.response(defaults, &format!("{CONTENT_SECURITY_POLICY}; {videos}"))
}
