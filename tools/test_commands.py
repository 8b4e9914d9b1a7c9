"""The commands of the pages: each parses, whoever is to run it may, and the names in the pages are those of the templates."""

import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

import test_deployer
from samcli.yamlhelper import yaml_parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ["README.md", *(f"docs/{page}.md" for page in ("operate", "runbook", "monitoring", "variants", "security", "configuration"))]
ARN = "arn:aws:service:eu-central-1:123456789012:something/1"
FILES = ("new", "cert.pem", "key.pem", "chain.pem")
# What the pages' placeholders stand for, where the deployer's rights are simulated.
NAMES = {
    "FUNCTION": f"{test_deployer.STACK}-Function-1", "TABLE": f"{test_deployer.STACK}-StudyTable-1",
    "STACK": test_deployer.STACK, "imaging-study-prod": test_deployer.STACK,
}
# Words in code that look like names of a template and are none.
OTHERS = {
    "GetItem", "BatchGetItem", "PutItem", "Query", "Scan", "Enabled", "AssumeRoleWithWebIdentity", "OperationOutcome", "ImagingStudy",
    "CapabilityStatement", "Authorization", "Bearer", "Reason", "Version", "ApiName", "ApiId", "Latency", "Average", "Patient",
    "Retry", "Accept", "RequestId", "Allow", "Origin",
}


class Commands(unittest.TestCase):
    def test_every_command_of_the_aws_cli_parses(self):
        commands = [command for page in PAGES for command in aws_commands(text(page))]
        self.assertGreater(len(commands), 30)
        for command, call in zip(commands, calls(commands), strict=True):
            with self.subTest(shlex.join(command)):
                self.assertRegex(call, r"^[a-z0-9-]+:[A-Z][A-Za-z]+ ")

    def test_a_command_with_a_wrong_option_and_one_with_a_wrong_value_do_not(self):
        wrong = ["aws lambda get-alias --function FUNCTION", "aws lambda put-function-concurrency --function-name F --reserved-concurrent-executions x"]
        for call in calls([command.split() for command in wrong]):
            self.assertNotRegex(call, r"^[a-z0-9-]+:[A-Z][A-Za-z]+ ")

    def test_every_target_of_make_exists(self):
        targets = set(re.findall(r"^([a-z0-9-]+):.*## ", text("Makefile"), re.M))
        for page in PAGES:
            named = set(re.findall(r"(?:`|^|\n *)make ([a-z0-9-]+)", text(page)))
            self.assertLessEqual(named, targets, page)

    def test_every_name_is_one_of_a_template(self):
        known = OTHERS.copy()
        for path in ("template.yaml", *(f"examples/{name}.yaml" for name in ("audit-archive", "deployer", "private-api"))):
            template = yaml_parse(text(path))
            for part in ("Parameters", "Resources", "Outputs"):
                known |= template[part].keys()
            known |= set(re.findall(r"\b[A-Z][A-Za-z0-9]+(?=[:\s,'])", text(path)))
        for page in ("docs/runbook.md", "docs/operate.md", "docs/monitoring.md", "docs/variants.md"):
            prose = re.sub(r"```.*?```", "", text(page), flags=re.S)
            named = set(re.findall(r"`([A-Z][a-z]+[A-Z0-9][A-Za-z0-9]*)(?:Alarm)?`", prose)) | set(re.findall(r"`([A-Z][A-Za-z0-9]+Alarm)`", prose))
            # SAM makes these of the function and its alias.
            self.assertEqual(named - {"FunctionAliaslive"} - known, set(), page)


class Runbook(unittest.TestCase):
    def test_each_incident_says_how_it_shows_who_acts_how_long_it_takes_and_what_proves_that_it_is_over(self):
        self.assertGreaterEqual(len(sections()), 14)
        for title, section in sections().items():
            for part in ("Shows", "Who", "Takes", "Over when"):
                with self.subTest(section=title, part=part):
                    self.assertEqual(section.count(f"\n- {part}: "), 1)

    def test_the_deployer_may_run_what_it_is_told_to(self):
        commands = []
        for section in sections().values():
            who = re.search(r"\n- Who: (.*)", section)[1]
            if "deployer" in who:
                commands += aws_commands(section, administrators=False)
        self.assertGreater(len(commands), 12)
        for command, call in zip(commands, calls(commands), strict=True):
            action, arn = call.split()
            for placeholder, name in NAMES.items():
                arn = re.sub(rf"\b{placeholder}\b", name, arn)
            with self.subTest(shlex.join(command), action=action, arn=arn):
                self.assertTrue(test_deployer.allowed(action, arn))


def text(page):
    return (ROOT / page).read_text()


def sections():
    """The incidents of the runbook, by their titles."""
    parts = re.split(r"^## (.*)\n", text("docs/runbook.md"), flags=re.M)[1:]
    return {title: f"\n{section}" for title, section in zip(parts[::2], parts[1::2], strict=True)}


def aws_commands(page, administrators=True):
    """The commands of the AWS CLI in a page, each as its words; a comment is words, too, as for an interactive zsh."""
    lines = []
    for block in re.findall(rf"```sh{'(?: administrator)?' if administrators else ''}\n(.*?)```", page, re.S):
        lines += logical(re.sub(r"\\\n\s*", "", block).splitlines())
    prose = re.sub(r"```.*?```", "", page, flags=re.S)
    lines += [re.sub(r"\s+", " ", code) for code in re.findall(r"`(aws [^`]+)`", prose)]
    commands = []
    for line in lines:
        # As in ALIAS=$(aws …).
        words = shlex.split(re.sub(r"^\s*\w+=\$\((.*)\)$", r"\1", line))
        if words[:1] == ["aws"] and len(words) > 2:
            commands.append([ARN if word == "ARN" else word for word in words])
    return commands


def logical(lines):
    """Lines of a shell, where a word in quotes may go over several."""
    buffer = ""
    for line in lines:
        buffer = f"{buffer} {line.strip()}".strip()
        try:
            shlex.split(buffer)
        except ValueError:
            continue
        yield buffer
        buffer = ""


def calls(commands):
    """What each command calls, or what is wrong with it."""
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            pathlib.Path(folder, name).write_text("x")
        done = subprocess.run(
            [sys.executable, "-B", ROOT / "tools/parse-aws.py"], cwd=folder, input=json.dumps(commands), capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


if __name__ == "__main__":
    unittest.main()
