//! What FHIR R4 (4.0.1) allows in an `ImagingStudy`. Written by tools/r4-elements.py; do not edit.

use super::primitive::Primitive;
use super::schema::Count::{Any, AtLeastOne, Optional, Required};
use super::schema::Shape::{Attribute, Code, Complex, Primitive as P, Reference, Resource};
use super::schema::{Type, choice, element};

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

static ADDRESS_TYPE: [&str; 3] = ["both", "physical", "postal"];

static ADDRESS_USE: [&str; 5] = ["billing", "home", "old", "temp", "work"];

static ALL_TYPES: [&str; 213] = [
    "Account", "ActivityDefinition", "Address", "AdverseEvent", "Age", "AllergyIntolerance", "Annotation",
    "Any", "Appointment", "AppointmentResponse", "Attachment", "AuditEvent", "BackboneElement", "Basic",
    "Binary", "BiologicallyDerivedProduct", "BodyStructure", "Bundle", "CapabilityStatement", "CarePlan",
    "CareTeam", "CatalogEntry", "ChargeItem", "ChargeItemDefinition", "Claim", "ClaimResponse",
    "ClinicalImpression", "CodeSystem", "CodeableConcept", "Coding", "Communication", "CommunicationRequest",
    "CompartmentDefinition", "Composition", "ConceptMap", "Condition", "Consent", "ContactDetail",
    "ContactPoint", "Contract", "Contributor", "Count", "Coverage", "CoverageEligibilityRequest",
    "CoverageEligibilityResponse", "DataRequirement", "DetectedIssue", "Device", "DeviceDefinition",
    "DeviceMetric", "DeviceRequest", "DeviceUseStatement", "DiagnosticReport", "Distance",
    "DocumentManifest", "DocumentReference", "DomainResource", "Dosage", "Duration",
    "EffectEvidenceSynthesis", "Element", "ElementDefinition", "Encounter", "Endpoint", "EnrollmentRequest",
    "EnrollmentResponse", "EpisodeOfCare", "EventDefinition", "Evidence", "EvidenceVariable",
    "ExampleScenario", "ExplanationOfBenefit", "Expression", "Extension", "FamilyMemberHistory", "Flag",
    "Goal", "GraphDefinition", "Group", "GuidanceResponse", "HealthcareService", "HumanName", "Identifier",
    "ImagingStudy", "Immunization", "ImmunizationEvaluation", "ImmunizationRecommendation",
    "ImplementationGuide", "InsurancePlan", "Invoice", "Library", "Linkage", "List", "Location",
    "MarketingStatus", "Measure", "MeasureReport", "Media", "Medication", "MedicationAdministration",
    "MedicationDispense", "MedicationKnowledge", "MedicationRequest", "MedicationStatement",
    "MedicinalProduct", "MedicinalProductAuthorization", "MedicinalProductContraindication",
    "MedicinalProductIndication", "MedicinalProductIngredient", "MedicinalProductInteraction",
    "MedicinalProductManufactured", "MedicinalProductPackaged", "MedicinalProductPharmaceutical",
    "MedicinalProductUndesirableEffect", "MessageDefinition", "MessageHeader", "Meta", "MolecularSequence",
    "Money", "MoneyQuantity", "NamingSystem", "Narrative", "NutritionOrder", "Observation",
    "ObservationDefinition", "OperationDefinition", "OperationOutcome", "Organization",
    "OrganizationAffiliation", "ParameterDefinition", "Parameters", "Patient", "PaymentNotice",
    "PaymentReconciliation", "Period", "Person", "PlanDefinition", "Population", "Practitioner",
    "PractitionerRole", "Procedure", "ProdCharacteristic", "ProductShelfLife", "Provenance", "Quantity",
    "Questionnaire", "QuestionnaireResponse", "Range", "Ratio", "Reference", "RelatedArtifact",
    "RelatedPerson", "RequestGroup", "ResearchDefinition", "ResearchElementDefinition", "ResearchStudy",
    "ResearchSubject", "Resource", "RiskAssessment", "RiskEvidenceSynthesis", "SampledData", "Schedule",
    "SearchParameter", "ServiceRequest", "Signature", "SimpleQuantity", "Slot", "Specimen",
    "SpecimenDefinition", "StructureDefinition", "StructureMap", "Subscription", "Substance",
    "SubstanceAmount", "SubstanceNucleicAcid", "SubstancePolymer", "SubstanceProtein",
    "SubstanceReferenceInformation", "SubstanceSourceMaterial", "SubstanceSpecification", "SupplyDelivery",
    "SupplyRequest", "Task", "TerminologyCapabilities", "TestReport", "TestScript", "Timing",
    "TriggerDefinition", "Type", "UsageContext", "ValueSet", "VerificationResult", "VisionPrescription",
    "base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id", "instant",
    "integer", "markdown", "oid", "positiveInt", "string", "time", "unsignedInt", "uri", "url", "uuid",
    "xhtml",
];

