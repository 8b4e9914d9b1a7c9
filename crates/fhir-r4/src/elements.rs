//! What FHIR R4 (4.0.1) allows in an `ImagingStudy`: the element definitions that R4 publishes, with the codes of bindings of
//! required strength (<http://hl7.org/fhir/R4/definitions.json.zip>). R4 does not change any more.

use super::primitive::Primitive;
use super::schema::Count::{Any, AtLeastOne, Optional, Required};
use super::schema::Shape::{Attribute, Code, Complex, Primitive as P, Reference, Resource, TypeName};
use super::schema::{Element, Type, choice, element};

/// What every datatype has from `Element`.
static OF_EVERY_ELEMENT: [Element; 2] = [
    element("extension", Any, Complex(&EXTENSION)),
    element("id", Optional, Attribute(Primitive::ElementId)),
];

/// A type with these elements, and with those of `Element` that it does not define itself.
const fn data_type(name: &'static str, elements: &'static [Element]) -> Type {
    Type { name, elements, inherited: &OF_EVERY_ELEMENT, needs: &[], open: false }
}

/// The resource types of R4, sorted.
pub(super) static RESOURCES: [&str; 146] = [
    "Account", "ActivityDefinition", "AdverseEvent", "AllergyIntolerance", "Appointment",
    "AppointmentResponse", "AuditEvent", "Basic", "Binary", "BiologicallyDerivedProduct", "BodyStructure",
    "Bundle", "CapabilityStatement", "CarePlan", "CareTeam", "CatalogEntry", "ChargeItem",
    "ChargeItemDefinition", "Claim", "ClaimResponse", "ClinicalImpression", "CodeSystem", "Communication",
    "CommunicationRequest", "CompartmentDefinition", "Composition", "ConceptMap", "Condition", "Consent",
    "Contract", "Coverage", "CoverageEligibilityRequest", "CoverageEligibilityResponse", "DetectedIssue",
    "Device", "DeviceDefinition", "DeviceMetric", "DeviceRequest", "DeviceUseStatement", "DiagnosticReport",
    "DocumentManifest", "DocumentReference", "EffectEvidenceSynthesis", "Encounter", "Endpoint",
    "EnrollmentRequest", "EnrollmentResponse", "EpisodeOfCare", "EventDefinition", "Evidence",
    "EvidenceVariable", "ExampleScenario", "ExplanationOfBenefit", "FamilyMemberHistory", "Flag", "Goal",
    "GraphDefinition", "Group", "GuidanceResponse", "HealthcareService", "ImagingStudy", "Immunization",
    "ImmunizationEvaluation", "ImmunizationRecommendation", "ImplementationGuide", "InsurancePlan",
    "Invoice", "Library", "Linkage", "List", "Location", "Measure", "MeasureReport", "Media", "Medication",
    "MedicationAdministration", "MedicationDispense", "MedicationKnowledge", "MedicationRequest",
    "MedicationStatement", "MedicinalProduct", "MedicinalProductAuthorization",
    "MedicinalProductContraindication", "MedicinalProductIndication", "MedicinalProductIngredient",
    "MedicinalProductInteraction", "MedicinalProductManufactured", "MedicinalProductPackaged",
    "MedicinalProductPharmaceutical", "MedicinalProductUndesirableEffect", "MessageDefinition",
    "MessageHeader", "MolecularSequence", "NamingSystem", "NutritionOrder", "Observation",
    "ObservationDefinition", "OperationDefinition", "OperationOutcome", "Organization",
    "OrganizationAffiliation", "Parameters", "Patient", "PaymentNotice", "PaymentReconciliation", "Person",
    "PlanDefinition", "Practitioner", "PractitionerRole", "Procedure", "Provenance", "Questionnaire",
    "QuestionnaireResponse", "RelatedPerson", "RequestGroup", "ResearchDefinition",
    "ResearchElementDefinition", "ResearchStudy", "ResearchSubject", "RiskAssessment",
    "RiskEvidenceSynthesis", "Schedule", "SearchParameter", "ServiceRequest", "Slot", "Specimen",
    "SpecimenDefinition", "StructureDefinition", "StructureMap", "Subscription", "Substance",
    "SubstanceNucleicAcid", "SubstancePolymer", "SubstanceProtein", "SubstanceReferenceInformation",
    "SubstanceSourceMaterial", "SubstanceSpecification", "SupplyDelivery", "SupplyRequest", "Task",
    "TerminologyCapabilities", "TestReport", "TestScript", "ValueSet", "VerificationResult",
    "VisionPrescription",
];

