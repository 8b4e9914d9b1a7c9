//! `/docs`: Swagger UI for `openapi.yaml`, with a token filled in. Everything comes from this process.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::json;
use swagger_ui_dist::{ApiDefinition, OpenApiSource, generate_routes};

const PAGE: &str = include_str!("docs.html");
const OPENAPI: &str = include_str!("../../../openapi.yaml");

/// The page and what it loads. With `authorized`, each load of the page gets a new development token.
pub(crate) fn routes(authorized: bool) -> Router {
    let swagger_ui =
        ApiDefinition { uri_prefix: "/docs/ui", api_definition: OpenApiSource::Inline(OPENAPI), title: None };
    let page = move || async move {
        let token = authorized.then(|| local::token(&local::claims()));
        Html(PAGE.replace("{token}", &json!(token).to_string()))
    };
    generate_routes(swagger_ui).route("/docs", get(page))
}
