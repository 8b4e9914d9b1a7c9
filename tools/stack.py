"""What the tools that deploy, check and roll back a stack share. Needs the environment `.venv/sam`."""

import difflib
import hashlib
import json
import os
import pathlib
import re
import sys
import tomllib

import boto3
from botocore.exceptions import ClientError

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Parameters that `make deploy` sets by itself.
DERIVED = ("Architecture", "Revision")
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
        self.parameters = {
            key: text(value, f"{self.path}: {key}") for key, value in deploy.get("parameter_overrides", {}).items()
        }

    def client(self, service):
        return boto3.client(service, region_name=self.region)

    def stack(self):
        """The stack as CloudFormation describes it, or None where it was not created yet."""
        try:
            return self.client("cloudformation").describe_stacks(StackName=self.stack_name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise


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
    CANARY=off changes for a single deployment.
    """
    current = {name: value for name, value in current.items() if name != "DeploymentPreferenceEnabled"}
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


def revision(parameters):
    """A digest of the parameters: it changes with any of them, so that a version with their values is published."""
    relevant = {name: value for name, value in parameters.items() if name != "Revision"}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:12]


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


def current_parameters(stack):
    """The stack's parameters; those with NoEcho as CloudFormation shows them, `****`."""
    return {given["ParameterKey"]: given["ParameterValue"] for given in stack.get("Parameters", [])}


def fail(message):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {message}")
