import os

import httpx
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.operationoutcome import OperationOutcome

base, token = os.environ["FHIR_BASE"], os.environ["TOKEN"]
client = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"})

study = ImagingStudy.model_validate_json(client.get("ImagingStudy/panoramic").content)
print("read:", study.id, study.status)

missing = client.get("ImagingStudy/missing")
outcome = OperationOutcome.model_validate_json(missing.content)
print(f"{missing.status_code}:", outcome.issue[0].code)

refused = httpx.get(f"{base}/ImagingStudy/panoramic")
outcome = OperationOutcome.model_validate_json(refused.content)
print(f"{refused.status_code}:", outcome.issue[0].code)

metadata = CapabilityStatement.model_validate_json(client.get("metadata").content)
print("metadata:", metadata.fhirVersion)
