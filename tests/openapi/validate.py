"""Checks an OpenAPI document by the schema of OpenAPI 3.1, and its examples by their own schemas."""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

document = json.load(open(sys.argv[1], encoding="utf-8"))
validate(document)

registry = Registry().with_resource("urn:document", Resource(contents=document, specification=DRAFT202012))
checked = 0
for path, methods in document["paths"].items():
    for method, operation in methods.items():
        contents = [("request", operation.get("requestBody", {}))]
        contents += [(status, response) for status, response in operation["responses"].items() if "$ref" not in response]
        for place, holder in contents:
            for media, content in holder.get("content", {}).items():
                if "example" not in content:
                    continue
                where = f"/paths/{path.replace('~', '~0').replace('/', '~1')}/{method}"
                tail = "requestBody" if place == "request" else f"responses/{place}"
                pointer = f"urn:document#{where}/{tail}/content/{media.replace('/', '~1')}/schema"
                pointer = pointer.replace("{", "%7B").replace("}", "%7D")
                errors = list(Draft202012Validator({"$ref": pointer}, registry=registry).iter_errors(content["example"]))
                # A batch shows a refused command too.
                if errors and not (operation["operationId"] == "batch" and place == "request"):
                    sys.exit(f"{method} {path} {place}: {errors[0].message}")
                checked += 1
print(json.dumps({"examples": checked}))