/// The datatypes of R4, its abstract types among them, sorted.
pub(super) static DATATYPES: [&str; 67] = [
    "Address", "Age", "Annotation", "Any", "Attachment", "BackboneElement", "CodeableConcept", "Coding",
    "ContactDetail", "ContactPoint", "Contributor", "Count", "DataRequirement", "Distance", "DomainResource",
    "Dosage", "Duration", "Element", "ElementDefinition", "Expression", "Extension", "HumanName",
    "Identifier", "MarketingStatus", "Meta", "Money", "MoneyQuantity", "Narrative", "ParameterDefinition",
    "Period", "Population", "ProdCharacteristic", "ProductShelfLife", "Quantity", "Range", "Ratio",
    "Reference", "RelatedArtifact", "Resource", "SampledData", "Signature", "SimpleQuantity",
    "SubstanceAmount", "Timing", "TriggerDefinition", "Type", "UsageContext", "base64Binary", "boolean",
    "canonical", "code", "date", "dateTime", "decimal", "id", "instant", "integer", "markdown", "oid",
    "positiveInt", "string", "time", "unsignedInt", "uri", "url", "uuid", "xhtml",
];

/// ISO 4217, with the codes withdrawn or added since R4 came out: the value set is bound to no edition.
static CURRENCIES: [&str; 189] = [
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BHD",
    "BIF", "BMD", "BND", "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF",
    "CHW", "CLF", "CLP", "CNY", "COP", "COU", "CRC", "CUC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD",
    "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GGP", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD",
    "HKD", "HNL", "HRK", "HTG", "HUF", "IDR", "ILS", "IMP", "INR", "IQD", "IRR", "ISK", "JEP", "JMD", "JOD",
    "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL",
    "LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR",
    "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG",
    "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SLL", "SOS",
    "SPL", "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TVD",
    "TWD", "TZS", "UAH", "UGX", "USD", "USN", "UYI", "UYU", "UYW", "UZS", "VED", "VEF", "VES", "VND", "VUV",
    "WST", "XAF", "XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XCD", "XCG", "XDR", "XOF", "XPD", "XPF", "XPT",
    "XSU", "XTS", "XUA", "XXX", "YER", "ZAR", "ZMW", "ZWG", "ZWL",
];

static EVENT_TIMING: [&str; 26] = [
    "AC", "ACD", "ACM", "ACV", "AFT", "AFT.early", "AFT.late", "C", "CD", "CM", "CV", "EVE", "EVE.early",
    "EVE.late", "HS", "MORN", "MORN.early", "MORN.late", "NIGHT", "NOON", "PC", "PCD", "PCM", "PCV", "PHS",
    "WAKE",
];

static IMAGINGSTUDY_STATUS: [&str; 5] =
    ["available", "cancelled", "entered-in-error", "registered", "unknown"];

/// `Age`, `Count`, `Distance` and `Duration` are quantities with rules of their own.
static QUANTITY_ELEMENTS: [Element; 5] = [
    element("code", Optional, P(Primitive::Code)),
    element("comparator", Optional, Code(&["<", "<=", ">", ">="])),
    element("system", Optional, P(Primitive::Uri)),
    element("unit", Optional, P(Primitive::String)),
    element("value", Optional, P(Primitive::Decimal)),
];

static RELATED_ARTIFACT_TYPE: [&str; 8] = [
    "citation", "composed-of", "depends-on", "derived-from", "documentation", "justification", "predecessor",
    "successor",
];

static TRIGGER_TYPE: [&str; 8] = [
    "data-access-ended", "data-accessed", "data-added", "data-changed", "data-modified", "data-removed",
    "named-event", "periodic",
];

static UNITS_OF_TIME: [&str; 7] = ["a", "d", "h", "min", "mo", "s", "wk"];

