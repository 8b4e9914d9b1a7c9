//! The warnings about DICOM.
#![expect(clippy::unwrap_used, reason = "tests")]

use fhir_r4::{Study, Warnings};

const SOP_CLASS: &str =
    r#""sopClass":{"system":"urn:ietf:rfc:3986","code":"urn:oid:1.2.840.10008.5.1.4.1.1.2"}"#;

fn warnings(members: &str) -> Warnings {
    let required = r#""resourceType":"ImagingStudy","id":"a","status":"available""#;
    let json = format!(r#"{{{required},"subject":{{"reference":"Patient/1"}},{members}}}"#);
    let study = Study::parse(&json).map_err(|error| format!("{json}: {error}"));
    Warnings::of(&study.unwrap())
}

/// Each warning without `ImagingStudy.`.
fn told(members: &str) -> Vec<String> {
    let problems = warnings(members).problems;
    problems.iter().map(|problem| problem.to_string().replacen("ImagingStudy.", "", 1)).collect()
}

/// A series of computed tomography with these members.
fn series(uid: &str, members: &str) -> String {
    format!(r#"{{"uid":"{uid}","modality":{{"code":"CT"}}{members}}}"#)
}

fn instance(uid: &str) -> String {
    format!(r#"{{"uid":"{uid}",{SOP_CLASS}}}"#)
}

#[test]
fn what_dicom_does_not_allow_is_told_with_its_element() {
    let one = series("1.2.1", &format!(r#","numberOfInstances":1,"instance":[{}]"#, instance("1.2.1.1")));
    let sop_class =
        |class: &str| series("1.2.1", &format!(r#","instance":[{{"uid":"1.2.1.1","sopClass":{class}}}]"#));
    let identifier =
        |value: &str| format!(r#""identifier":[{{"system":"urn:dicom:uid","value":"{value}"}}]"#);
    let of_modality = |of_study: &str, of_series: &str| {
        format!(r#""modality":[{of_study}],"series":[{{"uid":"1.2","modality":{of_series}}}]"#)
    };
    let dcm = |code: &str| {
        format!(r#"{{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"{code}"}}"#)
    };
    let not_a_uid = "series[0].uid is not a DICOM UID";
    let long = format!("1.{}", "2".repeat(62));
    for (members, expected) in [
        (format!(r#""numberOfSeries":1,"numberOfInstances":1,"series":[{one}]"#), vec![]),
        (format!(r#""series":[{}]"#, series("abc", "")), vec![not_a_uid]),
        (format!(r#""series":[{}]"#, series("1.02", "")), vec![not_a_uid]),
        (format!(r#""series":[{}]"#, series(&long, "")), vec![]),
        (
            format!(r#""series":[{}]"#, series("1.2", &format!(r#","instance":[{}]"#, instance("1..2")))),
            vec!["series[0].instance[0].uid is not a DICOM UID"],
        ),
        (
            format!(r#""series":[{},{}]"#, series("1.2", ""), series("1.2", "")),
            vec!["series[1].uid is also the UID of another element"],
        ),
        (
            format!(
                r#""series":[{one},{}]"#,
                series("1.2.2", &format!(r#","instance":[{}]"#, instance("1.2.1.1")))
            ),
            vec!["series[1].instance[0].uid is also the UID of another element"],
        ),
        (identifier("urn:oid:1.2.3"), vec![]),
        (identifier("1.2.3"), vec!["identifier[0].value must be urn:oid: and a DICOM UID"]),
        (identifier("urn:oid:1.02"), vec!["identifier[0].value must be urn:oid: and a DICOM UID"]),
        (r#""identifier":[{"system":"urn:x","value":"1.02"}]"#.to_owned(), vec![]),
        (
            format!(r#""numberOfSeries":2,"numberOfInstances":1,"series":[{one}]"#),
            vec!["numberOfSeries is not the number of series listed"],
        ),
        (
            format!(r#""numberOfInstances":2,"series":[{one}]"#),
            vec!["numberOfInstances is not the number of instances listed"],
        ),
        (
            format!(
                r#""series":[{}]"#,
                series("1.2", &format!(r#","numberOfInstances":3,"instance":[{}]"#, instance("1.3")))
            ),
            vec!["series[0].numberOfInstances is not the number of instances listed"],
        ),
        (r#""numberOfSeries":3,"numberOfInstances":60"#.to_owned(), vec![]),
        (format!(r#""numberOfInstances":60,"series":[{}]"#, series("1.2", "")), vec![]),
        (
            format!(r#""numberOfInstances":60,"series":[{}]"#, series("1.2", r#","numberOfInstances":60"#)),
            vec![],
        ),
        (of_modality(&dcm("CT"), &dcm("CT")), vec![]),
        (
            of_modality(&dcm("XX"), &dcm("YY")),
            vec![
                "modality[0] is not a modality of DICOM (PS3.16 CID 33)",
                "series[0].modality is not a modality of DICOM (PS3.16 CID 33)",
            ],
        ),
        (
            of_modality(&dcm("MR"), &dcm("CT")),
            vec![
                "modality[0] is the modality of no series",
                "series[0].modality is not among the modalities of the study",
            ],
        ),
        // The study's own list has acquisition modalities only.
        (
            format!(
                r#""modality":[{0}],"series":[{{"uid":"1.2","modality":{0}}},{{"uid":"1.3","modality":{1}}}]"#,
                dcm("CT"),
                dcm("SR")
            ),
            vec![],
        ),
        (
            of_modality(r#"{"system":"http://snomed.info/sct","code":"CT"}"#, &dcm("CT")),
            vec!["modality[0] is not a modality of DICOM (PS3.16 CID 33)"],
        ),
        (
            format!(r#""series":[{}]"#, sop_class(r#"{"code":"1.2.840.10008.5.1.4.1.1.2"}"#)),
            vec!["series[0].instance[0].sopClass.code is not a SOP class, urn:oid: and a DICOM UID"],
        ),
        (
            format!(r#""series":[{}]"#, sop_class(r#"{"display":"CT Image Storage"}"#)),
            vec!["series[0].instance[0].sopClass.code is not a SOP class, urn:oid: and a DICOM UID"],
        ),
    ] {
        assert_eq!(told(&members), expected, "{members}");
    }
}

#[test]
fn a_hundred_warnings_of_a_kind_are_kept_and_the_rest_counted() {
    let instances = vec![r#"{"uid":"1.5","sopClass":{"code":"x"}}"#; 150].join(",");
    let warnings =
        warnings(&format!(r#""series":[{}]"#, series("1.2", &format!(r#","instance":[{instances}]"#))));
    // All instances have no class, all but one repeat the first one's UID.
    assert_eq!((warnings.problems.len(), warnings.omitted), (200, 99));
}

#[test]
fn the_sample_studies_carry_no_warning_and_their_uids_come_from_uuids() {
    for path in local::sample_paths() {
        let json = std::fs::read_to_string(&path).unwrap();
        let problems = Warnings::of(&Study::parse(&json).unwrap()).problems;
        assert!(problems.is_empty(), "{}: {problems:?}", path.display());
        assert!(json.contains(r#""system": "urn:dicom:uid""#), "{}: no Study Instance UID", path.display());
        for uid in json.split("2.25.").skip(1) {
            let uuid: u128 = uid.split('"').next().unwrap().parse().unwrap();
            // RFC 9562 §4: the version and the variant.
            assert_eq!((uuid >> 76 & 0xf, uuid >> 62 & 3), (4, 2), "{}: {uuid}", path.display());
        }
    }
}
