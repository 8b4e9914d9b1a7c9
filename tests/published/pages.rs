//! The pages of `docs/` against the template, the manifests and each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use imaging_study::ApiError;
use imaging_study::auth::{Forbidden, TokenError};
use serde_json::Value;
use strum::IntoEnumIterator as _;

use super::openapi::refusals;

#[test]
fn the_configuration_page_lists_every_variable_with_its_parameter() {
    let template = template();
    let declared: BTreeMap<String, String> = variables(&template)
        .iter()
        .map(|(name, value)| {
            let parameter = value["Ref"].as_str().unwrap_or(match name.as_str() {
                // Calculated from the parameter, not passed on.
                "AWS_ENDPOINT_URL_DYNAMODB" => "DynamoDbEndpoint",
                "TABLE_NAME" => "ExistingTableName",
                _ => "?",
            });
            (name.clone(), parameter.to_owned())
        })
        .collect();
    let listed: BTreeMap<String, String> = rows(&configuration(), "Variables")
        .into_iter()
        .map(|row| (code(&row[0]).to_owned(), code(&row[1]).to_owned()))
        .collect();
    assert_eq!(listed, declared);
}

#[test]
fn the_configuration_page_lists_every_parameter_with_its_default() {
    let template = template();
    let declared: BTreeMap<String, String> = template["Parameters"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, parameter)| {
            let default = match &parameter["Default"] {
                Value::Null => "required".to_owned(),
                Value::String(text) if text.is_empty() => "none".to_owned(),
                Value::String(text) => format!("`{text}`"),
                other => format!("`{other}`"),
            };
            (name.clone(), default)
        })
        .collect();
    let page = configuration();
    let of_variables =
        rows(&page, "Variables").into_iter().map(|row| (code(&row[1]).to_owned(), row[3].clone()));
    let others = rows(&page, "Parameters").into_iter().map(|row| (code(&row[0]).to_owned(), row[2].clone()));
    assert_eq!(of_variables.chain(others).collect::<BTreeMap<_, _>>(), declared);
}

#[test]
fn the_api_page_lists_the_routes_of_the_template_and_the_readme_those_for_a_study() {
    let template = template();
    let events = template["Resources"]["Function"]["Properties"]["Events"].as_object().unwrap();
    let mut methods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for event in events.values().map(|event| &event["Properties"]) {
        methods.entry(event["Path"].as_str().unwrap()).or_default().insert(event["Method"].as_str().unwrap());
    }
    assert_eq!(methods.remove("/site/{siteId}/fhir/{proxy+}"), Some(["ANY"].into()));
    assert!(methods.values().all(|methods| *methods == ["GET", "HEAD"].into()), "{methods:?}");
    let page =
        |name: &str| std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let api = page("docs/api.md");
    let cells = api.lines().filter_map(|line| line.strip_prefix("| `/site/")?.split('`').next());
    let listed: Vec<_> = cells.map(|path| format!("/site/{path}")).collect();
    assert_eq!(listed.iter().map(String::as_str).collect::<BTreeSet<_>>(), methods.into_keys().collect());
    assert!(page("README.md").contains(&format!("GET {}", listed[0])));
}

#[test]
fn the_monitoring_page_lists_every_reason_of_the_audit_line_with_its_status() {
    let errors = refusals().into_iter().chain(Forbidden::iter().map(ApiError::Forbidden));
    let mut logged: BTreeSet<(String, String)> =
        errors.map(|error| (error.code().to_owned(), error.status().as_str().to_owned())).collect();
    // These come from no error.
    let others = [("ok", "200, 204"), ("not_modified", "304"), ("event_malformed", "500")];
    logged.extend(others.map(|(reason, status)| (reason.to_owned(), status.to_owned())));
    let rows = rows(&read("docs/monitoring.md"), "Reasons");
    let listed: Vec<(String, String)> = rows
        .iter()
        .flat_map(|row| row[0].split(", ").map(|reason| (code(reason).to_owned(), row[1].clone())))
        .collect();
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), logged);
    assert_eq!(listed.len(), logged.len(), "a reason is listed twice");
}

#[test]
fn the_api_page_lists_every_description_of_a_rejected_token_with_its_reason() {
    let described = TokenError::iter().filter_map(|error| Some((error.description()?, error.code())));
    let listed = rows(&read("docs/api.md"), "Challenges");
    let listed: BTreeMap<_, _> = listed.iter().map(|row| (row[0].as_str(), code(&row[1]))).collect();
    assert_eq!(listed, described.collect());
}

#[test]
fn the_readme_links_every_page() {
    let readme = read("README.md");
    let linked: BTreeSet<_> =
        links(&readme).into_iter().map(|link| link.split('#').next().unwrap().to_owned()).collect();
    for page in pages().iter().filter(|page| !page.ends_with("README.md")) {
        let page = page.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert!(linked.contains(page.to_str().unwrap()), "{}", page.display());
    }
}

#[test]
fn every_link_between_pages_leads_to_a_file_and_a_heading() {
    let broken: Vec<String> = pages()
        .iter()
        .flat_map(|page| {
            let text = std::fs::read_to_string(page).unwrap();
            links(&text)
                .into_iter()
                .filter(|link| !leads_somewhere(page, link))
                .map(|link| format!("{}: {link}", page.display()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_page_that_a_file_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> =
        ["template.yaml", "Makefile", "openapi.yaml"].map(|file| root.join(file)).into();
    for folder in
        ["tools", "examples", ".github/workflows", "src", "tests/service/api", "tests/service/faults"]
    {
        files.extend(std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    let mut named = 0;
    for file in files.iter().filter(|file| file.is_file()) {
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        for rest in text.split("docs/").skip(1) {
            let Some((page, _)) = rest
                .split_once(".md")
                .filter(|(page, _)| !page.contains(|c: char| !c.is_ascii_lowercase() && c != '-'))
            else {
                continue;
            };
            assert!(root.join(format!("docs/{page}.md")).exists(), "{}: docs/{page}.md", file.display());
            named += 1;
        }
    }
    assert!(named > 10, "{named}");
}

/// The targets of a page's links, but for those to other sites.
fn links(text: &str) -> Vec<String> {
    prose(text)
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .filter(|target| !target.contains("://"))
        .collect()
}

/// A page without its blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

fn leads_somewhere(page: &Path, link: &str) -> bool {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    if anchor.is_empty() {
        return target.exists();
    }
    std::fs::read_to_string(target).is_ok_and(|text| {
        prose(&text).lines().filter(|line| line.starts_with('#')).any(|heading| slug(heading) == anchor)
    })
}

/// The anchor that GitHub makes of a heading.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

/// Every page of the repository.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages: Vec<PathBuf> = [root.to_owned(), root.join("docs")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    assert!(pages.len() > 8, "{pages:?}");
    pages
}

/// The rows of the first table below a heading, as cells.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
    let table =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    table.skip(2).map(cells).collect()
}

/// The text of a cell that is all code.
fn code(cell: &str) -> &str {
    cell.trim_matches('`')
}

fn variables(template: &Value) -> BTreeMap<String, Value> {
    let variables = &template["Resources"]["Function"]["Properties"]["Environment"]["Variables"];
    serde_json::from_value(variables.clone()).unwrap()
}

fn template() -> Value {
    crate::yaml::read("template.yaml")
}

fn configuration() -> String {
    read("docs/configuration.md")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}
