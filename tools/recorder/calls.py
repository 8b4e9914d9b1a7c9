"""What IAM is asked for a call to AWS, as far as the tools and the runbook make it: an action, and a resource."""

# What IAM calls an operation where it has another name.
ACTIONS = {"s3:HeadObject": "s3:GetObject", "s3:HeadBucket": "s3:ListBucket"}


def call(service, operation, parameters):
    action = f"{service}:{operation}"
    return f"{ACTIONS.get(action, action)} {arn(service, parameters)}"


def arn(service, parameters):
    of = f"arn:aws:{service}:eu-central-1:123456789012"
    if service == "s3":
        return f"arn:aws:s3:::{parameters['Bucket']}" + (f"/{parameters['Key']}" if "Key" in parameters else "")
    if service == "cloudformation":
        return f"{of}:stack/{parameters['StackName'].split('/')[1 if ':' in parameters['StackName'] else 0]}/1"
    if service == "lambda" and "FunctionName" in parameters:
        return f"{of}:function:{parameters['FunctionName']}" + (f":{parameters['Name']}" if "Name" in parameters else "")
    if service == "dynamodb" and "TableName" in parameters:
        return f"{of}:table/{parameters['TableName']}"
    return "*"
