"""Runs every client of this folder against the local server, and compares what it prints. Generated clients are generated and
type-checked first, and any warning fails. Run it with tools/beside-local."""

import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent
PYTHON, TYPESCRIPT, COLLECTIONS = FOLDER / "python", FOLDER / "typescript", FOLDER / "collections"
sys.path.append(str(COLLECTIONS))
import collection  # noqa: E402

ROOT = FOLDER.parent.parent
PAGE = ROOT / "docs/from-your-language.md"
VENV = ROOT / ".venv"
API_URL = f"http://127.0.0.1:{os.environ['LOCAL_PORT']}"
ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([f"{VENV}/clients/bin", f"{VENV}/node/bin", f"{TYPESCRIPT}/node_modules/.bin", f"{COLLECTIONS}/node_modules/.bin", os.environ["PATH"]]),
    "API_URL": API_URL,
    "FHIR_BASE": f"{API_URL}/site/4/fhir",
    "NO_COLOR": "1",
}

# What a client prints, line by line: its library reports a missing study and a missing token in its own way.
FHIR = ["read: panoramic available", "404: .*not-found.*", "401: .*login.*", r"metadata: 4\.0\.1"]
SMART = [*FHIR, r"tokens: https://issuer\.example/token"]
GENERATED = ["read: panoramic available", "404: Not Found", "401: Unauthorized: token_missing: .*", "304: no body"]
CLIENTS = {
    "python/fhirpy_client.py": ("fhirpy", FHIR),
    "python/fhirclient_client.py": ("fhirclient", FHIR),
    "python/fhir_resources_client.py": ("fhir.resources", FHIR),
    "python/generated_client.py": ("openapi-python-client", GENERATED),
    "typescript/fhir-kit-client.ts": ("fhir-kit-client", SMART),
    "typescript/medplum.ts": ("@medplum/core", FHIR),
    "typescript/openapi-fetch.ts": ("openapi-fetch", GENERATED),
    "typescript/hey-api.ts": ("@hey-api/openapi-ts", GENERATED),
    "typescript/orval.ts": ("orval", GENERATED),
    "curl/read.sh": ("curl", [" 200", " 304", ".*not-found.* 404", ".*login.* 401", " 200"]),
}


def run(command, folder):
    """Runs a command and returns its output; a failure ends the script."""
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, command))}: exit code {done.returncode}")
    return done.stdout


def generate(name, command, folder):
    output = run(command, folder)
    if re.search("warn", output, re.IGNORECASE):
        sys.exit(f"{output}\n{name} has warnings")
    print(f"{name} {version(name)}: generated without warnings")


def version(name):
    package = TYPESCRIPT / "node_modules" / name / "package.json"
    if package.exists():
        return json.loads(package.read_text())["version"]
    if name == "curl":
        return run(["curl", "--version"], FOLDER).split()[1]
    return importlib.metadata.version(name)


def trial(file, name, expected, shell="bash"):
    path = FOLDER / file
    if path.suffix == ".ts":
        command = ["node", TYPESCRIPT / "build" / f"{path.stem}.js"]
    else:
        command = ["python" if path.suffix == ".py" else shell, path]
    if path.read_text().strip() not in PAGE.read_text():
        sys.exit(f"{PAGE.name} does not show examples/clients/{file} as it is")
    with tempfile.TemporaryDirectory() as folder:
        output = run(command, folder)
    lines = output.splitlines()
    if len(lines) != len(expected) or not all(map(re.fullmatch, expected, lines)):
        sys.exit(f"{output}\n{file}: expected {expected}")
    print(f"{name} {version(name)}: {'; '.join(line[:60] for line in lines)}")


def requests():
    """Sends what the collections for people hold, which must be what openapi.yaml says."""
    for path, text in collection.files():
        if not path.exists() or path.read_text() != text:
            sys.exit(f"{path.relative_to(ROOT)} is not as openapi.yaml says: run {COLLECTIONS.relative_to(ROOT)}/collection.py")
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "requests.http").write_text(collection.http(API_URL))
        output = run(["httpyac", "send", "requests.http", "--all", "--output", "short"], folder)
    found = output.count("=> 200 ")
    if found != len(list(collection.requests())):
        sys.exit(f"{output}\nimaging-study.http: {found} responses are 200")
    run(["bru", "run", "--env", "local", "--env-var", f"base={API_URL}", "--bail"], COLLECTIONS / "bruno")
    print(f"imaging-study.http and Bruno's collection: {found} requests each, all 200")


generate(
    "openapi-python-client",
    ["openapi-python-client", "generate", "--path", "../../../openapi.yaml", "--output-path", "imaging_study_client"]
    + ["--meta", "none", "--overwrite", "--fail-on-warning"],
    PYTHON,
)
OPENAPI = "../../../openapi.yaml"
generate("openapi-typescript", ["openapi-typescript", OPENAPI, "--output", "generated/openapi-typescript.ts"], TYPESCRIPT)
generate(
    "@hey-api/openapi-ts",
    ["openapi-ts", "--input", OPENAPI, "--output", "generated/hey-api", "--client", "@hey-api/client-fetch", "--no-log-file"],
    TYPESCRIPT,
)
generate("orval", ["orval", "--fail-on-warnings"], TYPESCRIPT)
run(["mypy", "."], PYTHON)
print(f"mypy {version('mypy')} --strict: no errors")
run(["tsc"], TYPESCRIPT)
print(f"tsc {version('typescript')} --strict: no errors")
for file, (name, expected) in CLIENTS.items():
    trial(file, name, expected)
if shutil.which("zsh"):
    trial("curl/read.sh", *CLIENTS["curl/read.sh"], shell="zsh")
else:
    print("NOT RUN: curl in zsh, which is not installed")
requests()
