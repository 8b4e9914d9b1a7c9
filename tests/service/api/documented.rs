//! The tables of `docs/api.md`: each request, on each route, receives the response that its row says. And the README's token.

use super::*;

const ROUTES: [&str; 3] = ["imaging-study", "ImagingStudy", "metadata"];

/// A request as a row describes it.
struct Row<'a> {
    words: Vec<&'a str>,
    headers: Vec<(&'a str, &'a str)>,
    query: HashMap<String, Vec<String>>,
}

impl<'a> Row<'a> {
    /// Code spans are a header or a query; the rest are words that [`Row::request`] knows.
    fn parse(cell: &'a str) -> Self {
        let mut row = Self { words: Vec::new(), headers: Vec::new(), query: HashMap::new() };
        for span in cell.split('`').map(|span| span.trim_matches([' ', ','])).filter(|span| !span.is_empty())
        {
            if let Some((name, value)) = span.strip_prefix('?').and_then(|query| query.split_once('=')) {
                row.query.insert(name.to_owned(), vec![value.to_owned()]);
            } else if let Some((name, value)) = span.split_once(": ") {
                row.headers.push((name, value));
            } else {
                row.words.push(span);
            }
        }
        row
    }

    fn request(&self, route: &str) -> Request {
        let (mut method, mut site, mut id, mut claims) = ("GET", local::SITE, "Study-1", Some(json!({})));
        match self.words[..] {
            [] | ["without", "Accept"] => {}
            ["no token"] => claims = None,
            ["an expired token"] => claims = Some(json!({ "exp": 1 })),
            ["a malformed", "siteId"] => site = "a:b",
            ["a malformed", "id"] => id = "a_b",
            ["_history", "in place of the", "id"] => id = "_history",
            ["a scope for another resource"] => claims = Some(json!({ "scope": "user/Patient.r" })),
            ["another site"] => site = "5",
            ["no such study"] => id = "missing",
            ["POST"] => method = "POST",
            ref words => panic!("{words:?}"),
        }
        let uri = match route {
            "metadata" => format!("/site/{site}/fhir/metadata"),
            route => format!("/site/{site}/fhir/{route}/{id}"),
        };
        let mut request = http::Request::builder().method(method).uri(uri);
        if let Some(claims) = claims {
            let token = local::token(&local::claims_with(&claims));
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        request.body(Body::Empty).unwrap().with_query_string_parameters(self.query.clone())
    }
}

#[tokio::test]
async fn every_row_of_the_documentation_is_true() {
    let site = Site::with(STUDY).await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md")).unwrap();
    let mut cells = 0;
    for line in page.lines().filter(|line| line.starts_with('|') && line.matches('|').count() == 5) {
        let row: Vec<_> = line.trim_matches('|').split(" |").map(str::trim).collect();
        if row[0] == "request" || row[0].starts_with("---") {
            continue;
        }
        for (route, expected) in ROUTES.iter().zip(&row[1..]).filter(|(_, expected)| !expected.is_empty()) {
            let response = site.handle(Row::parse(row[0]).request(route)).await;
            assert_eq!(observed(&response, route), *expected, "{route}: {}", row[0]);
            cells += 1;
        }
    }
    assert!(cells > 100, "{cells}");
}

#[tokio::test]
async fn a_token_with_the_payload_of_the_readme_reads_a_study() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, block) = page.split_once("This payload reads the studies of site 4:\n\n```json\n").unwrap();
    let (payload, _) = block.split_once("```").unwrap();
    let request = anonymous("Study-1").header("authorization", format!("Bearer {}", local::sign(payload)));
    assert_eq!(Site::with(STUDY).await.status(request).await, 200);
}

/// A response in the words of the tables.
fn observed(response: &Response<Body>, route: &str) -> String {
    let status = response.status().as_u16();
    let media = header(response.headers(), "content-type").unwrap();
    let text = body(response);
    let json: Value = serde_json::from_str(&text).unwrap();
    let expected = match (status, media, route) {
        (200, _, "metadata") => "CapabilityStatement",
        (200, _, _) => "ImagingStudy",
        (_, "application/fhir+json", _) => "OperationOutcome",
        _ => "",
    };
    assert_eq!(json["resourceType"].as_str().unwrap_or_default(), expected, "{text}");
    assert!(!expected.is_empty() || json["statusCode"] == status, "{text}");
    let subsetted = if text.contains("SUBSETTED") { " SUBSETTED" } else { "" };
    format!("{status} {}{subsetted}", media.trim_start_matches("application/"))
}
