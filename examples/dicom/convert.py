import asyncio
import pathlib
import sys
from collections import defaultdict

from dicom2fhir.dicom2fhir import from_generator
from pydicom import dcmread
from pydicom.misc import is_dicom

source, exports = map(pathlib.Path, sys.argv[1:])
studies = defaultdict(list)
for file in sorted(filter(pathlib.Path.is_file, source.rglob("*"))):
    if is_dicom(file):
        instance = dcmread(file, stop_before_pixels=True)
        if "SeriesInstanceUID" in instance:
            studies[instance.StudyInstanceUID].append(instance.to_json_dict())


async def generator(instances):
    for instance in instances:
        yield instance


exports.mkdir(exist_ok=True)
for uid, instances in studies.items():
    try:
        bundle = asyncio.run(from_generator(generator(instances), {"dicom_timezone": "UTC"}))
    except ValueError as error:
        print(f"{uid} is left out: {str(error).splitlines()[0]}", file=sys.stderr)
    else:
        (exports / f"{uid}.json").write_text(bundle.json())
