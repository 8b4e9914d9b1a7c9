"""What the policies of `examples/deployer.yaml` allow and what they do not, simulated.

CloudFormation calls with the deployer's rights. What it calls for a type of resource is what the type's schema lists, which
cfn-lint has. What the tools call was recorded by `make deploy-local`.
"""

import functools
import pathlib
import re
import unittest

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from evaluate import Template
from samcli.yamlhelper import yaml_parse
from transform import transformed

ROOT = pathlib.Path(__file__).resolve().parent.parent
STACK = "imaging-study-prod"
KEY, OLD_KEY = (f"arn:aws:kms:eu-central-1:123456789012:key/{name}" for name in ("new", "old"))
GIVEN = {
    "StackName": STACK, "Repository": "owner/repository", "KmsKeyArns": f"{KEY},{OLD_KEY}", "TruststoreBucket": "truststore",
    "PrivateApi": "true",
}
FUNCTION = f"arn:aws:lambda:eu-central-1:123456789012:function:{STACK}-Function-1"
LOGS = f"arn:aws:logs:eu-central-1:123456789012:log-group:{STACK}-FunctionLogs-1"
ACCESS_LOGS = f"arn:aws:logs:eu-central-1:123456789012:log-group:/aws/vendedlogs/{STACK}-1"
ROLE = f"arn:aws:iam::123456789012:role/{STACK}-FunctionRole-1"
TABLE = f"arn:aws:dynamodb:eu-central-1:123456789012:table/{STACK}-StudyTable-1"
DEPLOYMENT_GROUP = f"arn:aws:codedeploy:eu-central-1:123456789012:deploymentgroup:{STACK}-app-1/{STACK}-group-1"
BOUNDARY = "<Boundary>"
CODE_DEPLOY = "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited"

