//! What R4 allows in a study and DICOM does not.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::json::Text;
use super::problem::Problem;
use super::study::Study;
use super::work::count;

/// Warnings of each kind that are kept per document; the rest are counted.
const MAX_OF_A_KIND: usize = 100;

/// Acquisition modalities: DICOM PS3.16 CID 29, sorted.
const ACQUISITION: [&str; 51] = [
    "AR", "BDUS", "BI", "BMD", "CFM", "CR", "CT", "DG", "DMS", "DX", "ECG", "EEG", "EMG", "EOG", "EPS", "ES",
    "GM", "HD", "IO", "IVOCT", "IVUS", "KER", "LEN", "LS", "MG", "MR", "NM", "OAM", "OCT", "OP", "OPM",
    "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "PA", "POS", "PT", "PX", "RESP", "RF", "RG", "RTIMAGE", "SM",
    "SRF", "TG", "US", "VA", "XA", "XC",
];
/// The others of CID 33, and the defined terms of PS3.3 C.7.3.1.1.1 that it lacks (`ANN`, `RTINTENT`, `RTRAD`,
/// `RTSEGANN`, `XAPROTOCOL`), sorted.
const OTHER: [&str; 28] = [
    "ANN", "ASMT", "AU", "CTPROTOCOL", "DOC", "FID", "HC", "IOL", "KO", "M3D", "OT", "PLAN", "PR", "REG",
    "RTDOSE", "RTINTENT", "RTPLAN", "RTRAD", "RTRECORD", "RTSEGANN", "RTSTRUCT", "RWV", "SEG", "SMR", "SR",
    "STAIN", "TEXTUREMAP", "XAPROTOCOL",
];
/// Names of DICOM's code system: R4's, its OID, and DSTU2's.
const DCM: [&str; 3] = [
    "http://dicom.nema.org/resources/ontology/DCM",
    "urn:oid:1.2.840.10008.2.16.4",
    "http://nema.org/dicom/dicm",
];
/// The system of identifiers that are DICOM UIDs (FHIR R4 imagingstudy.html#notes).
const DICOM_UID: &str = "urn:dicom:uid";

const NOT_A_UID: &str = "is not a DICOM UID";
const NOT_A_URN: &str = "must be urn:oid: and a DICOM UID";
const NOT_A_SOP_CLASS: &str = "is not a SOP class, urn:oid: and a DICOM UID";
const REPEATED: &str = "is also the UID of another element";
const UNKNOWN_MODALITY: &str = "is not a modality of DICOM (PS3.16 CID 33)";
const OF_NO_SERIES: &str = "is the modality of no series";
const NOT_OF_THE_STUDY: &str = "is not among the modalities of the study";
const OTHER_SERIES: &str = "is not the number of series listed";
const OTHER_INSTANCES: &str = "is not the number of instances listed";

/// What DICOM does not allow in a study.
#[derive(Debug, Default)]
pub struct Warnings {
    /// The warnings, up to 100 of each kind.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub omitted: usize,
    counts: HashMap<&'static str, usize>,
}

impl Warnings {
    /// What DICOM does not allow in `study`.
    #[must_use]
    pub fn of(study: &Study<'_>) -> Self {
        let mut warnings = Self::default();
        count(study.json().len());
        // The check has passed, so that this does not fail.
        if let Ok(study) = serde_json::from_str::<Elements<'_>>(study.json()) {
            warnings.uids(&study);
            warnings.counts(&study);
            warnings.modalities(&study);
        }
        warnings
    }

    fn warn(&mut self, kind: &'static str, path: impl FnOnce() -> String) {
        count(1);
        let of_this_kind = self.counts.entry(kind).or_default();
        *of_this_kind += 1;
        if *of_this_kind <= MAX_OF_A_KIND {
            let path = format!("ImagingStudy.{}", path());
            self.problems.push(Problem { path, reason: kind.into() });
        } else {
            self.omitted += 1;
        }
    }

    fn uids(&mut self, study: &Elements<'_>) {
        let mut seen = HashSet::new();
        for (index, identifier) in study.identifier.iter().enumerate() {
            if text(identifier.system.as_ref()) != DICOM_UID {
                continue;
            }
            match urn(identifier.value.as_ref()) {
                Some(uid) => drop(seen.insert(uid)),
                None => self.warn(NOT_A_URN, || format!("identifier[{index}].value")),
            }
        }
        let mut uid = |this: &mut Self, uid, path: &dyn Fn() -> String| {
            let uid = text(uid);
            if !is_uid(uid) {
                this.warn(NOT_A_UID, path);
            } else if !seen.insert(uid) {
                this.warn(REPEATED, path);
            }
        };
        for (s, series) in study.series.iter().enumerate() {
            uid(self, series.uid.as_ref(), &|| format!("series[{s}].uid"));
            for (i, instance) in series.instance.iter().enumerate() {
                uid(self, instance.uid.as_ref(), &|| format!("series[{s}].instance[{i}].uid"));
                if instance.sop_class.as_ref().is_none_or(|class| urn(class.code.as_ref()).is_none()) {
                    self.warn(NOT_A_SOP_CLASS, || format!("series[{s}].instance[{i}].sopClass.code"));
                }
            }
        }
    }

    /// What is not listed at all contradicts nothing.
    fn counts(&mut self, study: &Elements<'_>) {
        let is_other = |claimed: Option<u64>, listed: usize| {
            listed > 0 && claimed.is_some_and(|claimed| claimed != listed as u64)
        };
        if is_other(study.number_of_series, study.series.len()) {
            self.warn(OTHER_SERIES, || "numberOfSeries".to_owned());
        }
        for (s, series) in study.series.iter().enumerate() {
            if is_other(series.number_of_instances, series.instance.len()) {
                self.warn(OTHER_INSTANCES, || format!("series[{s}].numberOfInstances"));
            }
        }
        let is_counted =
            |series: &Series<'_>| series.number_of_instances.is_some() || !series.instance.is_empty();
        let instances =
            |series: &Series<'_>| series.number_of_instances.unwrap_or(series.instance.len() as u64);
        let total: u64 = study.series.iter().map(instances).sum();
        let is_total = !study.series.is_empty() && study.series.iter().all(is_counted);
        if study.number_of_instances.is_some_and(|claimed| claimed < total || is_total && claimed != total) {
            self.warn(OTHER_INSTANCES, || "numberOfInstances".to_owned());
        }
    }

    fn modalities(&mut self, study: &Elements<'_>) {
        let of_study: HashSet<&str> = study.modality.iter().map(Coding::code).collect();
        // Compared with those of the study, if it has any.
        let series = if of_study.is_empty() { &[] } else { &*study.series };
        let of_series: HashSet<&str> =
            series.iter().filter_map(|series| series.modality.as_ref()).map(Coding::code).collect();
        for (m, modality) in study.modality.iter().enumerate() {
            if !modality.is_modality() {
                self.warn(UNKNOWN_MODALITY, || format!("modality[{m}]"));
            } else if !of_series.is_empty() && !of_series.contains(modality.code()) {
                self.warn(OF_NO_SERIES, || format!("modality[{m}]"));
            }
        }
        for (s, series) in study.series.iter().enumerate() {
            let Some(modality) = &series.modality else { continue };
            if !modality.is_modality() {
                self.warn(UNKNOWN_MODALITY, || format!("series[{s}].modality"));
            } else if !of_study.is_empty()
                && is_one_of(&ACQUISITION, modality.code())
                && !of_study.contains(modality.code())
            {
                // R4 lists the acquisition modalities of the series, and no others, at the study.
                self.warn(NOT_OF_THE_STUDY, || format!("series[{s}].modality"));
            }
        }
    }
}

