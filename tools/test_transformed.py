"""What SAM makes of the templates, linted: `make lint` runs these tests in the environment `.venv/sam`."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from samcli.yamlhelper import yaml_dump, yaml_parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = sys.executable
CFN_LINT = pathlib.Path(PYTHON).with_name("cfn-lint")


class Transformed(unittest.TestCase):
    def test_the_template_has_no_findings(self):
        self.assertEqual(findings(ROOT / "template.yaml"), [])

    def test_a_deployment_alarm_on_the_api_is_found_to_close_a_cycle(self):
        template = yaml_parse((ROOT / "template.yaml").read_text())
        deployment = template["Resources"]["Function"]["Properties"]["DeploymentPreference"]
        deployment["Alarms"].append({"Ref": "Api5xxAlarm"})
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "template.yaml")
            path.write_text(yaml_dump(template))
            self.assertIn("E3004", {finding.split()[0] for finding in findings(path)})


def findings(template, *parameters):
    """The rules that the transformed template breaks, each with its message and place."""
    transformed = run(PYTHON, ROOT / "tools/transform", template, *parameters)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(transformed)
        file.flush()
        # The transform puts the values of some parameters in their place: W2001 would call these unused. On the source
        # that rule is on.
        listed = run(
            CFN_LINT, "--include-checks", "I", "--ignore-checks", "W2001", "--format", "json", "--", file.name,
            statuses=range(32),
        )
    return [
        f"{finding['Rule']['Id']} {finding['Message']} {finding['Location']['Path']}"
        for finding in json.loads(listed or "[]")
    ]


def run(*command, statuses=(0,)):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode not in statuses:
        raise AssertionError(f"{command[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout
