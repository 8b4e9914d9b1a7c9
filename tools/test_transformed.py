"""What SAM makes of the templates, linted: `make lint` runs these tests in the environment `.venv/sam`."""

import copy
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import botocore.session
import release
from botocore.endpoint_provider import EndpointProvider
from evaluate import Template
from samcli.yamlhelper import yaml_parse
from transform import transformed

ROOT = pathlib.Path(__file__).resolve().parent.parent
CFN_LINT = pathlib.Path(sys.executable).with_name("cfn-lint")
TEMPLATE = yaml_parse((ROOT / "template.yaml").read_text())
EXAMPLES = ("audit-archive", "deployer", "private-api")


class Transformed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cyclic = copy.deepcopy(TEMPLATE)
        cyclic["Resources"]["Function"]["Properties"]["DeploymentPreference"]["Alarms"].append({"Ref": "Api5xxAlarm"})
        cls.findings = findings(
            {
                "template": transformed(TEMPLATE),
                "release": transformed(
                    yaml_parse(release.template((ROOT / "template.yaml").read_text(), "1.2.0", "arm64", "function.zip"))
                ),
                "without CodeDeploy": transformed(TEMPLATE, DeploymentPreferenceEnabled="false"),
                "cyclic": transformed(cyclic),
                **{name: transformed(yaml_parse((ROOT / f"examples/{name}.yaml").read_text())) for name in EXAMPLES},
            }
        )

    def test_the_template_and_the_examples_have_no_findings(self):
        checked = {name: found for name, found in self.findings.items() if name != "cyclic"}
        self.assertEqual(checked, {name: [] for name in ("template", "release", "without CodeDeploy", *EXAMPLES)})

    def test_a_deployment_alarm_on_the_api_is_found_to_close_a_cycle(self):
        self.assertIn("E3004", {finding.split()[0] for finding in self.findings["cyclic"]})

    def test_the_endpoints_of_dynamodb_are_those_of_the_sdk(self):
        endpoint = TEMPLATE["Resources"]["Function"]["Properties"]["Environment"]["Variables"]["AWS_ENDPOINT_URL_DYNAMODB"]
        loader = botocore.session.get_session().get_component("data_loader")
        rules = EndpointProvider(
            loader.load_service_model("dynamodb", "endpoint-rule-set-1"), loader.load_data("partitions")
        )
        for region, partition, suffix in [
            ("us-east-1", "aws", "amazonaws.com"),
            ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
            ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
            ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
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
                    self.assertEqual(Template(TEMPLATE, **given).value(endpoint), expected.url)
        self.assertEqual(Template(TEMPLATE).value(endpoint), "")

    def test_a_changed_policy_of_the_private_api_reaches_its_stage(self):
        # The policy depends on a parameter, so that the body that SAM sees stays the same.
        template = yaml_parse((ROOT / "examples/private-api.yaml").read_text())
        deployments = []
        for now in (1_700_000_000, 1_700_000_060):
            with mock.patch("time.time", lambda: now):
                resources = transformed(template)["Resources"]
            deployments += [name for name, resource in resources.items() if resource["Type"] == "AWS::ApiGateway::Deployment"]
        self.assertEqual(len(set(deployments)), 2, deployments)
        [api] = [resource for resource in resources.values() if resource["Type"] == "AWS::ApiGateway::RestApi"]
        self.assertEqual(api["Properties"]["SecurityPolicy"], "TLS_1_2")

    def test_versions_stay_to_roll_back_to(self):
        # A new logical id (code, template) deletes the old resource, a new description (Revision) replaces it.
        resources = transformed(TEMPLATE)["Resources"].values()
        versions = [resource for resource in resources if resource["Type"] == "AWS::Lambda::Version"]
        policies = [(version.get("DeletionPolicy"), version.get("UpdateReplacePolicy")) for version in versions]
        self.assertEqual(policies, [("Retain", "Retain")])

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


class Rules(unittest.TestCase):
    ISSUER = {"JwtIssuer": "https://a.example", "JwtAudience": "a"}
    DOMAIN = {"DomainName": "d.example", "CertificateArn": "arn:aws:acm:eu-central-1:1:certificate/1"}

    def test_mutual_tls_with_an_open_execute_api_address_is_refused_unless_asked_for_by_name(self):
        given = {**self.DOMAIN, "TruststoreUri": "s3://bucket/ca.pem"}
        refused = "With TruststoreUri, set DisableExecuteApiEndpoint to true, or to no-despite-mutual-tls"
        self.assertEqual(self.broken(**given), [refused])
        self.assertEqual(self.broken(**given, DisableExecuteApiEndpoint="true"), [])
        self.assertEqual(self.broken(**given, DisableExecuteApiEndpoint="no-despite-mutual-tls"), [])

    def test_only_true_closes_the_execute_api_address(self):
        for value, is_open in (("true", False), ("false", True), ("no-despite-mutual-tls", True)):
            self.assertIs(Template(TEMPLATE, DisableExecuteApiEndpoint=value).condition("HasExecuteApi"), is_open)

    def test_what_belongs_together_is_asked_for_together(self):
        for given, refused in [
            ({}, None),
            ({"DomainName": "d.example"}, "DomainName needs a CertificateArn"),
            ({"CertificateArn": "arn:aws:acm:eu-central-1:1:certificate/1"}, "CertificateArn needs a DomainName"),
            ({"SubnetIds": "subnet-1"}, "SubnetIds needs SecurityGroupIds"),
            ({"SecurityGroupIds": "sg-1"}, "SecurityGroupIds needs SubnetIds"),
            ({"JwtJwksUrl": "https://a.example", "JwtJwks": "{}"}, "Set at most one of JwtJwksUrl, JwtJwksSecretArn and JwtJwks"),
            ({"JwtIssuers": "[]"}, "Set JwtIssuer and JwtAudience, or JwtIssuers, or JwtIssuersFile"),
        ]:
            with self.subTest(given):
                self.assertEqual(self.broken(**given), [refused] if refused else [])

    def broken(self, **given):
        """The assertions that do not hold for these parameters."""
        template = Template(TEMPLATE, **{**self.ISSUER, **given})
        return [
            assertion["AssertDescription"]
            for rule in TEMPLATE["Rules"].values()
            if template.value(rule.get("RuleCondition", {"Fn::Equals": ["", ""]}))
            for assertion in rule["Assertions"]
            if not template.value(assertion["Assert"])
        ]


def findings(templates):
    """The rules that each of these templates breaks, with message and place."""
    with tempfile.TemporaryDirectory() as folder:
        for name, template in templates.items():
            pathlib.Path(folder, name).write_text(json.dumps(template))
        # On the source these two are on, but for W3011 on the function. The transform puts the values of some parameters in
        # their place, which W2001 calls unused; and it copies the function's UpdateReplacePolicy to all that it makes of it,
        # where W3011 wants the other policy, too.
        command = [CFN_LINT, "--include-checks", "I", "--ignore-checks", "W2001", "W3011", "--format", "json", "--", *templates]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.stdout, done.stderr
    found = {name: [] for name in templates}
    for finding in json.loads(done.stdout):
        found[finding["Filename"]].append(f"{finding['Rule']['Id']} {finding['Message']} {finding['Location']['Path']}")
    return found


if __name__ == "__main__":
    unittest.main()
