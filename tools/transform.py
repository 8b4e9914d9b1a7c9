"""What SAM makes of a template, which is what CloudFormation receives. For tests; needs the environment `.venv/sam`.

Linters see a SAM template before the transform and skip what passes through `AWS::Serverless` resources, circular
dependencies among them.
"""

import copy
import logging
import os

from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform

# The transform asks for a region; the templates name none, so that any will do.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
# It also warns of feature toggles that only the service has.
logging.disable(logging.WARNING)


class NoManagedPolicies(ManagedPolicyLoader):
    """The templates name managed policies by ARN, so that nobody need ask IAM for their names."""

    def __init__(self):
        super().__init__(iam_client=None)

    def load(self):
        return {}


def transformed(template, **values):
    template = copy.deepcopy(template)
    for resource in template["Resources"].values():
        # The transform accepts code in S3 only; `sam deploy` puts it there.
        if "CodeUri" in resource["Properties"]:
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    # Resource metadata carries the reasons for suppressed findings.
    return transform(template, values, NoManagedPolicies(), passthrough_metadata=True)
