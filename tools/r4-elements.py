#!/usr/bin/env python3
"""Writes crates/fhir-r4/src/elements.rs: what FHIR R4 (4.0.1) allows in an ImagingStudy, as Rust tables.

    tools/r4-elements.py ELEMENTS.tsv | rustfmt --edition 2024 --config-path . > crates/fhir-r4/src/elements.rs

ELEMENTS.tsv has one line per element of ImagingStudy and of every datatype that it reaches, separated by tabs: path, min, max,
type (with the targets of a reference in brackets), binding. The codes of required bindings are listed below, and
the rules of the form "a member requires another one" (`needs`).
"""

import sys

# Bindings of required strength: http://hl7.org/fhir/R4/valueset-NAME.html.
CODES = {
    "imagingstudy-status": "registered available cancelled entered-in-error unknown",
    "narrative-status": "generated extensions additional empty",
    "identifier-use": "usual official temp secondary old",
    "address-use": "home work temp old billing",
    "address-type": "postal physical both",
    "name-use": "usual official temp nickname anonymous old maiden",
    "contact-point-system": "phone fax email pager url sms other",
    "contact-point-use": "home work temp old mobile",
    "quantity-comparator": "< <= >= >",
    "units-of-time": "s min h d wk mo a",
    "days-of-week": "mon tue wed thu fri sat sun",
    "event-timing": "MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS"
    " HS WAKE C CM CD CV AC ACM ACD ACV PC PCM PCD PCV",
    "contributor-type": "author editor reviewer endorser",
    "sort-direction": "ascending descending",
    "operation-parameter-use": "in out",
    "related-artifact-type": "documentation justification citation predecessor successor derived-from depends-on"
    " composed-of",
    "trigger-type": "named-event periodic data-changed data-added data-modified data-removed data-accessed"
    " data-access-ended",
    # ISO 4217, with the codes withdrawn or added since R4 came out: the value set is bound to no edition.
    "currencies": "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP"
    " BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP"
    " GBP GEL GGP GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS IMP INR IQD IRR ISK JEP JMD JOD JPY KES KGS"
    " KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR"
    " MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP"
    " SLE SLL SOS SPL SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TVD TWD TZS UAH UGX USD USN UYI UYU UYW"
    " UZS VED VEF VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR"
    " ZMW ZWG ZWL",
}

RESOURCES = """
Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic Binary
BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam CatalogEntry ChargeItem
ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem Communication CommunicationRequest
CompartmentDefinition Composition ConceptMap Condition Consent Contract Coverage CoverageEligibilityRequest
CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement
DiagnosticReport DocumentManifest DocumentReference EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest
EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceVariable ExampleScenario ExplanationOfBenefit
FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy Immunization
ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library Linkage List
Location Measure MeasureReport Media Medication MedicationAdministration MedicationDispense MedicationKnowledge
MedicationRequest MedicationStatement MedicinalProduct MedicinalProductAuthorization
MedicinalProductContraindication MedicinalProductIndication MedicinalProductIngredient MedicinalProductInteraction
MedicinalProductManufactured MedicinalProductPackaged MedicinalProductPharmaceutical
MedicinalProductUndesirableEffect MessageDefinition MessageHeader MolecularSequence NamingSystem NutritionOrder
Observation ObservationDefinition OperationDefinition OperationOutcome Organization OrganizationAffiliation
Parameters Patient PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner PractitionerRole
Procedure Provenance Questionnaire QuestionnaireResponse RelatedPerson RequestGroup ResearchDefinition
ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment RiskEvidenceSynthesis Schedule
SearchParameter ServiceRequest Slot Specimen SpecimenDefinition StructureDefinition StructureMap Subscription
Substance SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation
SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest Task TerminologyCapabilities TestReport
TestScript ValueSet VerificationResult VisionPrescription
""".split()

# all-types: every resource, every datatype, and the abstract types.
DATATYPES = """
Address Age Annotation Attachment BackboneElement CodeableConcept Coding ContactDetail ContactPoint Contributor Count
DataRequirement Distance Dosage Duration Element ElementDefinition Expression Extension HumanName Identifier
MarketingStatus Meta Money MoneyQuantity Narrative ParameterDefinition Period Population ProdCharacteristic
ProductShelfLife Quantity Range Ratio Reference RelatedArtifact SampledData Signature SimpleQuantity
SubstanceAmount Timing TriggerDefinition UsageContext base64Binary boolean canonical code date dateTime decimal id
instant integer markdown oid positiveInt string time unsignedInt uri url uuid xhtml Resource DomainResource Type Any
""".split()
CODES["all-types"] = " ".join(RESOURCES + DATATYPES)

# Members that a server added to the published definition; R4 does not define them.
NOT_R4 = {f"Meta.{name}" for name in ("project", "author", "onBehalfOf", "account", "accounts", "compartment")}