# Where CloudFormation calls what it calls for the resources of the two templates.
RESOURCES = {
    "AWS::ApiGatewayV2::Api": ["arn:aws:apigateway:eu-central-1::/apis", "arn:aws:apigateway:eu-central-1::/apis/a1"],
    "AWS::ApiGatewayV2::ApiMapping": ["arn:aws:apigateway:eu-central-1::/domainnames/d.example/apimappings"],
    "AWS::ApiGatewayV2::DomainName": ["arn:aws:apigateway:eu-central-1::/domainnames/d.example"],
    "AWS::ApiGatewayV2::Stage": ["arn:aws:apigateway:eu-central-1::/apis/a1/stages/$default"],
    "AWS::ApiGateway::Deployment": ["arn:aws:apigateway:eu-central-1::/restapis/r1/deployments"],
    "AWS::ApiGateway::RestApi": ["arn:aws:apigateway:eu-central-1::/restapis", "arn:aws:apigateway:eu-central-1::/restapis/r1"],
    "AWS::ApiGateway::Stage": ["arn:aws:apigateway:eu-central-1::/restapis/r1/stages/live"],
    "AWS::CloudWatch::Alarm": [f"arn:aws:cloudwatch:eu-central-1:123456789012:alarm:{STACK}-v7-errors"],
    "AWS::CloudWatch::Dashboard": ["arn:aws:cloudwatch::123456789012:dashboard/Dashboard-1"],
    "AWS::CloudWatch::InsightRule": [f"arn:aws:cloudwatch:eu-central-1:123456789012:insight-rule/{STACK}-reads-by-subject"],
    "AWS::CodeDeploy::Application": [f"arn:aws:codedeploy:eu-central-1:123456789012:application:{STACK}-app-1"],
    "AWS::CodeDeploy::DeploymentGroup": [DEPLOYMENT_GROUP],
    "AWS::DynamoDB::Table": [TABLE],
    "AWS::IAM::Role": [ROLE],
    "AWS::Lambda::Alias": [f"{FUNCTION}:live"],
    "AWS::Lambda::Function": [FUNCTION],
    "AWS::Lambda::Permission": [FUNCTION, f"{FUNCTION}:live"],
    "AWS::Lambda::Version": [FUNCTION, f"{FUNCTION}:7"],
    "AWS::Logs::LogGroup": [LOGS, ACCESS_LOGS],
    "AWS::Logs::MetricFilter": [LOGS],
    "AWS::WAFv2::WebACLAssociation": ["arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/a/1"],
}
# Where an action is called on another resource than the one that CloudFormation makes.
ELSEWHERE = {
    "codedeploy:CreateApplication": "arn:aws:codedeploy:eu-central-1:123456789012:application:" + STACK + "-app-1",
    "codedeploy:GetApplicationRevision": "arn:aws:codedeploy:eu-central-1:123456789012:application:" + STACK + "-app-1",
    "codedeploy:GetDeployment": DEPLOYMENT_GROUP, "codedeploy:CreateDeployment": DEPLOYMENT_GROUP,
    "codedeploy:GetDeploymentGroup": DEPLOYMENT_GROUP, "codedeploy:StopDeployment": DEPLOYMENT_GROUP,
    "codedeploy:GetDeploymentConfig":
        "arn:aws:codedeploy:eu-central-1:123456789012:deploymentconfig:CodeDeployDefault.LambdaCanary10Percent5Minutes",
    "codedeploy:RegisterApplicationRevision": "arn:aws:codedeploy:eu-central-1:123456789012:application:" + STACK + "-app-1",
    "iam:PassRole": ROLE, "kms:*": KEY, "logs:CreateLogGroup": LOGS, "lambda:PublishVersion": FUNCTION, "lambda:ListVersionsByFunction": FUNCTION,
    "apigateway:SetWebACL": "arn:aws:apigateway:eu-central-1::/restapis/r1/stages/live",
    "ec2:*": "*", "cloudwatch:DescribeAlarms": "*", "cloudwatch:DescribeInsightRules": "*", "logs:DescribeLogGroups": "*",
    "logs:CreateLogDelivery": "*", "logs:PutResourcePolicy": "*", "logs:DescribeResourcePolicies": "*",
}
CONTEXT = {
    "iam:PermissionsBoundary": BOUNDARY, "iam:PolicyARN": CODE_DEPLOY, "iam:PassedToService": "lambda.amazonaws.com",
    "kms:GrantIsForAWSResource": "true", "dynamodb:LeadingKeys": ["smoke-test"],
}
# What the schemas list and the deployer does not have.
NOT_GIVEN = {
    "how long logs are kept, and by what they are found": [
        "logs:PutRetentionPolicy", "logs:DeleteRetentionPolicy", "logs:PutLogGroupDeletionProtection", "logs:PutIndexPolicy",
        "logs:DeleteIndexPolicy", "logs:PutDataProtectionPolicy", "logs:DeleteResourcePolicy", "logs:PutBearerTokenAuthentication",
        "s3:REST.PUT.OBJECT", "firehose:TagDeliveryStream",
    ],
    "who may take a role, and roles without the boundary": [
        "iam:UpdateRole", "iam:UpdateRoleDescription", "iam:UpdateAssumeRolePolicy", "iam:DeleteRolePermissionsBoundary",
        "iam:CreateServiceLinkedRole",
    ],
    "a table with replicas, imports, streams, policies or time to live": [
        "dynamodb:DescribeImport", "dynamodb:ImportTable", "dynamodb:UpdateTimeToLive", "dynamodb:UpdateContributorInsights",
        "dynamodb:EnableKinesisStreamingDestination", "dynamodb:DisableKinesisStreamingDestination",
        "dynamodb:UpdateKinesisStreamingDestination", "dynamodb:PutResourcePolicy", "dynamodb:DeleteResourcePolicy",
        "dynamodb:CreateTableReplica", "dynamodb:AssociateTableReplica", "dynamodb:Scan", "dynamodb:Query",
        "dynamodb:UpdateItem", "dynamodb:GetItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "kinesis:DescribeStream",
        "kinesis:PutRecords", "kms:ListAliases", "kms:RevokeGrant", "logs:CreateLogStream", "logs:DescribeLogStreams",
        "logs:PutLogEvents", "s3:GetObjectMetadata", "s3:ListBucket",
    ],
    "a function with provisioned concurrency, a capacity provider, layers, code signing or a file system": [
        "lambda:PutProvisionedConcurrencyConfig", "lambda:DeleteProvisionedConcurrencyConfig", "lambda:PutFunctionScalingConfig",
        "lambda:PassCapacityProvider", "lambda:PutRuntimeManagementConfig", "lambda:AssociateRuntimeAlias",
        "lambda:PutFunctionRecursionConfig", "lambda:GetCodeSigningConfig", "lambda:PutFunctionCodeSigningConfig",
        "lambda:DeleteFunctionCodeSigningConfig", "lambda:GetLayerVersion", "elasticfilesystem:DescribeMountTargets",
        "s3files:ListMountTargets", "codedeploy:RegisterOnPremisesInstance",
    ],
    "tags of an API, which IAM calls apigateway:PUT below /tags": ["apigateway:TagResource", "apigateway:UntagResource"],
    "web ACLs of other services": [
        "wafv2:PutPermissionPolicy", "wafv2:GetPermissionPolicy", "elasticloadbalancing:*", "appsync:*", "cognito-idp:*",
        "apprunner:*", "ec2:*VerifiedAccess*", "amplify:*", "bedrock-agentcore:*",
    ],
    "artifacts and the truststore, which stand in the table below": ["s3:GetObject", "s3:getObject", "s3:GetObjectVersion"],
}
# Rights, each with its place, that the pages count on, beside what CloudFormation calls.
PAGES = [
    ("cloudformation:CancelUpdateStack", f"arn:aws:cloudformation:eu-central-1:123456789012:stack/{STACK}/1"),
    ("cloudformation:ContinueUpdateRollback", f"arn:aws:cloudformation:eu-central-1:123456789012:stack/{STACK}/1"),
    ("cloudformation:DeleteStack", f"arn:aws:cloudformation:eu-central-1:123456789012:stack/{STACK}/1"),
    ("cloudformation:CreateChangeSet", f"arn:aws:cloudformation:eu-central-1:123456789012:stack/{STACK}-private/1"),
    ("codedeploy:ListDeployments", DEPLOYMENT_GROUP),
    ("codedeploy:StopDeployment", DEPLOYMENT_GROUP),
    ("dynamodb:PutItem", TABLE),
    ("kms:Decrypt", OLD_KEY),
    ("lambda:PutFunctionConcurrency", FUNCTION),
    ("lambda:DeleteFunctionConcurrency", FUNCTION),
    ("lambda:UpdateAlias", f"{FUNCTION}:live"),
    ("s3:GetObject", "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1/imaging-study/1"),
    ("s3:GetObject", "arn:aws:s3:::truststore/ca.pem"),
    ("s3:GetObjectVersion", "arn:aws:s3:::truststore/ca.pem"),
]
# What whoever takes the deployer's role cannot do.
DENIED = [
    ("logs:DeleteLogGroup", LOGS, {}),
    ("logs:DeleteLogStream", f"{LOGS}:log-stream:1", {}),
    ("logs:PutRetentionPolicy", LOGS, {}),
    ("logs:PutLogGroupDeletionProtection", LOGS, {}),
    ("logs:PutSubscriptionFilter", LOGS, {}),
    ("logs:DeleteSubscriptionFilter", LOGS, {}),
    ("logs:GetLogEvents", LOGS, {}),
    ("logs:StartQuery", LOGS, {}),
    ("iam:UpdateAssumeRolePolicy", ROLE, {}),
    ("iam:CreateRole", ROLE, {"iam:PermissionsBoundary": None}),
    ("iam:PutRolePolicy", ROLE, {"iam:PermissionsBoundary": "arn:aws:iam::123456789012:policy/mine"}),
    ("iam:DeleteRolePermissionsBoundary", ROLE, {}),
    ("iam:AttachRolePolicy", ROLE, {"iam:PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess"}),
    ("iam:PassRole", ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("iam:PassRole", "arn:aws:iam::123456789012:role/administrator", {}),
    ("iam:CreatePolicyVersion", BOUNDARY, {}),
    ("cloudformation:UpdateTerminationProtection", f"arn:aws:cloudformation:eu-central-1:123456789012:stack/{STACK}/1", {}),
    ("cloudformation:ExecuteChangeSet", "arn:aws:cloudformation:eu-central-1:123456789012:stack/other/1", {}),
    ("dynamodb:DeleteTable", TABLE, {}),
    ("dynamodb:GetItem", TABLE, {}),
    ("dynamodb:Scan", TABLE, {}),
    ("dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": ["4"]}),
    ("dynamodb:UpdateContinuousBackups", "arn:aws:dynamodb:eu-central-1:123456789012:table/other", {}),
    ("lambda:InvokeFunction", FUNCTION, {}),
    ("lambda:UpdateFunctionCode", "arn:aws:lambda:eu-central-1:123456789012:function:other", {}),
    ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:hmac-123456", {}),
    ("kms:Decrypt", "arn:aws:kms:eu-central-1:123456789012:key/other", {}),
    ("s3:GetObject", "arn:aws:s3:::other/1", {}),
]


