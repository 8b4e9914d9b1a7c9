//! Subsets of a document: `_summary` and `_elements` (FHIR R4 search.html#summary, #elements).
//!
//! A subset leaves members out and adds the tag SUBSETTED to `meta`; everything else keeps its bytes and its order. It is
//! written while the document is read, so that it needs no memory but its own.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use table::document::{Document, digest};
use table::error::DocumentError;
use table::gzip::fits_response;

use super::error::ApiError;
use super::reply::MAX_TEXT_BYTES;

/// The elements of the document that the client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Subset {
    /// All of them.
    #[default]
    Whole,
    /// `_summary=true`: the elements that the R4 definition marks as summary.
    Summary,
    /// `_summary=text`: the narrative, `id`, `meta` and the mandatory elements.
    Text,
    /// `_summary=data`: everything except the narrative.
    Data,
    /// `_elements`: these, the mandatory and the modifier elements. Sorted, without duplicates.
    Elements(Vec<String>),
}

/// The elements of every subset: identity, the mandatory and the modifier elements.
const ALWAYS: [&str; 7] =
    ["resourceType", "id", "meta", "implicitRules", "modifierExtension", "status", "subject"];

/// The elements of the resource that the `StructureDefinition` of R4 4.0.1 marks `isSummary`, without those in [`ALWAYS`].
const SUMMARY: [&str; 18] = [
    "identifier", "modality", "encounter", "started", "basedOn", "referrer", "interpreter", "endpoint",
    "numberOfSeries", "numberOfInstances", "procedureReference", "procedureCode", "location", "reasonCode",
    "reasonReference", "note", "description", "series",
];

/// The summary elements of a series: without `instance`, the bulk of a large study.
const SERIES_SUMMARY: [&str; 12] = [
    "modifierExtension", "uid", "number", "modality", "description", "numberOfInstances", "endpoint",
    "bodySite", "laterality", "specimen", "started", "performer",
];

impl Subset {
    /// Reads the two parameters; `_summary` overrides `_elements`. Values without a meaning for a read, such as `count`,
    /// are ignored.
    pub(super) fn of(summary: Option<&str>, elements: Option<&str>) -> Self {
        match (summary, elements) {
            (Some("true"), _) => Self::Summary,
            (Some("text"), _) => Self::Text,
            (Some("data"), _) => Self::Data,
            (_, Some(elements)) => {
                let mut names: Vec<_> = elements
                    .split(',')
                    .map(|name| name.trim().trim_start_matches("ImagingStudy."))
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect();
                names.sort_unstable();
                names.dedup();
                if names.is_empty() { Self::Whole } else { Self::Elements(names) }
            }
            _ => Self::Whole,
        }
    }

    /// Suffix that distinguishes the subset's entity tag; `None` for the whole document.
    pub(super) fn tag_suffix(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Whole => None,
            Self::Summary => Some("summary".into()),
            Self::Text => Some("text".into()),
            Self::Data => Some("data".into()),
            Self::Elements(names) => Some(format!("elements-{}", digest(names.join(",").as_bytes())).into()),
        }
    }

    /// The subset of a document: as text if a response can carry it, else compressed if `gzip` is acceptable.
    pub(super) fn of_document(&self, json: String, gzip: bool) -> Result<Document, ApiError> {
        if *self == Self::Whole {
            return Ok(Document::Text(json));
        }
        let mut out = Output::Text(String::new(), gzip);
        self.write(&json, &mut out).map_err(DocumentError::from)?;
        drop(json);
        out.finish()
    }

    fn write(&self, json: &str, out: &mut Output) -> serde_json::Result<()> {
        let keeps_contained = self.refers_to_contained(json)?;
        let mut object = Composite::object(out);
        let mut tagged = false;
        members(json, |name, value| {
            match name {
                "contained" if keeps_contained => object.member(name).push(value),
                _ if !self.keeps(name) => {}
                "meta" if is_null(value) => {}
                "meta" => {
                    tagged = true;
                    write_tagged(value, object.member(name))?;
                }
                "series" if *self == Self::Summary && is_null(value) => {}
                "series" if *self == Self::Summary => write_summarized_series(value, object.member(name))?,
                _ => object.member(name).push(value),
            }
            Ok(())
        })?;
        if !tagged {
            write_tagged("{}", object.member("meta"))?;
        }
        object.finish();
        Ok(())
    }

    /// Whether the document contains resources that an element of the subset refers to (FHIR R4 references.html#contained).
    fn refers_to_contained(&self, json: &str) -> serde_json::Result<bool> {
        let (mut contains, mut refers) = (false, false);
        members(json, |name, value| {
            contains |= name == "contained" && !is_null(value);
            Ok(())
        })?;
        if !contains || self.keeps("contained") {
            return Ok(false);
        }
        members(json, |name, value| {
            if *self != Self::Summary || name != "series" {
                refers |= self.keeps(name) && refers_to_contained(value, 0)?;
            } else if !is_null(value) {
                elements(value, |one| {
                    members(if is_null(one) { "{}" } else { one }, |name, value| {
                        refers |= is_series_summary(name) && refers_to_contained(value, 0)?;
                        Ok(())
                    })
                })?;
            }
            Ok(())
        })?;
        Ok(refers)
    }

    fn keeps(&self, name: &str) -> bool {
        // The extensions of a primitive have its name with an underscore, and belong to it.
        let name = name.strip_prefix('_').unwrap_or(name);
        match self {
            Self::Whole => true,
            Self::Summary => ALWAYS.contains(&name) || SUMMARY.contains(&name),
            Self::Text => ["resourceType", "id", "meta", "text", "status", "subject"].contains(&name),
            Self::Data => name != "text",
            Self::Elements(names) => {
                ALWAYS.contains(&name) || names.binary_search_by(|wanted| wanted.as_str().cmp(name)).is_ok()
            }
        }
    }
}

