"""What the tools that deploy, check and roll back a stack share. Needs the environment `.venv/sam`."""

import difflib
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import boto3
from botocore.exceptions import ClientError

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Parameters that `make deploy` sets by itself.
DERIVED = ("Architecture", "Revision")
# Parameters that say how a version gets its traffic, not what it is.
OF_THE_DEPLOYMENT = ("Revision", "DeploymentPreference", "DeploymentPreferenceEnabled")
# e_machine of the ELF header: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
ARCHITECTURES = {62: "x86_64", 183: "arm64"}


class Stage:
    """A file of `stages/`: the name and region of one stack, and its parameters."""

    def __init__(self, name):
        if not re.fullmatch(r"[A-Za-z0-9-]+", name or ""):
            fail("STAGE must name a file of stages/, such as STAGE=prod for stages/prod.toml")
        self.path = pathlib.Path("stages", f"{name}.toml")
        try:
            default = tomllib.loads((ROOT / self.path).read_text())["default"]
            common, deploy = default["global"]["parameters"], default["deploy"]["parameters"]
            self.stack_name, self.region = common["stack_name"], common["region"]
        except FileNotFoundError:
            fail(f"{self.path} does not exist; copy stages/example.toml")
        except tomllib.TOMLDecodeError as error:
            fail(f"{self.path}: {error}")
        except KeyError as key:
            fail(f"{self.path}: {key} is missing; see stages/example.toml")
        self.tags = {key: text(value, f"{self.path}: tag {key}") for key, value in deploy.get("tags", {}).items()}
        self.kept_out_of_git = deploy.get("kept_out_of_git") is True
        self.parameters = {
            key: text(value, f"{self.path}: {key}") for key, value in deploy.get("parameter_overrides", {}).items()
        }

    def client(self, service):
        return boto3.client(service, region_name=self.region)

    def stack(self):
        """The stack as CloudFormation describes it, or None where it was not created yet."""
        try:
            described = self.client("cloudformation").describe_stacks(StackName=self.stack_name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise
        # A first change set that was declined or failed leaves this: a name without resources.
        return None if described["StackStatus"] == "REVIEW_IN_PROGRESS" else described

    def physical_ids(self, kind):
        """The physical ids of the stack's resources of one type."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.stack_name)
        return [
            resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
            if resource["ResourceType"] == kind and not resource["ResourceStatus"].startswith("DELETE")
        ]

    def deployed_version(self):
        """The version that the last deployment ended at; None in a stack without one."""
        return next((arn.rsplit(":", 1)[-1] for arn in self.physical_ids("AWS::Lambda::Version")), None)


def text(value, place):
    """A TOML value as CloudFormation takes parameters."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int)):
        return str(value)
    if isinstance(value, list):
        return ",".join(text(item, place) for item in value)
    fail(f"{place} must be a string, a number, a boolean or a list of these")


def effective_parameters(declared, stage, current):
    """Every parameter with the value that it has after a deployment.

    The stage's file wins. A parameter that it does not name keeps the value that the stack has, but for the one that
    CANARY=off changes for a single deployment. One with NoEcho, whose value nobody can see, has its default here.
    """
    current = {
        name: value
        for name, value in current.items()
        if name != "DeploymentPreferenceEnabled" and not declared.get(name, {}).get("NoEcho")
    }
    for name in stage.parameters:
        if name not in declared:
            near = difflib.get_close_matches(name, declared, 1)
            fail(f"{stage.path}: the template has no parameter {name}" + (f"; {near[0]}?" if near else ""))
    for name in DERIVED:
        if name in stage.parameters:
            fail(f"{stage.path}: leave {name} out; it is derived from the built function and the other parameters")
    values = {}
    for name, parameter in declared.items():
        value = stage.parameters.get(name, current.get(name, parameter.get("Default")))
        if value is None:
            fail(f"{stage.path}: {name} has no default and must be set")
        values[name] = str(value)
    return values


def refuse_hmac_keys(stage):
    """An HMAC key signs tokens, and whoever reads the stage's file has it. It belongs into a secret."""
    found = [name for name in ("JwtJwks", "JwtIssuers") if has_hmac_key(stage.parameters.get(name))]
    if not found:
        return
    if not stage.kept_out_of_git:
        fail(
            f"{stage.path}: {found[0]} has an HMAC key; put it into a secret (JwtJwksSecretArn), or keep the file out of git and "
            "say so: kept_out_of_git = true under [default.deploy.parameters]"
        )
    tracked = subprocess.run(["git", "ls-files", "--error-unmatch", stage.path], cwd=ROOT, capture_output=True)
    if tracked.returncode == 0:
        fail(f"{stage.path}: it says kept_out_of_git, and git has it")


def has_hmac_key(value):
    """Whether a JWK of type `oct` is somewhere in a JSON value, or in text that is JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return False
        return isinstance(value, (dict, list)) and has_hmac_key(value)
    if isinstance(value, dict):
        return value.get("kty") == "oct" or any(map(has_hmac_key, value.values()))
    return isinstance(value, list) and any(map(has_hmac_key, value))


def revision(parameters, code, current, before, now, forced=False):
    """What the version to be published is called: `DIGEST SECONDS, after version N`.

    The digest is that of the parameters and of `code`; while it stays the one in `current`, so does the revision, and
    nothing is published. The seconds since 1970 tell a retry from the version whose deployment failed: that is kept, and
    Lambda publishes no version that is equal to the last one. `before` is the version that serves meanwhile.
    """
    relevant = {name: value for name, value in parameters.items() if name not in OF_THE_DEPLOYMENT}
    digest = hashlib.sha256(json.dumps(relevant, sort_keys=True).encode() + code).hexdigest()[:12]
    if current.split(" ")[0] == digest and not forced:
        return current
    return f"{digest} {now:.0f}" + (f", after version {before}" if before else "")


def canary_minutes(parameters):
    """How long CodeDeploy takes to shift the traffic."""
    if parameters["DeploymentPreferenceEnabled"] == "false" or parameters["DeploymentPreference"] == "AllAtOnce":
        return 0
    kind, minutes = re.fullmatch(r"(Canary|Linear)10Percent(?:Every)?([0-9]+)Minutes?", parameters["DeploymentPreference"]).groups()
    # A linear deployment waits after each tenth but the last.
    return int(minutes) * (9 if kind == "Linear" else 1)


def version_before(revision):
    """The version that served before the one with this revision; None where it does not say."""
    named = re.search(r", after version ([0-9]+)$", revision)
    return named and named[1]


def served_versions(descriptions, version):
    """The versions that served before `version`, the last one first. `descriptions` are those of the published versions."""
    served = []
    while (before := version_before(descriptions.get(version, ""))) and int(before) in descriptions:
        version = int(before)
        served.append(version)
    return served


def architecture(bootstrap):
    """The architecture that an executable was built for, in Lambda's words."""
    if not bootstrap.is_file():
        fail(f"{bootstrap} does not exist; run make build")
    if not os.access(bootstrap, os.X_OK):
        fail(f"{bootstrap} is not executable, and Lambda could not start it")
    header = bootstrap.read_bytes()[:20]
    machine = int.from_bytes(header[18:20], "little")
    if header[:4] != b"\x7fELF" or machine not in ARCHITECTURES:
        fail(f"{bootstrap} is not a Linux executable for x86_64 or arm64")
    return ARCHITECTURES[machine]


def outputs(stack):
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def function_name(stack):
    """The name of a stack's function; fails where the stack was never completed."""
    name = outputs(stack).get("FunctionName")
    return name or fail(f"{stack['StackName']} is in {stack['StackStatus']} and has no function; docs/runbook.md says what to do")


def current_parameters(stack):
    """The stack's parameters; those with NoEcho as CloudFormation shows them, `****`."""
    return {given["ParameterKey"]: given["ParameterValue"] for given in stack.get("Parameters", [])}


def confirmed(question):
    """Whether to go on: asks, unless YES=1 says so. Nobody there to answer means no."""
    if os.environ.get("YES") == "1":
        return True
    print(f"{question} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def fail(message):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {message}")
