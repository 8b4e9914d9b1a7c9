//! The check against FHIR R4, on the cases of `data/r4.tsv` and on collected documents.

use std::fs;

use fhir_r4::{MAX_PROBLEMS, Study, ValidationError};
use proptest::prelude::*;

const CASES: &str = include_str!("data/r4.tsv");

/// `path`, `what`, `document` of every case.
fn cases() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    CASES.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let columns: Vec<_> = line.splitn(3, '\t').collect();
        let [path, what, members] = columns[..] else { panic!("not three columns: {line}") };
        let document = match members {
            whole if whole.starts_with('{') => whole.to_owned(),
            "" => with(""),
            members => with(&format!(",{members}")),
        };
        (path, what, document)
    })
}

fn with(members: &str) -> String {
    let required = r#""resourceType":"ImagingStudy","id":"a","status":"available""#;
    format!(r#"{{{required},"subject":{{"reference":"Patient/1"}}{members}}}"#)
}

fn rejected(json: &str) -> ValidationError {
    match Study::parse(json) {
        Ok(_) => panic!("accepted: {json}"),
        Err(rejected) => rejected,
    }
}

#[test]
fn valid_cases_are_accepted_and_others_rejected_at_their_element() {
    let wrong: Vec<_> = cases()
        .filter_map(|(path, what, document)| {
            let found = Study::parse(&document);
            let right = match &found {
                Ok(_) => path == "-",
                Err(rejected) => rejected.problems.iter().any(|problem| problem.path == path),
            };
            (!right).then(|| format!("{what}: {:?}", found.map(|_| "accepted").map_err(|r| r.problems)))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_case_is_rejected_for_one_reason() {
    let several: Vec<_> = cases()
        .filter(|(path, ..)| *path != "-")
        .map(|(_, what, document)| (what, rejected(&document).problems))
        .filter(|(_, problems)| problems.len() > 1)
        .collect();
    assert!(several.is_empty(), "{several:#?}");
}

#[test]
#[ignore = "needs STUDIES_DIR, a folder of collected ImagingStudy documents"]
fn collected_documents_are_accepted_in_their_own_bytes() {
    for file in local::json_files(&testkit::data_folder("STUDIES_DIR")) {
        let json = fs::read_to_string(&file).unwrap();
        match Study::parse(&json) {
            Ok(study) => assert_eq!(study.json(), json.trim_ascii(), "{}", file.display()),
            // One of them has no id, and nothing else wrong with it.
            Err(rejected) => {
                let paths: Vec<_> = rejected.problems.iter().map(|problem| &*problem.path).collect();
                assert_eq!(paths, ["ImagingStudy.id"], "{}", file.display());
            }
        }
    }
}

#[test]
#[ignore = "needs STUDIES_DIR, a folder of collected ImagingStudy documents with a subfolder not-r4"]
fn collected_documents_of_other_fhir_versions_are_rejected_where_they_differ() {
    for file in local::json_files(&testkit::data_folder("STUDIES_DIR").join("not-r4")) {
        let rejected = rejected(&fs::read_to_string(&file).unwrap());
        let expected = match file.file_stem().unwrap().to_str().unwrap() {
            "dicom2fhir-00-mr-raw" => ("ImagingStudy.extension", "must not be an empty array"),
            "dstu2-hl7-example" => ("ImagingStudy.patient", "is not an element of an R4 ImagingStudy"),
            "hl7-r5-example" => {
                ("ImagingStudy.series[0].modality.coding", "is not an element of an R4 Coding")
            }
            "no-subject" => ("ImagingStudy.subject", "is required"),
            other => panic!("what is wrong with {other}?"),
        };
        let found = rejected.problems.iter().any(|p| (&*p.path, &*p.reason) == expected);
        assert!(found, "{}: {:?}", file.display(), rejected.problems);
    }
}

#[test]
fn a_syntax_error_is_located_by_line_and_column() {
    let rejected = rejected("{\"resourceType\":\n\"ImagingStudy\",}");
    assert!(rejected.problems[0].reason.ends_with("line 2 column 16"), "{rejected}");
}

#[test]
fn a_rejected_document_keeps_its_id() {
    assert_eq!(rejected(&with(r#","foo":1"#)).id.as_deref(), Some("a"));
}

#[test]
fn problems_beyond_the_twentieth_are_counted() {
    let unknown: Vec<_> = (0..25).map(|n| format!(r#","x{n}":1"#)).collect();
    let rejected = rejected(&with(&unknown.concat()));
    assert_eq!((rejected.problems.len(), rejected.omitted), (20, 5));
}

#[test]
fn no_reason_contains_a_value_of_the_document() {
    for (_, what, document) in cases() {
        let document = document.replace("available", "SECRET").replace("Patient/1", "SECRET/1");
        let Err(rejected) = Study::parse(&document) else { continue };
        let reasons = rejected.problems.iter().map(ToString::to_string).collect::<String>();
        assert!(!reasons.contains("SECRET"), "{what}: {reasons}");
    }
}

#[test]
fn a_reason_says_what_the_element_must_be_and_what_was_found() {
    let extension = |value: &str| format!(r#""extension":[{{"url":"http://example.org/e",{value}}}]"#);
    for (members, reason) in [
        (r#""description":null"#, "must be a string, not null"),
        (r#""description":true"#, "must be a string, not a boolean"),
        (r#""description":1"#, "must be a string, not a number"),
        (r#""description":[]"#, "must be a string, not an array"),
        (r#""description":{}"#, "must be a string, not an object"),
        (r#""numberOfSeries":"1""#, "must be a number, not a string"),
        (r#""numberOfSeries":false"#, "must be a number, not a boolean"),
        (r#""numberOfSeries":-1"#, "must be an integer from 0 to 2147483647"),
        (&extension(r#""valueBoolean":"true""#), "must be true or false, not a string"),
        (&extension(r#""valueBoolean":1"#), "must be true or false, not a number"),
        (&extension(r#""valueDecimal":"1""#), "must be a number, not a string"),
        (&extension(r#""valueInteger":null"#), "must be a number, not null"),
        (&extension(r#""valuePositiveInt":"1""#), "must be a number, not a string"),
        (r#""encounter":null"#, "must be an object, not null"),
        (r#""encounter":"x""#, "must be an object, not a string"),
        (r#""encounter":[]"#, "must be one object, not an array"),
        (r#""identifier":true"#, "must be an array, not a boolean"),
        (r#""identifier":[{"use":1}]"#, "must be a string, not a number"),
        (r#""identifier":[{"use":"x"}]"#, "must be one of official, old, secondary, temp, usual"),
        (&extension(r#""valueMoney":{"currency":"x"}"#), "is not in the value set that R4 requires"),
        (r#""encounter":{"reference":"Patient/1"}"#, "must refer to Encounter"),
        (
            r#""basedOn":[{"type":"Patient"}]"#,
            "must refer to CarePlan or ServiceRequest or Appointment or AppointmentResponse or Task",
        ),
    ] {
        let reasons: Vec<_> = rejected(&with(&format!(",{members}")))
            .problems
            .into_iter()
            .map(|problem| problem.reason)
            .collect();
        assert_eq!(reasons, [reason], "{members}");
    }
}

#[test]
fn a_string_has_at_most_1048576_characters() {
    let described = |characters: usize| with(&format!(r#","description":"{}""#, "ä".repeat(characters)));
    assert!(Study::parse(&described(1_048_576)).is_ok());
    assert_eq!(rejected(&described(1_048_577)).problems[0].reason, "must not exceed 1048576 characters");
}

#[test]
fn a_document_has_at_most_a_hundred_levels() {
    // `contained`, its item and `x` are the first three.
    let deep = |levels: usize| {
        let x = format!("{}1{}", r#"{"x":"#.repeat(levels - 3), "}".repeat(levels - 3));
        let contained = format!(r#""contained":[{{"resourceType":"Encounter","id":"e","x":{x}}}]"#);
        with(&format!(r##",{contained},"encounter":{{"reference":"#e"}}"##))
    };
    assert!(Study::parse(&deep(100)).is_ok());
    assert_eq!(rejected(&deep(101)).problems[0].reason, "is nested too deeply");
}

#[test]
fn endless_nesting_is_rejected_without_overflowing_the_stack() {
    let deep = |levels: usize| {
        let open = r#"{"url":"http://example.org/e","extension":["#.repeat(levels);
        with(&format!(r#","extension":[{open}{{"url":"x","valueCode":"y"}}{}]"#, "]}".repeat(levels)))
    };
    assert!(Study::parse(&deep(40)).is_ok());
    assert!(rejected(&deep(10_000)).problems[0].reason.contains("too deeply"));
}

proptest! {
    /// The check ends for any input: it accepts the document unchanged, or says where it is wrong.
    #[test]
    fn a_damaged_document_is_accepted_unchanged_or_rejected_with_reasons(
        case in prop::sample::select(cases().collect::<Vec<_>>()),
        at in any::<prop::sample::Index>(),
        instead in prop::sample::select(vec!["", "\"", "{", "}", "[", "]", ",", "null", "0", "\\", "_", "\u{0}", "é"]),
        length in 0_usize..4,
    ) {
        let mut characters: Vec<char> = case.2.chars().collect();
        let at = at.index(characters.len());
        let end = (at + length).min(characters.len());
        characters.splice(at..end, instead.chars());
        let document: String = characters.into_iter().collect();
        match Study::parse(&document) {
            Ok(study) => prop_assert_eq!(study.json(), document.trim()),
            Err(rejected) => prop_assert!((1..=MAX_PROBLEMS).contains(&rejected.problems.len())),
        }
    }
}