static ADDRESS: Type = data_type(
    "Address",
    &[
        element("city", Optional, P(Primitive::String)),
        element("country", Optional, P(Primitive::String)),
        element("district", Optional, P(Primitive::String)),
        element("line", Any, P(Primitive::String)),
        element("period", Optional, Complex(&PERIOD)),
        element("postalCode", Optional, P(Primitive::String)),
        element("state", Optional, P(Primitive::String)),
        element("text", Optional, P(Primitive::String)),
        element("type", Optional, Code(&["both", "physical", "postal"])),
        element("use", Optional, Code(&["billing", "home", "old", "temp", "work"])),
    ],
);

static AGE: Type =
    data_type("Age", &QUANTITY_ELEMENTS).needing(&[("code", "system", "qty-3"), ("value", "code", "age-1")]);

static ANNOTATION: Type = data_type(
    "Annotation",
    &[
        choice(
            "author[x]",
            "authorReference",
            Optional,
            Reference(&["Practitioner", "Patient", "RelatedPerson", "Organization"]),
        ),
        choice("author[x]", "authorString", Optional, P(Primitive::String)),
        element("text", Required, P(Primitive::Markdown)),
        element("time", Optional, P(Primitive::DateTime)),
    ],
);

static ATTACHMENT: Type = data_type(
    "Attachment",
    &[
        element("contentType", Optional, P(Primitive::MimeType)),
        element("creation", Optional, P(Primitive::DateTime)),
        element("data", Optional, P(Primitive::Base64Binary)),
        element("hash", Optional, P(Primitive::Base64Binary)),
        element("language", Optional, P(Primitive::Code)),
        element("size", Optional, P(Primitive::UnsignedInt)),
        element("title", Optional, P(Primitive::String)),
        element("url", Optional, P(Primitive::Url)),
    ],
)
.needing(&[("data", "contentType", "att-1")]);

static CODEABLE_CONCEPT: Type = data_type(
    "CodeableConcept",
    &[element("coding", Any, Complex(&CODING)), element("text", Optional, P(Primitive::String))],
);

static CODING: Type = data_type(
    "Coding",
    &[
        element("code", Optional, P(Primitive::Code)),
        element("display", Optional, P(Primitive::String)),
        element("system", Optional, P(Primitive::Uri)),
        element("userSelected", Optional, P(Primitive::Boolean)),
        element("version", Optional, P(Primitive::String)),
    ],
);

static CONTACT_DETAIL: Type = data_type(
    "ContactDetail",
    &[element("name", Optional, P(Primitive::String)), element("telecom", Any, Complex(&CONTACT_POINT))],
);

static CONTACT_POINT: Type = data_type(
    "ContactPoint",
    &[
        element("period", Optional, Complex(&PERIOD)),
        element("rank", Optional, P(Primitive::PositiveInt)),
        element("system", Optional, Code(&["email", "fax", "other", "pager", "phone", "sms", "url"])),
        element("use", Optional, Code(&["home", "mobile", "old", "temp", "work"])),
        element("value", Optional, P(Primitive::String)),
    ],
)
.needing(&[("value", "system", "cpt-2")]);

static CONTRIBUTOR: Type = data_type(
    "Contributor",
    &[
        element("contact", Any, Complex(&CONTACT_DETAIL)),
        element("name", Required, P(Primitive::String)),
        element("type", Required, Code(&["author", "editor", "endorser", "reviewer"])),
    ],
);

static COUNT: Type = data_type("Count", &QUANTITY_ELEMENTS)
    .needing(&[("code", "system", "qty-3"), ("value", "code", "cnt-3")]);

static DATA_REQUIREMENT: Type = data_type(
    "DataRequirement",
    &[
        element("codeFilter", Any, Complex(&DATA_REQUIREMENT_CODE_FILTER)),
        element("dateFilter", Any, Complex(&DATA_REQUIREMENT_DATE_FILTER)),
        element("limit", Optional, P(Primitive::PositiveInt)),
        element("mustSupport", Any, P(Primitive::String)),
        element("profile", Any, P(Primitive::Canonical)),
        element("sort", Any, Complex(&DATA_REQUIREMENT_SORT)),
        choice("subject[x]", "subjectCodeableConcept", Optional, Complex(&CODEABLE_CONCEPT)),
        choice("subject[x]", "subjectReference", Optional, Reference(&["Group"])),
        element("type", Required, TypeName),
    ],
);

static DATA_REQUIREMENT_CODE_FILTER: Type = data_type(
    "DataRequirement.codeFilter",
    &[
        element("code", Any, Complex(&CODING)),
        element("path", Optional, P(Primitive::String)),
        element("searchParam", Optional, P(Primitive::String)),
        element("valueSet", Optional, P(Primitive::Canonical)),
    ],
);

static DATA_REQUIREMENT_DATE_FILTER: Type = data_type(
    "DataRequirement.dateFilter",
    &[
        element("path", Optional, P(Primitive::String)),
        element("searchParam", Optional, P(Primitive::String)),
        choice("value[x]", "valueDateTime", Optional, P(Primitive::DateTime)),
        choice("value[x]", "valueDuration", Optional, Complex(&DURATION)),
        choice("value[x]", "valuePeriod", Optional, Complex(&PERIOD)),
    ],
);

static DATA_REQUIREMENT_SORT: Type = data_type(
    "DataRequirement.sort",
    &[
        element("direction", Required, Code(&["ascending", "descending"])),
        element("path", Required, P(Primitive::String)),
    ],
);

static DISTANCE: Type = data_type("Distance", &QUANTITY_ELEMENTS)
    .needing(&[("code", "system", "qty-3"), ("value", "code", "dis-1")]);

static DOSAGE: Type = data_type(
    "Dosage",
    &[
        element("additionalInstruction", Any, Complex(&CODEABLE_CONCEPT)),
        choice("asNeeded[x]", "asNeededBoolean", Optional, P(Primitive::Boolean)),
        choice("asNeeded[x]", "asNeededCodeableConcept", Optional, Complex(&CODEABLE_CONCEPT)),
        element("doseAndRate", Any, Complex(&DOSAGE_DOSE_AND_RATE)),
        element("maxDosePerAdministration", Optional, Complex(&QUANTITY)),
        element("maxDosePerLifetime", Optional, Complex(&QUANTITY)),
        element("maxDosePerPeriod", Optional, Complex(&RATIO)),
        element("method", Optional, Complex(&CODEABLE_CONCEPT)),
        element("modifierExtension", Any, Complex(&EXTENSION)),
        element("patientInstruction", Optional, P(Primitive::String)),
        element("route", Optional, Complex(&CODEABLE_CONCEPT)),
        element("sequence", Optional, P(Primitive::Integer)),
        element("site", Optional, Complex(&CODEABLE_CONCEPT)),
        element("text", Optional, P(Primitive::String)),
        element("timing", Optional, Complex(&TIMING)),
    ],
);

static DOSAGE_DOSE_AND_RATE: Type = data_type(
    "Dosage.doseAndRate",
    &[
        choice("dose[x]", "doseQuantity", Optional, Complex(&QUANTITY)),
        choice("dose[x]", "doseRange", Optional, Complex(&RANGE)),
        choice("rate[x]", "rateQuantity", Optional, Complex(&QUANTITY)),
        choice("rate[x]", "rateRange", Optional, Complex(&RANGE)),
        choice("rate[x]", "rateRatio", Optional, Complex(&RATIO)),
        element("type", Optional, Complex(&CODEABLE_CONCEPT)),
    ],
);

static DURATION: Type = data_type("Duration", &QUANTITY_ELEMENTS)
    .needing(&[("code", "system", "qty-3"), ("code", "value", "drt-1")]);

pub(super) static ELEMENT: Type = data_type("Element", &[]);

static EXPRESSION: Type = data_type(
    "Expression",
    &[
        element("description", Optional, P(Primitive::String)),
        element("expression", Optional, P(Primitive::String)),
        element("language", Required, P(Primitive::Code)),
        element("name", Optional, P(Primitive::Id)),
        element("reference", Optional, P(Primitive::Uri)),
    ],
);