static CONTACT_POINT_SYSTEM: [&str; 7] = ["email", "fax", "other", "pager", "phone", "sms", "url"];

static CONTACT_POINT_USE: [&str; 5] = ["home", "mobile", "old", "temp", "work"];

static CONTRIBUTOR_TYPE: [&str; 4] = ["author", "editor", "endorser", "reviewer"];

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

static DAYS_OF_WEEK: [&str; 7] = ["fri", "mon", "sat", "sun", "thu", "tue", "wed"];

static EVENT_TIMING: [&str; 26] = [
    "AC", "ACD", "ACM", "ACV", "AFT", "AFT.early", "AFT.late", "C", "CD", "CM", "CV", "EVE", "EVE.early",
    "EVE.late", "HS", "MORN", "MORN.early", "MORN.late", "NIGHT", "NOON", "PC", "PCD", "PCM", "PCV", "PHS",
    "WAKE",
];

static IDENTIFIER_USE: [&str; 5] = ["official", "old", "secondary", "temp", "usual"];

static IMAGINGSTUDY_STATUS: [&str; 5] =
    ["available", "cancelled", "entered-in-error", "registered", "unknown"];

static NAME_USE: [&str; 7] = ["anonymous", "maiden", "nickname", "official", "old", "temp", "usual"];

static NARRATIVE_STATUS: [&str; 4] = ["additional", "empty", "extensions", "generated"];

static OPERATION_PARAMETER_USE: [&str; 2] = ["in", "out"];

static QUANTITY_COMPARATOR: [&str; 4] = ["<", "<=", ">", ">="];

static RELATED_ARTIFACT_TYPE: [&str; 8] = [
    "citation", "composed-of", "depends-on", "derived-from", "documentation", "justification", "predecessor",
    "successor",
];

static SORT_DIRECTION: [&str; 2] = ["ascending", "descending"];

static TRIGGER_TYPE: [&str; 8] = [
    "data-access-ended", "data-accessed", "data-added", "data-changed", "data-modified", "data-removed",
    "named-event", "periodic",
];

static UNITS_OF_TIME: [&str; 7] = ["a", "d", "h", "min", "mo", "s", "wk"];

