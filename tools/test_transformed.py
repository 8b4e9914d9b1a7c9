"""What SAM makes of the templates, linted: `make lint` runs these tests in the environment `.venv/sam`."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import botocore.session
from botocore.endpoint_provider import EndpointProvider
from evaluate import Template
from samcli.yamlhelper import yaml_dump, yaml_parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = sys.executable
CFN_LINT = pathlib.Path(PYTHON).with_name("cfn-lint")


class Transformed(unittest.TestCase):
    def test_the_template_has_no_findings(self):
        self.assertEqual(findings(ROOT / "template.yaml"), [])

    def test_the_form_without_codedeploy_has_no_findings(self):
        self.assertEqual(findings(ROOT / "template.yaml", "DeploymentPreferenceEnabled=false"), [])

    def test_the_endpoints_of_dynamodb_are_those_of_the_sdk(self):
        template = yaml_parse((ROOT / "template.yaml").read_text())
        endpoint = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]["AWS_ENDPOINT_URL_DYNAMODB"]
        loader = botocore.session.get_session().get_component("data_loader")
        rules = EndpointProvider(
            loader.load_service_model("dynamodb", "endpoint-rule-set-1"), loader.load_data("partitions")
        )
        for region, partition, suffix in [
            ("us-east-1", "aws", "amazonaws.com"),
            ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
            ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ]:
            for kind in ("fips", "dual-stack", "fips-dual-stack"):
                # GovCloud's own name for its FIPS endpoint is the standard one; dynamodb-fips leads there, too.
                if (partition, kind) == ("aws-us-gov", "fips"):
                    continue
                given = {
                    "DynamoDbEndpoint": kind, "AWS::Region": region, "AWS::Partition": partition, "AWS::URLSuffix": suffix
                }
                expected = rules.resolve_endpoint(Region=region, UseFIPS="fips" in kind, UseDualStack="dual" in kind)
                with self.subTest(region=region, kind=kind):
                    self.assertEqual(Template(template, **given).value(endpoint), expected.url)
        self.assertEqual(Template(template).value(endpoint), "")

    def test_versions_stay_to_roll_back_to(self):
        # A new logical id (code, template) deletes the old resource, a new description (Revision) replaces it.
        transformed = json.loads(run(PYTHON, ROOT / "tools/transform", ROOT / "template.yaml"))
        versions = [
            resource for resource in transformed["Resources"].values() if resource["Type"] == "AWS::Lambda::Version"
        ]
        policies = [(version.get("DeletionPolicy"), version.get("UpdateReplacePolicy")) for version in versions]
        self.assertEqual(policies, [("Retain", "Retain")])

    def test_the_examples_have_no_findings(self):
        for example in ("audit-archive", "private-api", "deployer"):
            with self.subTest(example):
                self.assertEqual(findings(ROOT / f"examples/{example}.yaml"), [])

    def test_the_deployers_policies_are_as_short_as_iam_asks(self):
        template = yaml_parse((ROOT / "examples/deployer.yaml").read_text())
        values = {
            "AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-2", "AWS::AccountId": "123456789012",
            "StackName": "s" * 32, "ArtifactBucket": "b" * 63,
        }
        for name in ("FunctionPolicy", "DataPolicy"):
            document = json.dumps(template["Resources"][name]["Properties"]["PolicyDocument"])
            for key, value in values.items():
                document = document.replace(f"${{{key}}}", value)
            # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
            self.assertLess(len(document.replace(" ", "")), 6144, name)

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
        # On the source these two are on, but for W3011 on the function. The transform puts the values of some parameters in their place, which W2001 calls
        # unused; and it copies the function's UpdateReplacePolicy to all that it makes of it, where W3011 wants the other
        # policy, too.
        listed = run(
            CFN_LINT, "--include-checks", "I", "--ignore-checks", "W2001", "W3011", "--format", "json", "--", file.name,
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