pub(super) static EXTENSION: Type = data_type(
    "Extension",
    &[
        element("url", Required, Attribute(Primitive::Uri)),
        choice("value[x]", "valueAddress", Optional, Complex(&ADDRESS)),
        choice("value[x]", "valueAge", Optional, Complex(&AGE)),
        choice("value[x]", "valueAnnotation", Optional, Complex(&ANNOTATION)),
        choice("value[x]", "valueAttachment", Optional, Complex(&ATTACHMENT)),
        choice("value[x]", "valueBase64Binary", Optional, P(Primitive::Base64Binary)),
        choice("value[x]", "valueBoolean", Optional, P(Primitive::Boolean)),
        choice("value[x]", "valueCanonical", Optional, P(Primitive::Canonical)),
        choice("value[x]", "valueCode", Optional, P(Primitive::Code)),
        choice("value[x]", "valueCodeableConcept", Optional, Complex(&CODEABLE_CONCEPT)),
        choice("value[x]", "valueCoding", Optional, Complex(&CODING)),
        choice("value[x]", "valueContactDetail", Optional, Complex(&CONTACT_DETAIL)),
        choice("value[x]", "valueContactPoint", Optional, Complex(&CONTACT_POINT)),
        choice("value[x]", "valueContributor", Optional, Complex(&CONTRIBUTOR)),
        choice("value[x]", "valueCount", Optional, Complex(&COUNT)),
        choice("value[x]", "valueDataRequirement", Optional, Complex(&DATA_REQUIREMENT)),
        choice("value[x]", "valueDate", Optional, P(Primitive::Date)),
        choice("value[x]", "valueDateTime", Optional, P(Primitive::DateTime)),
        choice("value[x]", "valueDecimal", Optional, P(Primitive::Decimal)),
        choice("value[x]", "valueDistance", Optional, Complex(&DISTANCE)),
        choice("value[x]", "valueDosage", Optional, Complex(&DOSAGE)),
        choice("value[x]", "valueDuration", Optional, Complex(&DURATION)),
        choice("value[x]", "valueExpression", Optional, Complex(&EXPRESSION)),
        choice("value[x]", "valueHumanName", Optional, Complex(&HUMAN_NAME)),
        choice("value[x]", "valueId", Optional, P(Primitive::Id)),
        choice("value[x]", "valueIdentifier", Optional, Complex(&IDENTIFIER)),
        choice("value[x]", "valueInstant", Optional, P(Primitive::Instant)),
        choice("value[x]", "valueInteger", Optional, P(Primitive::Integer)),
        choice("value[x]", "valueMarkdown", Optional, P(Primitive::Markdown)),
        choice("value[x]", "valueMeta", Optional, Complex(&META)),
        choice("value[x]", "valueMoney", Optional, Complex(&MONEY)),
        choice("value[x]", "valueOid", Optional, P(Primitive::Oid)),
        choice("value[x]", "valueParameterDefinition", Optional, Complex(&PARAMETER_DEFINITION)),
        choice("value[x]", "valuePeriod", Optional, Complex(&PERIOD)),
        choice("value[x]", "valuePositiveInt", Optional, P(Primitive::PositiveInt)),
        choice("value[x]", "valueQuantity", Optional, Complex(&QUANTITY)),
        choice("value[x]", "valueRange", Optional, Complex(&RANGE)),
        choice("value[x]", "valueRatio", Optional, Complex(&RATIO)),
        choice("value[x]", "valueReference", Optional, Reference(&[])),
        choice("value[x]", "valueRelatedArtifact", Optional, Complex(&RELATED_ARTIFACT)),
        choice("value[x]", "valueSampledData", Optional, Complex(&SAMPLED_DATA)),
        choice("value[x]", "valueSignature", Optional, Complex(&SIGNATURE)),
        choice("value[x]", "valueString", Optional, P(Primitive::String)),
        choice("value[x]", "valueTime", Optional, P(Primitive::Time)),
        choice("value[x]", "valueTiming", Optional, Complex(&TIMING)),
        choice("value[x]", "valueTriggerDefinition", Optional, Complex(&TRIGGER_DEFINITION)),
        choice("value[x]", "valueUnsignedInt", Optional, P(Primitive::UnsignedInt)),
        choice("value[x]", "valueUri", Optional, P(Primitive::Uri)),
        choice("value[x]", "valueUrl", Optional, P(Primitive::Url)),
        choice("value[x]", "valueUsageContext", Optional, Complex(&USAGE_CONTEXT)),
        choice("value[x]", "valueUuid", Optional, P(Primitive::Uuid)),
    ],
);