static ADDRESS: Type = Type {
    name: "Address",
    elements: &[
        element("city", Optional, P(Primitive::String)),
        element("country", Optional, P(Primitive::String)),
        element("district", Optional, P(Primitive::String)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("line", Any, P(Primitive::String)),
        element("period", Optional, Complex(&PERIOD)),
        element("postalCode", Optional, P(Primitive::String)),
        element("state", Optional, P(Primitive::String)),
        element("text", Optional, P(Primitive::String)),
        element("type", Optional, Code(&ADDRESS_TYPE)),
        element("use", Optional, Code(&ADDRESS_USE)),
    ],
    needs: &[],
    open: false,
};

static AGE: Type = Type {
    name: "Age",
    elements: &[
        element("code", Optional, P(Primitive::Code)),
        element("comparator", Optional, Code(&QUANTITY_COMPARATOR)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("system", Optional, P(Primitive::Uri)),
        element("unit", Optional, P(Primitive::String)),
        element("value", Optional, P(Primitive::Decimal)),
    ],
    needs: &[("code", "system", "qty-3"), ("value", "code", "age-1")],
    open: false,
};

static ANNOTATION: Type = Type {
    name: "Annotation",
    elements: &[
        choice(
            "author[x]",
            "authorReference",
            Optional,
            Reference(&["Practitioner", "Patient", "RelatedPerson", "Organization"]),
        ),
        choice("author[x]", "authorString", Optional, P(Primitive::String)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("text", Required, P(Primitive::Markdown)),
        element("time", Optional, P(Primitive::DateTime)),
    ],
    needs: &[],
    open: false,
};

static ATTACHMENT: Type = Type {
    name: "Attachment",
    elements: &[
        element("contentType", Optional, P(Primitive::MimeType)),
        element("creation", Optional, P(Primitive::DateTime)),
        element("data", Optional, P(Primitive::Base64Binary)),
        element("extension", Any, Complex(&EXTENSION)),
        element("hash", Optional, P(Primitive::Base64Binary)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("language", Optional, P(Primitive::Code)),
        element("size", Optional, P(Primitive::UnsignedInt)),
        element("title", Optional, P(Primitive::String)),
        element("url", Optional, P(Primitive::Url)),
    ],
    needs: &[("data", "contentType", "att-1")],
    open: false,
};

static CODEABLE_CONCEPT: Type = Type {
    name: "CodeableConcept",
    elements: &[
        element("coding", Any, Complex(&CODING)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("text", Optional, P(Primitive::String)),
    ],
    needs: &[],
    open: false,
};

static CODING: Type = Type {
    name: "Coding",
    elements: &[
        element("code", Optional, P(Primitive::Code)),
        element("display", Optional, P(Primitive::String)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("system", Optional, P(Primitive::Uri)),
        element("userSelected", Optional, P(Primitive::Boolean)),
        element("version", Optional, P(Primitive::String)),
    ],
    needs: &[],
    open: false,
};

static CONTACT_DETAIL: Type = Type {
    name: "ContactDetail",
    elements: &[
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("name", Optional, P(Primitive::String)),
        element("telecom", Any, Complex(&CONTACT_POINT)),
    ],
    needs: &[],
    open: false,
};

static CONTACT_POINT: Type = Type {
    name: "ContactPoint",
    elements: &[
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("period", Optional, Complex(&PERIOD)),
        element("rank", Optional, P(Primitive::PositiveInt)),
        element("system", Optional, Code(&CONTACT_POINT_SYSTEM)),
        element("use", Optional, Code(&CONTACT_POINT_USE)),
        element("value", Optional, P(Primitive::String)),
    ],
    needs: &[("value", "system", "cpt-2")],
    open: false,
};

static CONTRIBUTOR: Type = Type {
    name: "Contributor",
    elements: &[
        element("contact", Any, Complex(&CONTACT_DETAIL)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("name", Required, P(Primitive::String)),
        element("type", Required, Code(&CONTRIBUTOR_TYPE)),
    ],
    needs: &[],
    open: false,
};

static COUNT: Type = Type {
    name: "Count",
    elements: &[
        element("code", Optional, P(Primitive::Code)),
        element("comparator", Optional, Code(&QUANTITY_COMPARATOR)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("system", Optional, P(Primitive::Uri)),
        element("unit", Optional, P(Primitive::String)),
        element("value", Optional, P(Primitive::Decimal)),
    ],
    needs: &[("code", "system", "qty-3"), ("value", "code", "cnt-3")],
    open: false,
};

static DATA_REQUIREMENT: Type = Type {
    name: "DataRequirement",
    elements: &[
        element("codeFilter", Any, Complex(&DATA_REQUIREMENT_CODE_FILTER)),
        element("dateFilter", Any, Complex(&DATA_REQUIREMENT_DATE_FILTER)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("limit", Optional, P(Primitive::PositiveInt)),
        element("mustSupport", Any, P(Primitive::String)),
        element("profile", Any, P(Primitive::Canonical)),
        element("sort", Any, Complex(&DATA_REQUIREMENT_SORT)),
        choice("subject[x]", "subjectCodeableConcept", Optional, Complex(&CODEABLE_CONCEPT)),
        choice("subject[x]", "subjectReference", Optional, Reference(&["Group"])),
        element("type", Required, Code(&ALL_TYPES)),
    ],
    needs: &[],
    open: false,
};

static DATA_REQUIREMENT_CODE_FILTER: Type = Type {
    name: "DataRequirement.codeFilter",
    elements: &[
        element("code", Any, Complex(&CODING)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("path", Optional, P(Primitive::String)),
        element("searchParam", Optional, P(Primitive::String)),
        element("valueSet", Optional, P(Primitive::Canonical)),
    ],
    needs: &[],
    open: false,
};

static DATA_REQUIREMENT_DATE_FILTER: Type = Type {
    name: "DataRequirement.dateFilter",
    elements: &[
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("path", Optional, P(Primitive::String)),
        element("searchParam", Optional, P(Primitive::String)),
        choice("value[x]", "valueDateTime", Optional, P(Primitive::DateTime)),
        choice("value[x]", "valueDuration", Optional, Complex(&DURATION)),
        choice("value[x]", "valuePeriod", Optional, Complex(&PERIOD)),
    ],
    needs: &[],
    open: false,
};

static DATA_REQUIREMENT_SORT: Type = Type {
    name: "DataRequirement.sort",
    elements: &[
        element("direction", Required, Code(&SORT_DIRECTION)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("path", Required, P(Primitive::String)),
    ],
    needs: &[],
    open: false,
};

static DISTANCE: Type = Type {
    name: "Distance",
    elements: &[
        element("code", Optional, P(Primitive::Code)),
        element("comparator", Optional, Code(&QUANTITY_COMPARATOR)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("system", Optional, P(Primitive::Uri)),
        element("unit", Optional, P(Primitive::String)),
        element("value", Optional, P(Primitive::Decimal)),
    ],
    needs: &[("code", "system", "qty-3"), ("value", "code", "dis-1")],
    open: false,
};

static DOSAGE: Type = Type {
    name: "Dosage",
    elements: &[
        element("additionalInstruction", Any, Complex(&CODEABLE_CONCEPT)),
        choice("asNeeded[x]", "asNeededBoolean", Optional, P(Primitive::Boolean)),
        choice("asNeeded[x]", "asNeededCodeableConcept", Optional, Complex(&CODEABLE_CONCEPT)),
        element("doseAndRate", Any, Complex(&DOSAGE_DOSE_AND_RATE)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
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
    needs: &[],
    open: false,
};

static DOSAGE_DOSE_AND_RATE: Type = Type {
    name: "Dosage.doseAndRate",
    elements: &[
        choice("dose[x]", "doseQuantity", Optional, Complex(&QUANTITY)),
        choice("dose[x]", "doseRange", Optional, Complex(&RANGE)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        choice("rate[x]", "rateQuantity", Optional, Complex(&QUANTITY)),
        choice("rate[x]", "rateRange", Optional, Complex(&RANGE)),
        choice("rate[x]", "rateRatio", Optional, Complex(&RATIO)),
        element("type", Optional, Complex(&CODEABLE_CONCEPT)),
    ],
    needs: &[],
    open: false,
};

static DURATION: Type = Type {
    name: "Duration",
    elements: &[
        element("code", Optional, P(Primitive::Code)),
        element("comparator", Optional, Code(&QUANTITY_COMPARATOR)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("system", Optional, P(Primitive::Uri)),
        element("unit", Optional, P(Primitive::String)),
        element("value", Optional, P(Primitive::Decimal)),
    ],
    needs: &[("code", "system", "qty-3"), ("code", "value", "drt-1")],
    open: false,
};

pub(super) static ELEMENT: Type = Type {
    name: "Element",
    elements: &[
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
    ],
    needs: &[],
    open: false,
};

static EXPRESSION: Type = Type {
    name: "Expression",
    elements: &[
        element("description", Optional, P(Primitive::String)),
        element("expression", Optional, P(Primitive::String)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("language", Required, P(Primitive::Code)),
        element("name", Optional, P(Primitive::Id)),
        element("reference", Optional, P(Primitive::Uri)),
    ],
    needs: &[],
    open: false,
};

pub(super) static EXTENSION: Type = Type {
    name: "Extension",
    elements: &[
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
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
    needs: &[],
    open: false,
};

static HUMAN_NAME: Type = Type {
    name: "HumanName",
    elements: &[
        element("extension", Any, Complex(&EXTENSION)),
        element("family", Optional, P(Primitive::String)),
        element("given", Any, P(Primitive::String)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("period", Optional, Complex(&PERIOD)),
        element("prefix", Any, P(Primitive::String)),
        element("suffix", Any, P(Primitive::String)),
        element("text", Optional, P(Primitive::String)),
        element("use", Optional, Code(&NAME_USE)),
    ],
    needs: &[],
    open: false,
};

static IDENTIFIER: Type = Type {
    name: "Identifier",
    elements: &[
        element("assigner", Optional, Reference(&["Organization"])),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("period", Optional, Complex(&PERIOD)),
        element("system", Optional, P(Primitive::Uri)),
        element("type", Optional, Complex(&CODEABLE_CONCEPT)),
        element("use", Optional, Code(&IDENTIFIER_USE)),
        element("value", Optional, P(Primitive::String)),
    ],
    needs: &[],
    open: false,
};

pub(super) static IMAGING_STUDY: Type = Type {
    name: "ImagingStudy",
    elements: &[
        element(
            "basedOn",
            Any,
            Reference(&["CarePlan", "ServiceRequest", "Appointment", "AppointmentResponse", "Task"]),
        ),
        element("contained", Any, Resource),
        element("description", Optional, P(Primitive::String)),
        element("encounter", Optional, Reference(&["Encounter"])),
        element("endpoint", Any, Reference(&["Endpoint"])),
        element("extension", Any, Complex(&EXTENSION)),
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
    needs: &[],
    open: false,
};

static IMAGING_STUDY_SERIES: Type = Type {
    name: "ImagingStudy.series",
    elements: &[
        element("bodySite", Optional, Complex(&CODING)),
        element("description", Optional, P(Primitive::String)),
        element("endpoint", Any, Reference(&["Endpoint"])),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
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
    needs: &[],
    open: false,
};

static IMAGING_STUDY_SERIES_INSTANCE: Type = Type {
    name: "ImagingStudy.series.instance",
    elements: &[
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("modifierExtension", Any, Complex(&EXTENSION)),
        element("number", Optional, P(Primitive::UnsignedInt)),
        element("sopClass", Required, Complex(&CODING)),
        element("title", Optional, P(Primitive::String)),
        element("uid", Required, P(Primitive::Id)),
    ],
    needs: &[],
    open: false,
};

static IMAGING_STUDY_SERIES_PERFORMER: Type = Type {
    name: "ImagingStudy.series.performer",
    elements: &[
        element(
            "actor",
            Required,
            Reference(&[
                "Practitioner", "PractitionerRole", "Organization", "CareTeam", "Patient", "Device",
                "RelatedPerson",
            ]),
        ),
        element("extension", Any, Complex(&EXTENSION)),
        element("function", Optional, Complex(&CODEABLE_CONCEPT)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("modifierExtension", Any, Complex(&EXTENSION)),
    ],
    needs: &[],
    open: false,
};

pub(super) static META: Type = Type {
    name: "Meta",
    elements: &[
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("lastUpdated", Optional, P(Primitive::Instant)),
        element("profile", Any, P(Primitive::Canonical)),
        element("security", Any, Complex(&CODING)),
        element("source", Optional, P(Primitive::Uri)),
        element("tag", Any, Complex(&CODING)),
        element("versionId", Optional, P(Primitive::Id)),
    ],
    needs: &[],
    open: false,
};

static MONEY: Type = Type {
    name: "Money",
    elements: &[
        element("currency", Optional, Code(&CURRENCIES)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("value", Optional, P(Primitive::Decimal)),
    ],
    needs: &[],
    open: false,
};

pub(super) static NARRATIVE: Type = Type {
    name: "Narrative",
    elements: &[
        element("div", Required, Attribute(Primitive::Xhtml)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("status", Required, Code(&NARRATIVE_STATUS)),
    ],
    needs: &[],
    open: false,
};

static PARAMETER_DEFINITION: Type = Type {
    name: "ParameterDefinition",
    elements: &[
        element("documentation", Optional, P(Primitive::String)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("max", Optional, P(Primitive::String)),
        element("min", Optional, P(Primitive::Integer)),
        element("name", Optional, P(Primitive::Code)),
        element("profile", Optional, P(Primitive::Canonical)),
        element("type", Required, Code(&ALL_TYPES)),
        element("use", Required, Code(&OPERATION_PARAMETER_USE)),
    ],
    needs: &[],
    open: false,
};

static PERIOD: Type = Type {
    name: "Period",
    elements: &[
        element("end", Optional, P(Primitive::DateTime)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("start", Optional, P(Primitive::DateTime)),
    ],
    needs: &[],
    open: false,
};

static QUANTITY: Type = Type {
    name: "Quantity",
    elements: &[
        element("code", Optional, P(Primitive::Code)),
        element("comparator", Optional, Code(&QUANTITY_COMPARATOR)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("system", Optional, P(Primitive::Uri)),
        element("unit", Optional, P(Primitive::String)),
        element("value", Optional, P(Primitive::Decimal)),
    ],
    needs: &[("code", "system", "qty-3")],
    open: false,
};

static RANGE: Type = Type {
    name: "Range",
    elements: &[
        element("extension", Any, Complex(&EXTENSION)),
        element("high", Optional, Complex(&QUANTITY)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("low", Optional, Complex(&QUANTITY)),
    ],
    needs: &[],
    open: false,
};

static RATIO: Type = Type {
    name: "Ratio",
    elements: &[
        element("denominator", Optional, Complex(&QUANTITY)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("numerator", Optional, Complex(&QUANTITY)),
    ],
    needs: &[],
    open: false,
};

pub(super) static REFERENCE: Type = Type {
    name: "Reference",
    elements: &[
        element("display", Optional, P(Primitive::String)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("identifier", Optional, Complex(&IDENTIFIER)),
        element("reference", Optional, P(Primitive::String)),
        element("type", Optional, P(Primitive::Uri)),
    ],
    needs: &[],
    open: false,
};

static RELATED_ARTIFACT: Type = Type {
    name: "RelatedArtifact",
    elements: &[
        element("citation", Optional, P(Primitive::Markdown)),
        element("display", Optional, P(Primitive::String)),
        element("document", Optional, Complex(&ATTACHMENT)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("label", Optional, P(Primitive::String)),
        element("resource", Optional, P(Primitive::Canonical)),
        element("type", Required, Code(&RELATED_ARTIFACT_TYPE)),
        element("url", Optional, P(Primitive::Url)),
    ],
    needs: &[],
    open: false,
};

static SAMPLED_DATA: Type = Type {
    name: "SampledData",
    elements: &[
        element("data", Optional, P(Primitive::String)),
        element("dimensions", Required, P(Primitive::PositiveInt)),
        element("extension", Any, Complex(&EXTENSION)),
        element("factor", Optional, P(Primitive::Decimal)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("lowerLimit", Optional, P(Primitive::Decimal)),
        element("origin", Required, Complex(&QUANTITY)),
        element("period", Required, P(Primitive::Decimal)),
        element("upperLimit", Optional, P(Primitive::Decimal)),
    ],
    needs: &[],
    open: false,
};

static SIGNATURE: Type = Type {
    name: "Signature",
    elements: &[
        element("data", Optional, P(Primitive::Base64Binary)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
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
    needs: &[],
    open: false,
};

static TIMING: Type = Type {
    name: "Timing",
    elements: &[
        element("code", Optional, Complex(&CODEABLE_CONCEPT)),
        element("event", Any, P(Primitive::DateTime)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("modifierExtension", Any, Complex(&EXTENSION)),
        element("repeat", Optional, Complex(&TIMING_REPEAT)),
    ],
    needs: &[],
    open: false,
};

static TIMING_REPEAT: Type = Type {
    name: "Timing.repeat",
    elements: &[
        choice("bounds[x]", "boundsDuration", Optional, Complex(&DURATION)),
        choice("bounds[x]", "boundsPeriod", Optional, Complex(&PERIOD)),
        choice("bounds[x]", "boundsRange", Optional, Complex(&RANGE)),
        element("count", Optional, P(Primitive::PositiveInt)),
        element("countMax", Optional, P(Primitive::PositiveInt)),
        element("dayOfWeek", Any, Code(&DAYS_OF_WEEK)),
        element("duration", Optional, P(Primitive::Decimal)),
        element("durationMax", Optional, P(Primitive::Decimal)),
        element("durationUnit", Optional, Code(&UNITS_OF_TIME)),
        element("extension", Any, Complex(&EXTENSION)),
        element("frequency", Optional, P(Primitive::PositiveInt)),
        element("frequencyMax", Optional, P(Primitive::PositiveInt)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("offset", Optional, P(Primitive::UnsignedInt)),
        element("period", Optional, P(Primitive::Decimal)),
        element("periodMax", Optional, P(Primitive::Decimal)),
        element("periodUnit", Optional, Code(&UNITS_OF_TIME)),
        element("timeOfDay", Any, P(Primitive::Time)),
        element("when", Any, Code(&EVENT_TIMING)),
    ],
    needs: &[],
    open: false,
};

static TRIGGER_DEFINITION: Type = Type {
    name: "TriggerDefinition",
    elements: &[
        element("condition", Optional, Complex(&EXPRESSION)),
        element("data", Any, Complex(&DATA_REQUIREMENT)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
        element("name", Optional, P(Primitive::String)),
        choice("timing[x]", "timingDate", Optional, P(Primitive::Date)),
        choice("timing[x]", "timingDateTime", Optional, P(Primitive::DateTime)),
        choice("timing[x]", "timingReference", Optional, Reference(&["Schedule"])),
        choice("timing[x]", "timingTiming", Optional, Complex(&TIMING)),
        element("type", Required, Code(&TRIGGER_TYPE)),
    ],
    needs: &[],
    open: false,
};

static USAGE_CONTEXT: Type = Type {
    name: "UsageContext",
    elements: &[
        element("code", Required, Complex(&CODING)),
        element("extension", Any, Complex(&EXTENSION)),
        element("id", Optional, Attribute(Primitive::ElementId)),
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
    needs: &[],
    open: false,
};
