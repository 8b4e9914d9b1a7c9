"""Writes each call to AWS of a Python program into the file RECORD, a line each: ACTION ARN. `make deploy-local` uses it."""

import os

from botocore.client import BaseClient
from calls import call

make_api_call = BaseClient._make_api_call


def recorded(self, operation, parameters):
    with open(os.environ["RECORD"], "a") as record:
        record.write(call(self.meta.service_model.signing_name, operation, parameters) + "\n")
    return make_api_call(self, operation, parameters)


BaseClient._make_api_call = recorded