class Deployer(unittest.TestCase):
    def test_it_has_what_cloudformation_calls_and_the_rest_is_left_out_for_a_reason(self):
        reasons = [pattern for patterns in NOT_GIVEN.values() for pattern in patterns]
        for kind, arns in RESOURCES.items():
            for action in called(kind):
                for arn in [place(action)] if place(action) else arns:
                    left_out = any(matches(pattern, action) for pattern in reasons)
                    with self.subTest(kind=kind, action=action, arn=arn):
                        self.assertEqual(allowed(action, arn), not left_out)

    def test_no_type_is_forgotten(self):
        self.assertEqual(set(types()), set(RESOURCES))

    def test_it_has_what_the_pages_count_on(self):
        for action, arn in PAGES:
            with self.subTest(action=action, arn=arn):
                self.assertTrue(allowed(action, arn))

    def test_it_has_what_the_tools_call(self):
        calls = [line.split() for line in (ROOT / "tools/deployer-calls.txt").read_text().splitlines()]
        self.assertGreater(len(calls), 15)
        for tool, action, arn in calls:
            with self.subTest(tool=tool, action=action, arn=arn):
                # Protecting the stack is part of setting it up.
                setup = action == "cloudformation:UpdateTerminationProtection"
                self.assertTrue(allowed(action, arn, Setup=str(setup).lower()))

    def test_it_cannot_shorten_the_trail_widen_a_role_or_read_data(self):
        for action, arn, context in DENIED:
            with self.subTest(action=action, context=context):
                self.assertFalse(allowed(action, arn, context))

    def test_only_setting_up_may_say_how_long_logs_are_kept_and_protect_the_stack(self):
        stack = f"arn:aws:cloudformation:eu-central-1:123456789012:stack/{STACK}/1"
        for action, arn in [
            ("logs:PutRetentionPolicy", LOGS), ("logs:PutRetentionPolicy", ACCESS_LOGS),
            ("logs:PutLogGroupDeletionProtection", LOGS), ("cloudformation:UpdateTerminationProtection", stack),
        ]:
            self.assertTrue(allowed(action, arn, Setup="true"), action)
            self.assertFalse(allowed(action, arn, Setup="false"), action)
        self.assertFalse(allowed("logs:DeleteLogGroup", LOGS, Setup="true"))

    def test_the_functions_code_cannot_touch_network_interfaces_which_lambda_can(self):
        template = Template(yaml_parse((ROOT / "template.yaml").read_text()), **{"AWS::StackName": STACK, "SubnetIds": "subnet-1"})
        policies = template.value(template.template["Resources"]["FunctionRole"]["Properties"]["Policies"])
        statements = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
        interface = "arn:aws:ec2:eu-central-1:123456789012:network-interface/eni-1"
        for action in ("ec2:DeleteNetworkInterface", "ec2:UnassignPrivateIpAddresses", "ec2:CreateNetworkInterface"):
            with self.subTest(action):
                self.assertTrue(simulate(statements, action, interface, {}))
                self.assertFalse(simulate(statements, action, interface, {"lambda:SourceFunctionArn": FUNCTION}))

    def test_the_boundary_holds_what_the_roles_have_and_little_else(self):
        statements = documents(**GIVEN)["Boundary"]
        template = Template(yaml_parse((ROOT / "template.yaml").read_text()), **{
            "AWS::StackName": STACK, "SubnetIds": "subnet-1", "KmsKeyArn": KEY,
            "JwtJwksSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:hmac-123456",
        })
        arns = {"<StudyTable.Arn>": TABLE, "<FunctionLogs.Arn>": f"{LOGS}:*"}
        policies = template.value(template.template["Resources"]["FunctionRole"]["Properties"]["Policies"])
        checked = 0
        for statement in [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]:
            if statement["Effect"] == "Deny":
                continue
            for action in texts(statement["Action"]):
                for arn in texts(statement["Resource"]):
                    checked += 1
                    with self.subTest(action=action, arn=arn):
                        self.assertTrue(simulate(statements, action, arns.get(arn, arn), {}))
        self.assertGreater(checked, 10)
        for action in ("dynamodb:Scan", "dynamodb:PutItem", "iam:PassRole", "lambda:InvokeFunction", "s3:GetObject", "sts:AssumeRole"):
            self.assertFalse(simulate(statements, action, TABLE if action.startswith("dynamodb") else "*", {}), action)


