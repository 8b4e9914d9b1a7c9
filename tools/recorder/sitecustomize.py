"""Writes each call to AWS of a Python program into the file RECORD, a line each: ACTION ARN. `make deploy-local` uses it."""

import os

from botocore.client import BaseClient

# What IAM calls an operation where it has another name.
ACTIONS = {"s3:HeadObject": "s3:GetObject", "s3:HeadBucket": "s3:ListBucket"}
make_api_call = BaseClient._make_api_call


def arn(service, parameters):
    of = f"arn:aws:{service}:eu-central-1:123456789012"
    if service == "s3":
        return f"arn:aws:s3:::{parameters['Bucket']}" + (f"/{parameters['Key']}" if "Key" in parameters else "")
    if service == "cloudformation":
        return f"{of}:stack/{parameters['StackName'].split('/')[1 if ':' in parameters['StackName'] else 0]}/1"
    if service == "lambda":
        return f"{of}:function:{parameters['FunctionName']}" + (f":{parameters['Name']}" if "Name" in parameters else "")
    if service == "dynamodb":
        return f"{of}:table/{parameters['TableName']}"
    return "*"


def recorded(self, operation, parameters):
    service = self.meta.service_model.signing_name
    action = f"{service}:{operation}"
    with open(os.environ["RECORD"], "a") as record:
        record.write(f"{ACTIONS.get(action, action)} {arn(service, parameters)}\n")
    return make_api_call(self, operation, parameters)


BaseClient._make_api_call = recorded