/// What DICOM has a say in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Elements<'a> {
    #[serde(borrow, default)]
    identifier: Vec<Identifier<'a>>,
    #[serde(borrow, default)]
    modality: Vec<Coding<'a>>,
    number_of_series: Option<u64>,
    number_of_instances: Option<u64>,
    #[serde(borrow, default)]
    series: Vec<Series<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series<'a> {
    #[serde(borrow)]
    uid: Option<Text<'a>>,
    #[serde(borrow)]
    modality: Option<Coding<'a>>,
    number_of_instances: Option<u64>,
    #[serde(borrow, default)]
    instance: Vec<Instance<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance<'a> {
    #[serde(borrow)]
    uid: Option<Text<'a>>,
    #[serde(borrow)]
    sop_class: Option<Coding<'a>>,
}

#[derive(Deserialize)]
struct Identifier<'a> {
    #[serde(borrow)]
    system: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Coding<'a> {
    #[serde(borrow)]
    system: Option<Text<'a>>,
    #[serde(borrow)]
    code: Option<Text<'a>>,
}

impl Coding<'_> {
    fn code(&self) -> &str {
        text(self.code.as_ref())
    }

    fn is_modality(&self) -> bool {
        let is_dicom = self.system.as_ref().is_none_or(|Text(system)| DCM.contains(&&**system));
        is_dicom && (is_one_of(&ACQUISITION, self.code()) || is_one_of(&OTHER, self.code()))
    }
}

/// The text, or an empty one.
fn text<'t>(text: Option<&'t Text<'_>>) -> &'t str {
    text.map_or("", |Text(text)| text)
}

fn is_one_of(sorted: &[&str], code: &str) -> bool {
    sorted.binary_search(&code).is_ok()
}

/// The UID in `urn:oid:…`.
fn urn<'t>(urn: Option<&'t Text<'_>>) -> Option<&'t str> {
    text(urn).strip_prefix("urn:oid:").filter(|uid| is_uid(uid))
}

/// DICOM PS3.5 §9.1: at most 64 digits and dots; numbers without leading zeros, the first one at most 2.
fn is_uid(text: &str) -> bool {
    let is_number =
        |component: &[u8]| component == b"0" || component.first().is_some_and(|digit| *digit != b'0');
    let mut components = text.as_bytes().split(|byte| *byte == b'.');
    text.len() <= 64
        && matches!(components.next(), Some(b"0" | b"1" | b"2"))
        && text.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit())
        && text.contains('.')
        && components.all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_made_of_numbers_without_leading_zeros() {
        let longest = format!("1.{}", "2".repeat(62));
        for uid in ["1.2", "0.0", "2.25.329800735698586629295641978511506172918", &longest] {
            assert!(is_uid(uid), "{uid}");
        }
        let too_long = format!("1.{}", "2".repeat(63));
        for text in
            ["", "1", "1.", ".1", "1..2", "1.02", "1.00", "3.1", "1.2a", "abc", "1.2 ", "1.-2", &too_long]
        {
            assert!(!is_uid(text), "{text}");
        }
    }

    #[test]
    fn the_modalities_are_sorted() {
        assert!(ACQUISITION.is_sorted() && OTHER.is_sorted());
    }
}
