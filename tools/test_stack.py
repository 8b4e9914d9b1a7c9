"""What `make deploy` sends, and what it refuses to: `make lint` runs these tests in the environment `.venv/sam`."""

import contextlib
import importlib.machinery
import importlib.util
import json
import pathlib
import sys
import tempfile
import types
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import stack  # noqa: E402
from samcli.yamlhelper import yaml_parse  # noqa: E402

sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("deploy", str(stack.ROOT / "tools/deploy"))
deploy = importlib.util.module_from_spec(importlib.util.spec_from_loader("deploy", loader))
loader.exec_module(deploy)

DECLARED = {
    "JwtIssuer": {"Type": "String"},
    "JwtJwks": {"Type": "String", "Default": "", "NoEcho": True},
    "ExistingTableName": {"Type": "String", "Default": ""},
    "MemorySize": {"Type": "Number", "Default": 256},
    "DeploymentPreferenceEnabled": {"Type": "String", "Default": "true"},
    "Architecture": {"Type": "String", "Default": "x86_64"},
    "Revision": {"Type": "String", "Default": "1"},
}


class Parameters(unittest.TestCase):
    def test_what_the_file_does_not_name_stays(self):
        current = {"JwtIssuer": "https://a.example", "ExistingTableName": "studies", "MemorySize": "512"}
        values = effective({"MemorySize": "1024"}, current)
        self.assertEqual(
            (values["JwtIssuer"], values["ExistingTableName"], values["MemorySize"]),
            ("https://a.example", "studies", "1024"),
        )

    def test_what_neither_names_has_its_default(self):
        self.assertEqual(effective({"JwtIssuer": "https://a.example"}, {})["MemorySize"], "256")

    def test_a_deployment_without_canary_does_not_switch_it_off_for_the_next(self):
        current = {"JwtIssuer": "https://a.example", "DeploymentPreferenceEnabled": "false"}
        self.assertEqual(effective({}, current)["DeploymentPreferenceEnabled"], "true")
        self.assertEqual(
            effective({"DeploymentPreferenceEnabled": "false"}, current)["DeploymentPreferenceEnabled"], "false"
        )

    def test_a_secret_that_the_file_does_not_name_counts_as_unchanged(self):
        # CloudFormation shows **** for any value, also for none, and keeps what is not sent.
        first = effective({"JwtIssuer": "https://a.example"}, {})
        self.assertEqual(effective({}, {"JwtIssuer": "https://a.example", "JwtJwks": "****"}), first)

    def test_a_required_parameter_an_unknown_one_and_a_derived_one_are_refused(self):
        for given, message in [
            ({}, "JwtIssuer has no default and must be set"),
            ({"JwtIsuer": "https://a.example"}, "the template has no parameter JwtIsuer; JwtIssuer?"),
            ({"JwtIssuer": "https://a.example", "Revision": "2"}, "leave Revision out"),
            ({"JwtIssuer": "https://a.example", "Architecture": "arm64"}, "leave Architecture out"),
        ]:
            with self.subTest(given), refused(self, message):
                effective(given, {})

    def test_toml_values_are_written_as_cloudformation_reads_them(self):
        for value, written in [(True, "true"), (64, "64"), (["a", "b"], "a,b"), ("$(id) 'x' \"y\"", "$(id) 'x' \"y\"")]:
            self.assertEqual(stack.text(value, "here"), written)
        with refused(self, "must be a string"):
            stack.text(1.5, "here")


class SecretsInTheStage(unittest.TestCase):
    SYMMETRIC = json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})
    PUBLIC = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "wt8jmBDc"}]})

    def test_an_hmac_key_is_refused(self):
        for given in [
            {"JwtJwks": self.SYMMETRIC},
            {"JwtIssuers": json.dumps([{"issuer": "https://a.example", "jwks": json.loads(self.SYMMETRIC)}])},
            {"JwtIssuers": json.dumps([{"issuer": "https://a.example", "jwks": self.SYMMETRIC}])},
        ]:
            with self.subTest(given), refused(self, "has an HMAC key"):
                self.check(given)

    def test_a_public_key_none_and_what_is_no_json_pass(self):
        for given in ({"JwtJwks": self.PUBLIC}, {}, {"JwtJwks": "{"}, {"JwtIssuers": ""}):
            self.check(given)

    def test_an_hmac_key_passes_in_a_file_that_says_that_git_does_not_have_it(self):
        self.check({"JwtJwks": self.SYMMETRIC}, kept_out_of_git=True)

    def test_the_word_of_the_file_is_not_enough_if_git_has_it(self):
        with refused(self, "git has it"):
            self.check({"JwtJwks": self.SYMMETRIC}, kept_out_of_git=True, path="stages/example.toml")

    def check(self, parameters, kept_out_of_git=False, path="stages/no-such.toml"):
        stage = types.SimpleNamespace(path=pathlib.Path(path), parameters=parameters, kept_out_of_git=kept_out_of_git)
        stack.refuse_hmac_keys(stage)