static HUMAN_NAME: Type = data_type(
    "HumanName",
    &[
        element("family", Optional, P(Primitive::String)),
        element("given", Any, P(Primitive::String)),
        element("period", Optional, Complex(&PERIOD)),
        element("prefix", Any, P(Primitive::String)),
        element("suffix", Any, P(Primitive::String)),
        element("text", Optional, P(Primitive::String)),
        element(
            "use",
            Optional,
            Code(&["anonymous", "maiden", "nickname", "official", "old", "temp", "usual"]),
        ),
    ],
);

static IDENTIFIER: Type = data_type(
    "Identifier",
    &[
        element("assigner", Optional, Reference(&["Organization"])),
        element("period", Optional, Complex(&PERIOD)),
        element("system", Optional, P(Primitive::Uri)),
        element("type", Optional, Complex(&CODEABLE_CONCEPT)),
        element("use", Optional, Code(&["official", "old", "secondary", "temp", "usual"])),
        element("value", Optional, P(Primitive::String)),
    ],
);

pub(super) static IMAGING_STUDY: Type = data_type(
    "ImagingStudy",
    &[
        element(
            "basedOn",
            Any,
            Reference(&["CarePlan", "ServiceRequest", "Appointment", "AppointmentResponse", "Task"]),
        ),
        element("contained", Any, Resource),
        element("description", Optional, P(Primitive::String)),
        element("encounter", Optional, Reference(&["Encounter"])),
        element("endpoint", Any, Reference(&["Endpoint"])),
        element("id", Optional, Attribute(Primitive::Id)),
        element("identifier", Any, Complex(&IDENTIFIER)),
        element("implicitRules", Optional, P(Primitive::Uri)),
        element("interpreter", Any, Reference(&["Practitioner", "PractitionerRole"])),
        element("language", Optional, P(Primitive::Code)),
        element("location", Optional, Reference(&["Location"])),
        element("meta", Optional, Complex(&META)),
        element("modality", Any, Complex(&CODING)),
        element("modifierExtension", Any, Complex(&EXTENSION)),
        element("note", Any, Complex(&ANNOTATION)),
        element("numberOfInstances", Optional, P(Primitive::UnsignedInt)),
        element("numberOfSeries", Optional, P(Primitive::UnsignedInt)),
        element("procedureCode", Any, Complex(&CODEABLE_CONCEPT)),
        element("procedureReference", Optional, Reference(&["Procedure"])),
        element("reasonCode", Any, Complex(&CODEABLE_CONCEPT)),
        element(
            "reasonReference",
            Any,
            Reference(&["Condition", "Observation", "Media", "DiagnosticReport", "DocumentReference"]),
        ),
        element("referrer", Optional, Reference(&["Practitioner", "PractitionerRole"])),
        element("series", Any, Complex(&IMAGING_STUDY_SERIES)),
        element("started", Optional, P(Primitive::DateTime)),
        element("status", Required, Code(&IMAGINGSTUDY_STATUS)),
        element("subject", Required, Reference(&["Patient", "Device", "Group"])),
        element("text", Optional, Complex(&NARRATIVE)),
    ],
);

static IMAGING_STUDY_SERIES: Type = data_type(
    "ImagingStudy.series",
    &[
        element("bodySite", Optional, Complex(&CODING)),
        element("description", Optional, P(Primitive::String)),
        element("endpoint", Any, Reference(&["Endpoint"])),
        element("instance", Any, Complex(&IMAGING_STUDY_SERIES_INSTANCE)),
        element("laterality", Optional, Complex(&CODING)),
        element("modality", Required, Complex(&CODING)),
        element("modifierExtension", Any, Complex(&EXTENSION)),
        element("number", Optional, P(Primitive::UnsignedInt)),
        element("numberOfInstances", Optional, P(Primitive::UnsignedInt)),
        element("performer", Any, Complex(&IMAGING_STUDY_SERIES_PERFORMER)),
        element("specimen", Any, Reference(&["Specimen"])),
        element("started", Optional, P(Primitive::DateTime)),
        element("uid", Required, P(Primitive::Id)),
    ],
);