# Rules of R4's datatypes: a type that has the first member needs the second.
SYSTEM = ("code", "system", "qty-3")
NEEDS = {
    "Attachment": [("data", "contentType", "att-1")],
    "ContactPoint": [("value", "system", "cpt-2")],
    "Quantity": [SYSTEM],
    "Age": [SYSTEM, ("value", "code", "age-1")],
    "Count": [SYSTEM, ("value", "code", "cnt-3")],
    "Distance": [SYSTEM, ("value", "code", "dis-1")],
    "Duration": [SYSTEM, ("code", "value", "drt-1")],
}

PRIMITIVES = """base64Binary boolean canonical code date dateTime decimal id instant integer markdown oid positiveInt
string time unsignedInt uri url uuid xhtml""".split()


def capital(name):
    return name[0].upper() + name[1:]


def constant(name):
    words = "".join("_" + c if c.isupper() and i and not name[i - 1].isupper() else c for i, c in enumerate(name))
    return words.replace(".", "_").replace("-", "_").replace("__", "_").upper()


def quoted(names):
    return ", ".join(f'"{name}"' for name in names)


def split_types(text):
    return [t for t in text.split(",") if t]


def shape(path, kind, binding):
    """One type of an element, as a Rust `Shape`."""
    name, _, targets = kind.rstrip(")").partition("(")
    if path == "ImagingStudy.id":
        return "Attribute(Primitive::Id)"
    if kind.startswith("@"):
        return "Attribute(Primitive::ElementId)" if path.endswith(".id") else f"Attribute(Primitive::{capital(kind[1:])})"
    if name == "Reference":
        return f"Reference(&[{quoted(targets.split('|') if targets else [])}])"
    if name in ("Element", "BackboneElement"):
        return f"Complex(&{constant(path)})"
    if name == "Resource":
        return "Resource"
    if name in PRIMITIVES:
        strength, _, value_set = binding.partition(":")
        value_set = value_set.rsplit("/", 1)[-1]
        if name == "code" and strength == "required":
            return "P(Primitive::MimeType)" if value_set == "mimetypes" else f"Code(&{constant(value_set)})"
        if name == "xhtml":
            return "Attribute(Primitive::Xhtml)"
        return f"P(Primitive::{capital(name)})"
    return f"Complex(&{constant(name)})"


def members(path, low, high, kinds, binding):
    """The JSON members of an element: one, or one per type where the type is a choice."""
    count = {("0", "1"): "Optional", ("1", "1"): "Required", ("0", "*"): "Any", ("1", "*"): "AtLeastOne"}[low, high]
    name = path.rsplit(".", 1)[-1]
    for kind in kinds:
        if name.endswith("[x]"):
            member = name[:-3] + capital(kind.partition("(")[0])
            yield f'choice("{name}", "{member}", {count}, {shape(path, kind, binding)})', member
        else:
            yield f'element("{name}", {count}, {shape(path, kind, binding)})', name


def types(lines):
    """Types by name, each with its members in the order of their names."""
    found = {}
    for line in lines:
        if line.startswith("# Primitive types"):
            break
        path, low, high, kinds, binding, *_ = line.rstrip("\n").split("\t") + ["", "", "", "", ""]
        owner = path.rpartition(".")[0]
        if line.startswith("#") or not owner or path in NOT_R4 or owner in PRIMITIVES:
            continue
        if owner in ("Element", "BackboneElement"):
            continue
        found.setdefault(owner, []).extend(members(path, low, high, split_types(kinds), binding))
    # The member `_name` of a primitive: an id and extensions.
    found["Element"] = [
        ('element("id", Optional, Attribute(Primitive::ElementId))', "id"),
        ('element("extension", Any, Complex(&EXTENSION))', "extension"),
    ]
    return {name: sorted(rows, key=lambda row: row[1]) for name, rows in found.items()}


def main(path):
    with open(path, encoding="utf-8") as lines:
        found = types(lines)
    print("//! What FHIR R4 (4.0.1) allows in an `ImagingStudy`. Written by tools/r4-elements.py; do not edit.\n")
    print("use super::primitive::Primitive;\nuse super::schema::Count::{Any, AtLeastOne, Optional, Required};\nuse super::schema::Shape::{Attribute, Code, Complex, Primitive as P, Reference, Resource};\nuse super::schema::{Type, choice, element};\n")
    print(f"/// The resource types of R4, sorted.\npub(super) static RESOURCES: [&str; {len(RESOURCES)}] = [{quoted(sorted(RESOURCES))}];")
    used = "".join(row for rows in found.values() for row, _ in rows)
    for name, codes in sorted(CODES.items()):
        codes = sorted(codes.split())
        if f"Code(&{constant(name)})" in used:
            print(f"\nstatic {constant(name)}: [&str; {len(codes)}] = [{quoted(codes)}];")
    for name, rows in sorted(found.items()):
        visible = "pub(super) " if name in ("Element", "Extension", "ImagingStudy", "Meta", "Narrative", "Reference") else ""
        needs = ", ".join(f'("{a}", "{b}", "{rule}")' for a, b, rule in NEEDS.get(name, []))
        print(f"\n{visible}static {constant(name)}: Type = Type {{\n    name: \"{name}\",\n    elements: &[")
        for row, _ in rows:
            print(f"        {row},")
        print(f"    ],\n    needs: &[{needs}],\n    open: false,\n}};")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
