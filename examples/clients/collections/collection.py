"""Writes the requests of openapi.yaml that read something, with the values of its examples: imaging-study.http, as editors have
it, and the collection of Bruno."""

import pathlib

from ruamel.yaml import YAML

FOLDER = pathlib.Path(__file__).resolve().parent
BASE = "http://127.0.0.1:9000"
ENVIRONMENT = f"vars {{\n  base: {BASE}\n  token: {{{{process.env.TOKEN}}}}\n}}\n"


def example(parameter):
    return parameter.get("example") or next(iter(parameter["examples"].values()))["value"]


def requests():
    """Name, summary, path and whether a token is needed, of each GET."""
    api = YAML(typ="safe").load(FOLDER.parents[2] / "openapi.yaml")
    parameters = api["components"]["parameters"]
    for path, item in api["paths"].items():
        for name in ("siteId", "id"):
            path = path.replace(f"{{{name}}}", example(parameters[name]))
        operation = item["get"]
        yield operation["operationId"], operation["summary"], path, operation.get("security") != []


def http(base=BASE):
    parts = [f"@base = {base}\n@token = {{{{$processEnv TOKEN}}}}\n"]
    for _, summary, path, is_protected in requests():
        token = "Authorization: Bearer {{token}}\n" if is_protected else ""
        parts.append(f"### {summary}\nGET {{{{base}}}}{path}\n{token}")
    return "\n".join(parts)


def bruno():
    yield "bruno.json", '{ "version": "1", "name": "imaging-study", "type": "collection" }\n'
    yield "environments/local.bru", ENVIRONMENT
    for number, (name, summary, path, is_protected) in enumerate(requests(), 1):
        auth = "bearer" if is_protected else "none"
        blocks = [
            f"meta {{\n  name: {summary}\n  type: http\n  seq: {number}\n}}\n",
            f"get {{\n  url: {{{{base}}}}{path}\n  body: none\n  auth: {auth}\n}}\n",
            *(["auth:bearer {\n  token: {{token}}\n}\n"] if is_protected else []),
            "assert {\n  res.status: eq 200\n}\n",
        ]
        yield f"{name}.bru", "\n".join(blocks)


def files():
    yield FOLDER / "imaging-study.http", http()
    for name, text in bruno():
        yield FOLDER / "bruno" / name, text


if __name__ == "__main__":
    for path, text in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