static IMAGING_STUDY_SERIES_INSTANCE: Type = data_type(
    "ImagingStudy.series.instance",
    &[
        element("modifierExtension", Any, Complex(&EXTENSION)),
        element("number", Optional, P(Primitive::UnsignedInt)),
        element("sopClass", Required, Complex(&CODING)),
        element("title", Optional, P(Primitive::String)),
        element("uid", Required, P(Primitive::Id)),
    ],
);

static IMAGING_STUDY_SERIES_PERFORMER: Type = data_type(
    "ImagingStudy.series.performer",
    &[
        element(
            "actor",
            Required,
            Reference(&[
                "Practitioner", "PractitionerRole", "Organization", "CareTeam", "Patient", "Device",
                "RelatedPerson",
            ]),
        ),
        element("function", Optional, Complex(&CODEABLE_CONCEPT)),
        element("modifierExtension", Any, Complex(&EXTENSION)),
    ],
);

pub(super) static META: Type = data_type(
    "Meta",
    &[
        element("lastUpdated", Optional, P(Primitive::Instant)),
        element("profile", Any, P(Primitive::Canonical)),
        element("security", Any, Complex(&CODING)),
        element("source", Optional, P(Primitive::Uri)),
        element("tag", Any, Complex(&CODING)),
        element("versionId", Optional, P(Primitive::Id)),
    ],
);

static MONEY: Type = data_type(
    "Money",
    &[element("currency", Optional, Code(&CURRENCIES)), element("value", Optional, P(Primitive::Decimal))],
);

pub(super) static NARRATIVE: Type = data_type(
    "Narrative",
    &[
        element("div", Required, Attribute(Primitive::Xhtml)),
        element("status", Required, Code(&["additional", "empty", "extensions", "generated"])),
    ],
);

static PARAMETER_DEFINITION: Type = data_type(
    "ParameterDefinition",
    &[
        element("documentation", Optional, P(Primitive::String)),
        element("max", Optional, P(Primitive::String)),
        element("min", Optional, P(Primitive::Integer)),
        element("name", Optional, P(Primitive::Code)),
        element("profile", Optional, P(Primitive::Canonical)),
        element("type", Required, TypeName),
        element("use", Required, Code(&["in", "out"])),
    ],
);

static PERIOD: Type = data_type(
    "Period",
    &[element("end", Optional, P(Primitive::DateTime)), element("start", Optional, P(Primitive::DateTime))],
);

static QUANTITY: Type = data_type("Quantity", &QUANTITY_ELEMENTS).needing(&[("code", "system", "qty-3")]);

static RANGE: Type = data_type(
    "Range",
    &[element("high", Optional, Complex(&QUANTITY)), element("low", Optional, Complex(&QUANTITY))],
);

static RATIO: Type = data_type(
    "Ratio",
    &[
        element("denominator", Optional, Complex(&QUANTITY)),
        element("numerator", Optional, Complex(&QUANTITY)),
    ],
);

pub(super) static REFERENCE: Type = data_type(
    "Reference",
    &[
        element("display", Optional, P(Primitive::String)),
        element("identifier", Optional, Complex(&IDENTIFIER)),
        element("reference", Optional, P(Primitive::String)),
        element("type", Optional, P(Primitive::Uri)),
    ],
);

static RELATED_ARTIFACT: Type = data_type(
    "RelatedArtifact",
    &[
        element("citation", Optional, P(Primitive::Markdown)),
        element("display", Optional, P(Primitive::String)),
        element("document", Optional, Complex(&ATTACHMENT)),
        element("label", Optional, P(Primitive::String)),
        element("resource", Optional, P(Primitive::Canonical)),
        element("type", Required, Code(&RELATED_ARTIFACT_TYPE)),
        element("url", Optional, P(Primitive::Url)),
    ],
);

