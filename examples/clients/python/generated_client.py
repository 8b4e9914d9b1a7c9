import os
from http import HTTPStatus

from imaging_study_client import AuthenticatedClient, Client
from imaging_study_client.api.imaging_study import read_imaging_study
from imaging_study_client.models import Error, ImagingStudy

api, token = os.environ["API_URL"], os.environ["TOKEN"]
client = AuthenticatedClient(api, token)

found = read_imaging_study.sync_detailed("4", "panoramic", client=client)
if isinstance(found.parsed, ImagingStudy):
    print("read:", found.parsed.id, found.parsed.status)

missing = read_imaging_study.sync("4", "missing", client=client)
if isinstance(missing, Error):
    print(f"{missing.status_code}:", missing.message)

refused = read_imaging_study.sync("4", "panoramic", client=Client(api))
if isinstance(refused, Error):
    print(f"{refused.status_code}:", refused.message)

etag = found.headers["ETag"]
unchanged = read_imaging_study.sync_detailed("4", "panoramic", client=client, if_none_match=etag)
if unchanged.status_code == HTTPStatus.NOT_MODIFIED:
    print("304: no body")
