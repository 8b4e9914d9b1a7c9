"""What `make deploy` sends, and what it refuses to: `make lint` runs these tests in the environment `.venv/sam`."""

import contextlib
import pathlib
import sys
import tempfile
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import stack  # noqa: E402

DECLARED = {
    "JwtIssuer": {"Type": "String"},
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

    def test_a_required_parameter_an_unknown_one_and_a_derived_one_are_refused(self):
        for given, message in [
            ({}, "JwtIssuer has no default and must be set"),
            ({"JwtIsuer": "https://a.example"}, "the template has no parameter JwtIsuer; JwtIssuer?"),
            ({"JwtIssuer": "https://a.example", "Revision": "2"}, "leave Revision out"),
            ({"JwtIssuer": "https://a.example", "Architecture": "arm64"}, "leave Architecture out"),
        ]:
            with self.subTest(given), refused(self, message):
                effective(given, {})

    def test_the_revision_changes_with_any_parameter_and_with_nothing_else(self):
        values = {"JwtIssuer": "https://a.example", "MemorySize": "256", "Revision": "1"}
        revision = stack.revision(values)
        self.assertEqual(stack.revision({**values, "Revision": revision}), revision)
        self.assertNotEqual(stack.revision({**values, "MemorySize": "512"}), revision)

    def test_toml_values_are_written_as_cloudformation_reads_them(self):
        for value, written in [(True, "true"), (64, "64"), (["a", "b"], "a,b"), ("$(id) 'x' \"y\"", "$(id) 'x' \"y\"")]:
            self.assertEqual(stack.text(value, "here"), written)
        with refused(self, "must be a string"):
            stack.text(1.5, "here")


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