class Revision(unittest.TestCase):
    def test_it_stays_while_neither_parameters_nor_code_change(self):
        first = self.revision()
        self.assertEqual(self.revision(current=first, before="1"), first)

    def test_it_changes_with_a_parameter_with_the_code_and_where_it_is_forced_to(self):
        first = self.revision()
        for changed in (self.revision(first, MemorySize="512"), self.revision(first, code=b"2"), self.revision(first, forced=True)):
            self.assertNotEqual(changed, first)

    def test_it_stays_where_only_the_canary_is_switched_off_or_on(self):
        first = self.revision(DeploymentPreferenceEnabled="true")
        self.assertEqual(self.revision(first, DeploymentPreferenceEnabled="false"), first)

    def test_a_retry_has_another_than_the_version_whose_deployment_failed(self):
        # CloudFormation has rolled back to the first, and Lambda keeps the failed version.
        first = self.revision()
        failed = self.revision(first, before="1", MemorySize="512")
        self.assertNotEqual(self.revision(first, before="1", MemorySize="512"), failed)

    def test_it_names_the_version_that_served_before(self):
        self.assertEqual(stack.version_before(self.revision()), None)
        self.assertEqual(stack.version_before(self.revision(before="41")), "41")
        self.assertEqual(stack.version_before("set by hand"), None)

    def revision(self, current="", before=None, forced=False, code=b"1", **changes):
        values = {"JwtIssuer": "https://a.example", "MemorySize": "256", "Revision": current or "1", **changes}
        self.clock += 1
        return stack.revision(values, code, current, before, self.clock, forced)

    clock = 1_700_000_000


class Canary(unittest.TestCase):
    def test_its_length_is_in_its_name(self):
        template = yaml_parse((stack.ROOT / "template.yaml").read_text())
        minutes = {
            name: stack.canary_minutes({"DeploymentPreference": name, "DeploymentPreferenceEnabled": "true"})
            for name in template["Parameters"]["DeploymentPreference"]["AllowedValues"]
        }
        self.assertEqual(list(minutes.values()), [0, 5, 10, 15, 30, 9, 18, 27, 90])

    def test_one_that_outlasts_the_session_is_refused(self):
        given = {"DeploymentPreferenceEnabled": "true", "DeploymentPreference": "Linear10PercentEvery10Minutes"}
        with mock.patch.dict("os.environ", {"SESSION_MINUTES": "60"}):
            with refused(self, "Linear10PercentEvery10Minutes takes 90 minutes, and the session ends after 60"):
                deploy.refuse_a_canary_that_outlasts_the_session(given)
            deploy.refuse_a_canary_that_outlasts_the_session({**given, "DeploymentPreference": "Canary10Percent30Minutes"})
        deploy.refuse_a_canary_that_outlasts_the_session(given)

    def test_without_codedeploy_there_is_none(self):
        given = {"DeploymentPreference": "Linear10PercentEvery10Minutes", "DeploymentPreferenceEnabled": "false"}
        self.assertEqual(stack.canary_minutes(given), 0)


class ServedVersions(unittest.TestCase):
    def test_they_are_the_chain_of_descriptions(self):
        # Version 2 failed its canary; 3 followed 1.
        descriptions = {1: "a 1", 2: "b 2, after version 1", 3: "c 3, after version 1", 5: "d 4, after version 3"}
        self.assertEqual(stack.served_versions(descriptions, 5), [3, 1])
        self.assertEqual(stack.served_versions(descriptions, 3), [1])
        self.assertEqual(stack.served_versions(descriptions, 1), [])

    def test_a_version_that_was_deleted_ends_the_chain(self):
        self.assertEqual(stack.served_versions({5: "d 4, after version 3"}, 5), [])


class Artifact(unittest.TestCase):
    def test_the_architecture_is_that_of_the_file(self):
        for machine, name in [(62, "x86_64"), (183, "arm64")]:
            with artifact(elf(machine)) as path:
                self.assertEqual(stack.architecture(path), name)

    def test_what_lambda_could_not_start_is_refused(self):
        for content, mode, message in [
            (elf(62), 0o644, "is not executable"),
            (elf(40), 0o755, "is not a Linux executable"),
            (b"#!/bin/sh\n", 0o755, "is not a Linux executable"),
            (b"", 0o755, "is not a Linux executable"),
        ]:
            with self.subTest(message), artifact(content, mode) as path, refused(self, message):
                stack.architecture(path)
        with refused(self, "does not exist"):
            stack.architecture(pathlib.Path("no such file"))


def effective(parameters, current):
    stage = types.SimpleNamespace(path="stages/test.toml", parameters=parameters)
    return stack.effective_parameters(DECLARED, stage, current)


def elf(machine):
    return b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little")


@contextlib.contextmanager
def artifact(content, mode=0o755):
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "bootstrap")
        path.write_bytes(content)
        path.chmod(mode)
        yield path


@contextlib.contextmanager
def refused(test, message):
    with test.assertRaises(SystemExit) as exit:
        yield
    test.assertIn(message, str(exit.exception))