def types():
    for path in ("template.yaml", "examples/private-api.yaml"):
        template = transformed(yaml_parse((ROOT / path).read_text()))
        yield from {resource["Type"] for resource in template["Resources"].values()}


# Types whose deletion the deployer must not be able to ask for: what the stack keeps when it goes.
KEPT = {"AWS::DynamoDB::Table", "AWS::Logs::LogGroup"}


def called(kind):
    """What CloudFormation calls to create, read, update and, unless the data is kept, delete a resource."""
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
    verbs = ["create", "read", "update"] + ([] if kind in KEPT else ["delete"])
    return sorted({action for verb in verbs for action in handlers.get(verb, {}).get("permissions", [])})


def place(action):
    return next((arn for pattern, arn in ELSEWHERE.items() if matches(pattern, action)), None)


@functools.cache
def documents(**given):
    """The statements of each policy that the template makes."""
    template = Template(yaml_parse((ROOT / "examples/deployer.yaml").read_text()), **given)
    return {
        name: template.value(resource["Properties"]["PolicyDocument"]["Statement"])
        for name, resource in template.template["Resources"].items()
        if resource["Type"] == "AWS::IAM::ManagedPolicy" and ("Condition" not in resource or template.condition(resource["Condition"]))
    }


def allowed(action, arn, context=None, **given):
    policies = documents(**{**GIVEN, **given})
    statements = [each for name, policy in policies.items() if name != "Boundary" for each in policy]
    return simulate(statements, action, arn, {**CONTEXT, **(context or {})})


def simulate(statements, action, arn, context):
    """Whether IAM allows it: some statement does, and none denies."""
    effects = {
        statement["Effect"]
        for statement in statements
        if any(matches(pattern, action) for pattern in texts(statement["Action"]))
        and any(matches(pattern, arn, exact=True) for pattern in texts(statement["Resource"]))
        and holds(statement.get("Condition", {}), context)
    }
    return effects == {"Allow"}


def holds(condition, context):
    for operator, keys in condition.items():
        for key, expected in keys.items():
            expected, found = [str(each).lower() if operator == "Bool" else each for each in texts(expected)], context.get(key)
            if operator == "ForAllValues:StringEquals":
                met = set(found or []) <= set(expected)
            elif operator in ("StringEquals", "Bool"):
                met = found in expected
            elif operator in ("ArnEquals", "ArnLike"):
                met = found is not None and any(matches(pattern, found, exact=True) for pattern in expected)
            else:
                raise AssertionError(f"unknown operator {operator}")
            if not met:
                return False
    return True


def matches(pattern, text, exact=False):
    expression = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, text, 0 if exact else re.IGNORECASE) is not None


def texts(value):
    return value if isinstance(value, list) else [value]


if __name__ == "__main__":
    unittest.main()
