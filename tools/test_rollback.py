"""When `make rollback` refuses, and where it goes: what the emulator of `make deploy-local` cannot show."""

import contextlib
import importlib.machinery
import importlib.util
import io
import pathlib
import sys
import types
import unittest
from unittest import mock

TOOLS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(TOOLS))
loader = importlib.machinery.SourceFileLoader("rollback", str(TOOLS / "rollback"))
sys.dont_write_bytecode = True
rollback = importlib.util.module_from_spec(importlib.util.spec_from_loader("rollback", loader))
loader.exec_module(rollback)

# The canary of version 2 failed, and 3 replaced 1.
DESCRIPTIONS = {1: "a 1", 2: "b 2, after version 1", 3: "b 3, after version 1"}


class Rollback(unittest.TestCase):
    def test_it_goes_to_the_version_that_served_before(self):
        self.assertEqual(self.roll_back(serving=3), ("1", "live will serve version 1"))

    def test_a_canary_that_codedeploy_rolled_back_leaves_nothing_to_do(self):
        moved, said = self.roll_back(status="UPDATE_ROLLBACK_COMPLETE", serving=3)
        self.assertEqual(moved, None)
        self.assertIn("rolled back already", said)

    def test_a_canary_share_that_is_left_over_is_removed(self):
        self.assertEqual(self.roll_back(serving=1, routing={"2": 0.1})[0], "1")

    def test_it_refuses_while_cloudformation_works(self):
        for status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS"):
            with self.subTest(status):
                self.assertIn(f"is in {status}", self.refusal(status=status))
        self.assertEqual(self.roll_back(status="UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")[0], "1")

    def test_it_refuses_while_codedeploy_works(self):
        self.assertIn("CodeDeploy still works on d-1", self.refusal(deployments=["d-1"]))

    def test_it_refuses_a_version_that_did_not_serve(self):
        for version in ("2", "4", "x"):
            with self.subTest(version):
                self.assertIn("VERSION must be one that served: 3, 1", self.refusal(VERSION=version))

    def test_it_does_not_go_on_from_where_another_rollback_went(self):
        self.assertIn("since an earlier rollback", self.refusal(serving=2))

    def test_it_refuses_where_no_version_is_known_to_have_served(self):
        with mock.patch.dict(DESCRIPTIONS, {3: "set by hand"}):
            self.assertIn("does not say which version served before", self.refusal())

    def test_it_refuses_a_stack_that_was_never_completed(self):
        self.assertIn("is in ROLLBACK_COMPLETE and has no function", self.refusal(status="ROLLBACK_COMPLETE", outputs=[]))

    def test_nobody_to_ask_means_no(self):
        self.assertIn("nothing changed", self.refusal(YES="0"))

    def refusal(self, **case):
        with self.assertRaises(SystemExit) as exit:
            self.roll_back(**case)
        return str(exit.exception)

    def roll_back(self, status="UPDATE_COMPLETE", serving=3, routing=None, deployments=(), outputs=None, **environment):
        """The version that the alias was moved to, or None, and the last line but one."""
        outputs = [{"OutputKey": "FunctionName", "OutputValue": "f"}] if outputs is None else outputs
        alias = {"FunctionVersion": str(serving)} | ({"RoutingConfig": {"AdditionalVersionWeights": routing}} if routing else {})
        functions, codedeploy = mock.Mock(), mock.Mock()
        functions.get_alias.return_value = alias
        versions = [{"Version": "$LATEST"}] + [{"Version": str(number), "Description": d} for number, d in DESCRIPTIONS.items()]
        functions.get_paginator.return_value.paginate.return_value = [{"Versions": versions}]
        codedeploy.list_deployments.return_value = {"deployments": list(deployments)}
        stage = types.SimpleNamespace(
            stack_name="s", region="r", client={"lambda": functions, "codedeploy": codedeploy}.get,
            stack=lambda: {"StackName": "s", "StackStatus": status, "Outputs": outputs},
            physical_ids=lambda kind: [kind], deployed_version=lambda: "3",
        )
        said = io.StringIO()
        with (
            mock.patch.object(rollback.stack, "Stage", lambda name: stage),
            mock.patch.dict("os.environ", {"YES": "1", **environment}),
            mock.patch("sys.stdin", io.StringIO("")),
            contextlib.redirect_stdout(said),
        ):
            rollback.main()
        moved = functions.update_alias.call_args
        if moved:
            self.assertEqual(moved.kwargs["RoutingConfig"], {"AdditionalVersionWeights": {}})
        lines = said.getvalue().splitlines()
        shown = next((line for line in lines if "will serve" in line), lines[-1])
        return moved and moved.kwargs["FunctionVersion"], shown.removeprefix("f: ").split(" (")[0]


if __name__ == "__main__":
    unittest.main()
