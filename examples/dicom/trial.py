"""Runs the commands of docs/local.md that take DICOM files to the service, with pydicom's test files, and reads each study."""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
[FILES] = ROOT.glob(".venv/dicom/lib/python3*/site-packages/pydicom/data/test_files/dicomdirtests")
SAMPLES, CONVERTED = 3, 6

block = re.search(r"^```sh\n(.*?STUDIES=.*?)^```$", (ROOT / "docs/local.md").read_text().split("## Your own")[1], re.MULTILINE | re.DOTALL)
with tempfile.TemporaryDirectory() as folder:
    shell = block[1].replace("DICOM", shlex.quote(str(FILES))).replace("exports", shlex.quote(f"{folder}/exports"))
    server = subprocess.Popen(
        ["bash", "-ec", shell], cwd=ROOT, env={**os.environ, "LOCAL_PORT": "0", "DYNAMODB_PORT": "0"}, stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    )
    try:
        printed = ""
        while "/site/5/" not in printed:
            printed += server.stdout.readline() or sys.exit(f"{printed}\nexit code {server.wait()}")
        token = re.search(r'Bearer ([^"]+)"', printed)[1]
        studies = re.findall(r"^  (http\S+)$", printed, re.MULTILINE)
        for url in studies:
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
            urllib.request.urlopen(request).close()
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait()
if len(studies) != SAMPLES + CONVERTED:
    sys.exit(f"{printed}\n{len(studies)} studies")
print(f"{CONVERTED} studies of DICOM files, by dicom2fhir: each is read")