/// How much is compressed between two looks at the size of the result.
const CHUNK_BYTES: usize = 64 << 10;

/// More than any document has. Each level is parsed again.
const MAX_DEPTH: usize = 64;

/// The tag of an incomplete resource (FHIR R4 resource.html#simple-tags).
const SUBSETTED: &str =
    r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}"#;

/// Writes `meta` with the tag SUBSETTED added.
fn write_tagged(meta: &str, out: &mut Output) -> serde_json::Result<()> {
    let mut object = Composite::object(out);
    let mut tagged = false;
    members(meta, |name, value| {
        if name != "tag" {
            object.member(name).push(value);
        } else if !is_null(value) {
            tagged = true;
            write_tags(value, object.member(name))?;
        }
        Ok(())
    })?;
    if !tagged {
        write_tags("[]", object.member("tag"))?;
    }
    object.finish();
    Ok(())
}

fn write_tags(tags: &str, out: &mut Output) -> serde_json::Result<()> {
    let mut array = Composite::array(out);
    elements(tags, |tag| {
        array.element().push(tag);
        Ok(())
    })?;
    array.element().push(SUBSETTED);
    array.finish();
    Ok(())
}

fn write_summarized_series(series: &str, out: &mut Output) -> serde_json::Result<()> {
    let mut array = Composite::array(out);
    elements(series, |one| {
        if is_null(one) {
            return Ok(());
        }
        let mut object = Composite::object(array.element());
        members(one, |name, value| {
            if is_series_summary(name) {
                object.member(name).push(value);
            }
            Ok(())
        })?;
        object.finish();
        Ok(())
    })?;
    array.finish();
    Ok(())
}

fn is_series_summary(name: &str) -> bool {
    SERIES_SUMMARY.contains(&name.strip_prefix('_').unwrap_or(name))
}

/// Whether a value has a reference to a contained resource: `#` and its id. One nested too deeply to tell counts as such.
fn refers_to_contained(json: &str, depth: usize) -> serde_json::Result<bool> {
    let mut refers = depth == MAX_DEPTH;
    match json.as_bytes() {
        _ if refers => {}
        [b'{', ..] => members(json, |name, value| {
            let is_local = |text: Name<'_>| text.0.starts_with('#');
            refers |= name == "reference" && serde_json::from_str(value).is_ok_and(is_local);
            refers |= !refers && refers_to_contained(value, depth + 1)?;
            Ok(())
        })?,
        [b'[', ..] => elements(json, |value| {
            refers |= !refers && refers_to_contained(value, depth + 1)?;
            Ok(())
        })?,
        _ => {}
    }
    Ok(refers)
}

/// Other writers leave nulls where FHIR has no element.
fn is_null(json: &str) -> bool {
    json == "null"
}

