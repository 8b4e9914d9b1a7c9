"""Parses AWS CLI commands with the CLI's own parser, and calls nothing.

Reads a JSON list of commands, each a list of words, and prints for each the call to AWS that it makes (`ACTION ARN`), or what is
wrong with it. A program of its own, because the CLI brings a botocore of its own.
"""

import contextlib
import io
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "recorder"))
os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-central-1"}

# First, because it puts the CLI's own botocore into the place of the other.
import awscli.clidriver  # noqa: E402, I001
from botocore.client import BaseClient  # noqa: E402
from botocore.validate import ParamValidator  # noqa: E402
from calls import call  # noqa: E402


class Called(Exception):
    pass


def stopped(self, operation, parameters):
    model = self.meta.service_model.operation_model(operation)
    report = ParamValidator().validate(parameters, model.input_shape)
    if report.has_errors():
        raise ValueError(report.generate_report())
    raise Called(call(self.meta.service_model.signing_name, operation, parameters))


def parsed(command):
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = driver.main(command[1:])
    except SystemExit as exit:
        status = exit.code
    lines = [line for line in said.getvalue().splitlines() if line.strip()]
    return lines[-1] if lines else f"status {status}"


BaseClient._make_api_call = stopped
driver = awscli.clidriver.create_clidriver()
json.dump([parsed(command) for command in json.load(sys.stdin)], sys.stdout)
