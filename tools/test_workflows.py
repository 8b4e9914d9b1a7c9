"""When `.github/workflows/deploy.yml` rolls back, and which of its steps has which rights."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from samcli.yamlhelper import yaml_parse

WORKFLOWS = pathlib.Path(__file__).resolve().parent.parent / ".github/workflows"
DEPLOY = yaml_parse((WORKFLOWS / "deploy.yml").read_text())["jobs"]["deploy"]
STEPS = {step.get("name", step.get("uses")): step for step in DEPLOY["steps"]}
NAMES = list(STEPS)


class Deploy(unittest.TestCase):
    def test_only_a_wrong_response_of_a_new_version_rolls_back(self):
        for status, previous, expected in [
            (0, "6", False),
            # No address, no route to it, no token, mutual TLS without a certificate.
            (2, "6", False),
            (1, "6", False),
            (3, "6", True),
            # Nothing was published, or the stack is new.
            (3, "", False),
        ]:
            with self.subTest(status=status, previous=previous):
                self.assertEqual(rolls_back(smoke_output(status), previous), expected)

    def test_a_smoke_test_that_was_not_run_rolls_nothing_back(self):
        self.assertFalse(rolls_back("", "6"))

    def test_the_token_is_there_before_the_deployment(self):
        self.assertLess(NAMES.index("Get a token"), NAMES.index("Deploy"))

    def test_only_the_steps_that_deploy_and_roll_back_have_credentials(self):
        having = [name for name, step in STEPS.items() if "AWS_SECRET_ACCESS_KEY" in step.get("env", {})]
        self.assertEqual(having, ["Deploy", "Roll back"])
        for name, step in STEPS.items():
            if "configure-aws-credentials" in step.get("uses", ""):
                self.assertIs(step["with"]["output-env-credentials"], False, name)

    def test_nothing_is_compiled(self):
        for name, step in STEPS.items():
            self.assertNotRegex(step.get("run", ""), r"cargo|npm|make (build|deploy)\b", name)


def smoke_output(status):
    """What the step writes where `tools/smoke` ends with a status."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        python = folder / ".venv/sam/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\nexit {status}\n")
        python.chmod(0o755)
        (folder / "token").write_text("token")
        output = folder / "output"
        environment = {"PATH": os.environ["PATH"], "RUNNER_TEMP": str(folder), "GITHUB_OUTPUT": str(output), "CERTIFICATE": ""}
        # As GitHub runs it.
        done = subprocess.run(["bash", "-e", "-c", STEPS["Smoke tests"]["run"]], cwd=folder, env=environment)
        assert done.returncode == status
        return output.read_text().strip().removeprefix("status=")


def rolls_back(status, previous):
    """Whether a step with the condition of the step that prepares the roll-back runs, after a step that failed."""
    condition = STEPS["Take the deployer's role to roll back"]["if"]
    assert STEPS["Roll back"]["if"] == "failure() && steps.again.outcome == 'success'"
    values = {"steps.smoke.outputs.status": status, "steps.deploy.outputs.previous": previous}
    expression = condition.replace("&&", "and").replace("failure()", str(status != "0"))
    return eval(re.sub(r"steps\.[a-z.]+", lambda name: repr(values[name[0]]), expression))


if __name__ == "__main__":
    unittest.main()