/// Calls `each` with the members of a JSON object, in their order, the values unparsed.
fn members<'a>(
    json: &'a str,
    each: impl FnMut(&str, &'a str) -> serde_json::Result<()>,
) -> serde_json::Result<()> {
    struct Members<F>(F);
    impl<'de, F: FnMut(&str, &'de str) -> serde_json::Result<()>> Visitor<'de> for Members<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                self.0(&name.0, value.get()).map_err(A::Error::custom)?;
            }
            Ok(())
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(Members(each))?;
    deserializer.end()
}

/// Calls `each` with the elements of a JSON array, in their order, unparsed.
fn elements<'a>(
    json: &'a str,
    mut each: impl FnMut(&'a str) -> serde_json::Result<()>,
) -> serde_json::Result<()> {
    serde_json::from_str::<Vec<&'a RawValue>>(json)?.into_iter().try_for_each(|value| each(value.get()))
}

/// A name, borrowed unless it contains escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON object or array that is being written.
struct Composite<'a> {
    out: &'a mut Output,
    empty: bool,
    end: &'static str,
}

impl<'a> Composite<'a> {
    fn object(out: &'a mut Output) -> Self {
        out.push("{");
        Self { out, empty: true, end: "}" }
    }

    fn array(out: &'a mut Output) -> Self {
        out.push("[");
        Self { out, empty: true, end: "]" }
    }

    /// Writes the separator; the element follows.
    fn element(&mut self) -> &mut Output {
        if !std::mem::take(&mut self.empty) {
            self.out.push(",");
        }
        self.out
    }

    /// Writes the name; the value follows.
    fn member(&mut self, name: &str) -> &mut Output {
        let out = self.element();
        out.push(&serde_json::Value::from(name).to_string());
        out.push(":");
        out
    }

    fn finish(self) {
        self.out.push(self.end);
    }
}

/// A subset that is being written: text up to what a response can carry, compressed beyond that.
enum Output {
    /// Text, and whether it may be compressed.
    Text(String, bool),
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Failed(ApiError),
}

