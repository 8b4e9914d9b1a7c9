import os

from fhirclient.models.imagingstudy import ImagingStudy
from fhirclient.server import FHIRNotFoundException, FHIRServer, FHIRUnauthorizedException

base, token = os.environ["FHIR_BASE"], os.environ["TOKEN"]
server = FHIRServer(None, base)
server.session.headers["Authorization"] = f"Bearer {token}"

study = ImagingStudy.read("panoramic", server)
print("read:", study.id, study.status)

try:
    ImagingStudy.read("missing", server)
except FHIRNotFoundException as error:
    print("404:", error.response.json()["issue"][0]["code"])

try:
    ImagingStudy.read("panoramic", FHIRServer(None, base))
except FHIRUnauthorizedException as error:
    print("401:", error.response.json()["issue"][0]["code"])

print("metadata:", server.capabilityStatement.fhirVersion)