static SAMPLED_DATA: Type = data_type(
    "SampledData",
    &[
        element("data", Optional, P(Primitive::String)),
        element("dimensions", Required, P(Primitive::PositiveInt)),
        element("factor", Optional, P(Primitive::Decimal)),
        element("lowerLimit", Optional, P(Primitive::Decimal)),
        element("origin", Required, Complex(&QUANTITY)),
        element("period", Required, P(Primitive::Decimal)),
        element("upperLimit", Optional, P(Primitive::Decimal)),
    ],
);

static SIGNATURE: Type = data_type(
    "Signature",
    &[
        element("data", Optional, P(Primitive::Base64Binary)),
        element(
            "onBehalfOf",
            Optional,
            Reference(&[
                "Practitioner", "PractitionerRole", "RelatedPerson", "Patient", "Device", "Organization",
            ]),
        ),
        element("sigFormat", Optional, P(Primitive::MimeType)),
        element("targetFormat", Optional, P(Primitive::MimeType)),
        element("type", AtLeastOne, Complex(&CODING)),
        element("when", Required, P(Primitive::Instant)),
        element(
            "who",
            Required,
            Reference(&[
                "Practitioner", "PractitionerRole", "RelatedPerson", "Patient", "Device", "Organization",
            ]),
        ),
    ],
);

static TIMING: Type = data_type(
    "Timing",
    &[
        element("code", Optional, Complex(&CODEABLE_CONCEPT)),
        element("event", Any, P(Primitive::DateTime)),
        element("modifierExtension", Any, Complex(&EXTENSION)),
        element("repeat", Optional, Complex(&TIMING_REPEAT)),
    ],
);

static TIMING_REPEAT: Type = data_type(
    "Timing.repeat",
    &[
        choice("bounds[x]", "boundsDuration", Optional, Complex(&DURATION)),
        choice("bounds[x]", "boundsPeriod", Optional, Complex(&PERIOD)),
        choice("bounds[x]", "boundsRange", Optional, Complex(&RANGE)),
        element("count", Optional, P(Primitive::PositiveInt)),
        element("countMax", Optional, P(Primitive::PositiveInt)),
        element("dayOfWeek", Any, Code(&["fri", "mon", "sat", "sun", "thu", "tue", "wed"])),
        element("duration", Optional, P(Primitive::Decimal)),
        element("durationMax", Optional, P(Primitive::Decimal)),
        element("durationUnit", Optional, Code(&UNITS_OF_TIME)),
        element("frequency", Optional, P(Primitive::PositiveInt)),
        element("frequencyMax", Optional, P(Primitive::PositiveInt)),
        element("offset", Optional, P(Primitive::UnsignedInt)),
        element("period", Optional, P(Primitive::Decimal)),
        element("periodMax", Optional, P(Primitive::Decimal)),
        element("periodUnit", Optional, Code(&UNITS_OF_TIME)),
        element("timeOfDay", Any, P(Primitive::Time)),
        element("when", Any, Code(&EVENT_TIMING)),
    ],
);

static TRIGGER_DEFINITION: Type = data_type(
    "TriggerDefinition",
    &[
        element("condition", Optional, Complex(&EXPRESSION)),
        element("data", Any, Complex(&DATA_REQUIREMENT)),
        element("name", Optional, P(Primitive::String)),
        choice("timing[x]", "timingDate", Optional, P(Primitive::Date)),
        choice("timing[x]", "timingDateTime", Optional, P(Primitive::DateTime)),
        choice("timing[x]", "timingReference", Optional, Reference(&["Schedule"])),
        choice("timing[x]", "timingTiming", Optional, Complex(&TIMING)),
        element("type", Required, Code(&TRIGGER_TYPE)),
    ],
);

static USAGE_CONTEXT: Type = data_type(
    "UsageContext",
    &[
        element("code", Required, Complex(&CODING)),
        choice("value[x]", "valueCodeableConcept", Required, Complex(&CODEABLE_CONCEPT)),
        choice("value[x]", "valueQuantity", Required, Complex(&QUANTITY)),
        choice("value[x]", "valueRange", Required, Complex(&RANGE)),
        choice(
            "value[x]",
            "valueReference",
            Required,
            Reference(&[
                "PlanDefinition", "ResearchStudy", "InsurancePlan", "HealthcareService", "Group", "Location",
                "Organization",
            ]),
        ),
    ],
);