impl Output {
    fn push(&mut self, part: &str) {
        match self {
            Self::Text(text, _) if text.len() + part.len() <= MAX_TEXT_BYTES => text.push_str(part),
            Self::Text(_, false) => *self = Self::Failed(ApiError::CompressionRequired),
            Self::Text(text, true) => {
                let text = std::mem::take(text);
                *self = Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast()).into());
                self.push(&text);
                self.push(part);
            }
            Self::Gzip(encoder) => {
                for chunk in part.as_bytes().chunks(CHUNK_BYTES) {
                    if !fits_response(encoder.get_ref().len()) || encoder.write_all(chunk).is_err() {
                        *self = Self::Failed(DocumentError::TooLarge.into());
                        return;
                    }
                }
            }
            Self::Failed(_) => {}
        }
    }

    fn finish(self) -> Result<Document, ApiError> {
        match self {
            Self::Text(text, _) => Ok(Document::Text(text)),
            Self::Gzip(encoder) => Ok(Document::Gzip(encoder.finish().map_err(DocumentError::Gzip)?)),
            Self::Failed(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: &str = r#"{"resourceType":"ImagingStudy","id":"a","text":{"status":"empty"},
        "extension":[{"url":"x","valueDecimal":1.10}],"status":"available","_status":{"id":"s"},
        "subject":{"reference":"Patient/1"},"numberOfSeries":1,
        "series":[{"id":"1","uid":"1.2","modality":{"code":"CT"},"instance":[{"uid":"1.2.3"}]}]}"#;

    fn cut(subset: &Subset, json: &str) -> String {
        match subset.of_document(json.to_owned(), false).unwrap() {
            Document::Text(text) => text,
            Document::Gzip(_) => panic!("compressed"),
        }
    }

    #[test]
    fn a_summary_keeps_the_series_without_their_instances() {
        assert_eq!(
            cut(&Subset::Summary, STUDY),
            concat!(
                r#"{"resourceType":"ImagingStudy","id":"a","status":"available","_status":{"id":"s"},"#,
                r#""subject":{"reference":"Patient/1"},"numberOfSeries":1,"#,
                r#""series":[{"uid":"1.2","modality":{"code":"CT"}}],"#,
                r#""meta":{"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","#,
                r#""code":"SUBSETTED"}]}}"#
            )
        );
    }

    #[test]
    fn the_text_keeps_the_narrative_and_what_is_mandatory() {
        let text = cut(&Subset::Text, STUDY);
        let mut names = Vec::new();
        members(&text, |name, _| {
            names.push(name.to_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!(names, ["resourceType", "id", "text", "status", "_status", "subject", "meta"]);
    }

    #[test]
    fn the_data_lacks_the_narrative_only() {
        let data = cut(&Subset::Data, STUDY);
        assert!(!data.contains("\"text\"") && data.contains("1.10") && data.contains("instance"));
    }

    #[test]
    fn contained_resources_are_kept_where_an_element_of_the_subset_refers_to_one() {
        let study =
            |rest: &str| format!(r#"{{"contained":[{{"id":"c"}}],"resourceType":"ImagingStudy",{rest}}}"#);
        let subject = study(r##""subject":{"reference":"#c"}"##);
        let endpoint = study(r##""series":[null,{"endpoint":[{"reference":"#c"}]}]"##);
        let performer = study(r#""series":[{"performer":[{"actor":{"reference":"\u0023c"}}]}]"#);
        let instance =
            study(r##""series":[{"instance":[{"extension":[{"valueReference":{"reference":"#c"}}]}]}]"##);
        let elsewhere =
            study(r##""subject":{"reference":"Patient/1","display":"#c","identifier":{"value":"#c"}}"##);
        let (summary, text) = (Subset::Summary, Subset::Text);
        let series = Subset::of(None, Some("series"));
        for (document, subset, kept) in [
            (&subject, &summary, true),
            (&subject, &text, true),
            (&subject, &series, true),
            (&endpoint, &summary, true),
            (&endpoint, &text, false),
            (&endpoint, &series, true),
            (&performer, &summary, true),
            (&instance, &summary, false),
            (&instance, &series, true),
            (&elsewhere, &summary, false),
        ] {
            let cut = cut(subset, document);
            assert_eq!(cut.contains(r#""contained":[{"id":"c"}]"#), kept, "{document} {subset:?}");
        }
    }

    #[test]
    fn elements_bring_the_mandatory_and_modifier_ones_along() {
        let cut = cut(&Subset::of(None, Some("numberOfSeries,ImagingStudy.extension")), STUDY);
        assert!(cut.contains("numberOfSeries") && cut.contains("1.10") && cut.contains("_status"));
        assert!(!cut.contains("series\"") && !cut.contains("text"));
    }

    #[test]
    fn the_tag_joins_those_that_are_there() {
        let json = r#"{"resourceType":"ImagingStudy","meta":{"tag":[{"code":"x"}],"versionId":"1"}}"#;
        let cut = cut(&Subset::Data, json);
        assert!(cut.contains(r#""meta":{"tag":[{"code":"x"},{"system":"#), "{cut}");
        assert!(cut.ends_with(r#""code":"SUBSETTED"}],"versionId":"1"}}"#), "{cut}");
    }

    #[test]
    fn values_that_mean_nothing_for_a_read_ask_for_the_whole() {
        for (summary, elements) in
            [(None, None), (Some("false"), None), (Some("count"), None), (None, Some(" , "))]
        {
            assert_eq!(Subset::of(summary, elements), Subset::Whole);
        }
    }

    /// What comes of these parts, one after the other.
    fn output<'a>(
        accepts_gzip: bool,
        parts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Document, ApiError> {
        let mut output = Output::Text(String::new(), accepts_gzip);
        parts.into_iter().for_each(|part| output.push(part));
        output.finish()
    }

    #[test]
    fn output_that_a_response_cannot_carry_as_text_is_compressed_or_rejected() {
        let most = " ".repeat(MAX_TEXT_BYTES);
        for accepts_gzip in [true, false] {
            let fits = output(accepts_gzip, [&most[1..], "}"]);
            assert!(
                matches!(fits, Ok(Document::Text(text)) if text.len() == MAX_TEXT_BYTES),
                "{accepts_gzip}"
            );
        }
        let rejected = output(false, [&most, "}"]);
        assert!(matches!(rejected, Err(ApiError::CompressionRequired)));
        let Ok(Document::Gzip(gzip)) = output(true, [&most, "}"]) else { panic!("not compressed") };
        assert!(table::gzip::inflate(&gzip).is_ok_and(|text| text == most + "}"));
    }

    #[test]
    fn output_that_is_too_large_even_compressed_is_an_error() {
        // Repeated farther apart than gzip looks back (RFC 1951 §2).
        let noise = testkit::noise_text(1, 64 << 10);
        let parts = std::iter::repeat_n(&*noise, 160).chain(["}"]);
        let Err(ApiError::Store(error)) = output(true, parts) else { panic!("no error") };
        assert!(error.to_string().contains("too large"), "{error}");
    }
}
