#!/usr/bin/env python3
"""Makes a release of what is checked out: `make release VERSION=1.2.0` writes into `dist/1.2.0`, for each processor,

    imaging-study-1.2.0-ARCH.zip             the function as Lambda takes it
    imaging-study-1.2.0-ARCH.sbom.cdx.json   what it is made of (CycloneDX)
    imaging-study-1.2.0-ARCH.template.yaml   the stack, which `sam deploy` deploys from the archive beside it

and SHA256SUMS and NOTES.md, the version's section of CHANGELOG.md. The x86-64 function is built with a profile.
"""

import hashlib
import os
import re
import subprocess
import tomllib
import zipfile

import stack

ROOT = stack.ROOT
ARCHITECTURES = {"x86_64": "1", "arm64": ""}


def make(version):
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version):
        stack.fail("VERSION must be a version such as 1.2.0")
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    if cargo != version:
        stack.fail(f"VERSION is {version}, and Cargo.toml says {cargo}")
    text = notes((ROOT / "CHANGELOG.md").read_text(), version)
    if changed := changes():
        stack.fail(f"there are changes that are not committed:\n{changed.rstrip()}")
    folder = ROOT / "dist" / version
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for architecture, profile in ARCHITECTURES.items():
        name = f"imaging-study-{version}-{architecture}"
        run(["make", "build", f"ARCH={architecture}", f"PGO={profile}"], cwd=ROOT, check=True)
        run(["make", "sbom", f"ARCH={architecture}"], cwd=ROOT, check=True)
        bootstrap = ROOT / ".aws-sam/build/Function/bootstrap"
        if stack.architecture(bootstrap) != architecture:
            stack.fail(f"{bootstrap} was built for {stack.architecture(bootstrap)}, not for {architecture}")
        archive(bootstrap.read_bytes(), folder / f"{name}.zip")
        (folder / f"{name}.sbom.cdx.json").write_bytes((ROOT / ".aws-sam/sbom.cdx.json").read_bytes())
        released = template((ROOT / "template.yaml").read_text(), version, architecture, f"{name}.zip")
        (folder / f"{name}.template.yaml").write_text(released)
        files += [f"{name}.zip", f"{name}.sbom.cdx.json", f"{name}.template.yaml"]
    sums = [f"{hashlib.sha256((folder / file).read_bytes()).hexdigest()}  {file}" for file in files]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    (folder / "NOTES.md").write_text(text)
    print(*sums, f"release: {folder.relative_to(ROOT)}", sep="\n")


def notes(changelog, version):
    """The section of a version, which has a date and says something."""
    section = re.search(
        rf"^## \[{re.escape(version)}\] - [0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}\n(.*?)(?=^## |\Z)", changelog, re.M | re.S
    )
    if not section or not section[1].strip():
        stack.fail(f"CHANGELOG.md has no section `## [{version}] - DATE` that says something")
    return section[1].strip() + "\n"


def archive(program, path):
    """Writes the archive that Lambda takes: the same for the same program, whenever it was built."""
    entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr, entry.compress_type = 3, 0o100755 << 16, zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(entry, program, compresslevel=9)


def template(text, version, architecture, code):
    """The template that deploys an archive in the place of a build."""
    for old, new in [
        ("      CodeUri: .\n", f"      CodeUri: {code}\n"),
        ("      BuildMethod: rust-cargolambda\n      BuildProperties:\n        Binary: bootstrap\n", ""),
        ("Default: x86_64, AllowedValues: [x86_64, arm64]", f"Default: {architecture}, AllowedValues: [{architecture}]"),
        ("  Revision: { Type: String, Default: '1',", f"  Revision: {{ Type: String, Default: '{version}',"),
    ]:
        if text.count(old) != 1:
            stack.fail(f"template.yaml has {old.strip()!r} {text.count(old)} times")
        text = text.replace(old, new)
    return text


def changes():
    return run(["git", "status", "--porcelain"], cwd=ROOT, check=True, capture_output=True, text=True).stdout


run = subprocess.run

if __name__ == "__main__":
    make(os.environ.get("VERSION", ""))
