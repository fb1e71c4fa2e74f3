//! GraphiQL, served from the binary. Built by `web/graphiql/build`.

use axum::response::Response;

use super::static_files::{CSS, JS, SVG, StaticFile, StaticPage, TEXT, file};
use crate::http::state::GraphiqlDefaults;

const PAGE: StaticPage = StaticPage {
    html: include_str!("../graphiql/assets/index.html"),
    placeholder: "__GRAPHIQL_DEFAULTS__",
};
/// The page may load its own files and ask its own address, and nothing else. Styles are the
/// exception: the editor puts its own into the page as it goes.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files that the page loads.
pub(super) const FILES: [StaticFile; 5] = [
    file("/graphql/assets/graphiql.js", JS, include_bytes!("../graphiql/assets/graphiql.js")),
    file("/graphql/assets/worker.js", JS, include_bytes!("../graphiql/assets/worker.js")),
    file("/graphql/assets/graphiql.css", CSS, include_bytes!("../graphiql/assets/graphiql.css")),
    file("/graphql/assets/icon.svg", SVG, include_bytes!("../graphiql/assets/icon.svg")),
    // The licences of the software in the other files.
    file("/graphql/assets/notices.txt", TEXT, include_bytes!("../graphiql/assets/notices.txt")),
];

/// The page.
pub(super) fn page(defaults: &GraphiqlDefaults) -> Response {
    PAGE.response(defaults, CONTENT_SECURITY_POLICY)
}
