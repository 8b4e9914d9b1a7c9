import os

from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import AuthorizationError, ResourceNotFound

base, token = os.environ["FHIR_BASE"], os.environ["TOKEN"]
client = SyncFHIRClient(base, authorization=f"Bearer {token}")

study = client.get("ImagingStudy", "panoramic")
print("read:", study["id"], study["status"])

try:
    client.get("ImagingStudy", "missing")
except ResourceNotFound as error:
    print("404:", error)

try:
    SyncFHIRClient(base).get("ImagingStudy", "panoramic")
except AuthorizationError as error:
    print("401:", error)

metadata = client.execute("metadata", method="get")
print("metadata:", metadata["fhirVersion"])
