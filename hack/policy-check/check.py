"""Evaluates the policies of config/policy on a table of writes, with an evaluator of CEL.

Usage: check.py ENGINE TABLE POLICY...

ENGINE is cel-python or cel-expr-python, the name of the package on PyPI. hack/policy-check.sh runs this with both.

Each case of the table is a write: what the API server would show to the policies, made of the table's objects and of
changes to them (JSON merge patches, RFC 7386). It must be allowed or denied as the table says, and a denied one must be
denied for the reason that the table names. In a case that is denied, every other rule must hold, unless the case says
`alsoDenied`: so each rule is shown to be needed.
"""

import copy
import json
import re
import sys

import yaml


class CelPython:
    """https://pypi.org/project/cel-python, written in Python alone."""

    def __init__(self):
        import celpy
        import celpy.adapter
        import celpy.celtypes as types

        self.celpy = celpy
        self.to_cel = celpy.adapter.json_to_cel
        # Of the extended strings, which Kubernetes has and CEL itself has not.
        self.functions = {
            "substring": lambda text, first, last: types.StringType(str(text)[int(first):int(last)]),
            "lastIndexOf": lambda text, part: types.IntType(str(text).rfind(str(part))),
            "split": lambda text, mark: types.ListType([types.StringType(s) for s in str(text).split(str(mark))]),
        }
        self.programs = {}

    def evaluate(self, expression, variables):
        if expression not in self.programs:
            environment = self.celpy.Environment()
            # It takes a map and null for incomparable in `!=`, though not in `==`.
            syntax = environment.compile(re.sub(r"(\w+) != null", r"!(\1 == null)", expression))
            self.programs[expression] = environment.program(syntax, functions=self.functions)
        return self.programs[expression].evaluate({name: self.to_cel(value) for name, value in variables.items()})


class CelExpr:
    """https://pypi.org/project/cel-expr-python, the C++ implementation by the language's authors."""

    def __init__(self):
        from cel_expr_python import cel
        from cel_expr_python.ext import ext_strings

        self.cel = cel
        names = ["object", "oldObject", "request", "variables"]
        self.environment = cel.NewEnv(
            variables={name: cel.Type.DYN for name in names}, extensions=[ext_strings.ExtStrings()]
        )
        self.programs = {}

    def evaluate(self, expression, variables):
        if expression not in self.programs:
            self.programs[expression] = self.environment.compile(expression)
        value = self.programs[expression].eval(data=variables)
        if value.type() == self.cel.Type.ERROR:
            raise ValueError(f"{expression}: {value.plain_value()}")
        return value.plain_value()


def patched(target, patch):
    """JSON merge patch."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result


class Policy:
    def __init__(self, document):
        spec = document["spec"]
        self.name = document["metadata"]["name"]
        rule = spec["matchConstraints"]["resourceRules"][0]
        self.groups, self.resources, self.operations = rule["apiGroups"], rule["resources"], rule["operations"]
        self.conditions = spec.get("matchConditions", [])
        self.variables = spec.get("variables", [])
        self.validations = spec["validations"]

    def covers(self, request):
        resource = request["resource"]
        return (
            resource["group"] in self.groups
            and resource["resource"] in self.resources
            and request["operation"] in self.operations
        )

    def denials(self, engine, activation):
        """The messages of the rules that do not hold; none where the policy is about something else."""
        if not all(engine.evaluate(c["expression"], activation) for c in self.conditions):
            return []
        variables = {}
        known = dict(activation, variables=variables)
        for variable in self.variables:
            variables[variable["name"]] = plain(engine.evaluate(variable["expression"], known))
        return [v["message"] for v in self.validations if not engine.evaluate(v["expression"], known)]


def plain(value):
    """A value of an evaluator as one that the next expression can be given."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if value is None:
        return None
    if isinstance(value, str):
        return str(value)
    if type(value).__name__ in ("bool", "BoolType"):
        return bool(value)
    return value


def activation(table, case):
    resource = case["resource"]
    kind = table["resources"][resource]
    extra = copy.deepcopy(table["extra"])
    if case.get("node", table["node"]) is not None:
        extra["authentication.kubernetes.io/node-name"] = [case.get("node", table["node"])]
    user = {"username": case.get("user", table["user"])}
    if "node" not in case or case["node"] is not None:
        user["extra"] = extra
    old = patched(kind["object"], case["old"]) if "old" in case else None
    new = patched(kind["object"] if old is None or case["operation"] == "CREATE" else old, case.get("new", {}))
    if case["operation"] == "DELETE":
        new = None
    name = (new or old)["metadata"]["name"]
    request = {
        "operation": case["operation"],
        "name": name,
        "userInfo": user,
        "resource": {"group": kind["group"], "version": kind["version"], "resource": resource},
    }
    if "subresource" in case:
        request["subResource"] = case["subresource"]
    return {"object": new, "oldObject": old, "request": request}


def main():
    engine = {"cel-python": CelPython, "cel-expr-python": CelExpr}[sys.argv[1]]()
    with open(sys.argv[2], encoding="utf-8") as file:
        table = json.load(file)
    policies = []
    for path in sys.argv[3:]:
        with open(path, encoding="utf-8") as file:
            policies += [Policy(d) for d in yaml.safe_load_all(file) if d["kind"] == "ValidatingAdmissionPolicy"]

    failures, shown = 0, set()
    for case in table["cases"]:
        given = activation(table, case)
        found = [m for p in policies if p.covers(given["request"]) for m in p.denials(engine, given)]
        reason = case.get("denied")
        if reason is None:
            good = not found
        else:
            others = [m for m in found if m != reason]
            good = reason in found and sorted(others) == sorted(case.get("alsoDenied", []))
            shown.add(reason)
        if not good:
            failures += 1
            print(f"FAILED  {case['name']}\n        expected {reason or 'allowed'}\n        found    {found or 'allowed'}")
    never = [v["message"] for p in policies for v in p.validations if v["message"] not in shown]
    for message in never:
        failures += 1
        print(f"FAILED  no case is denied because {message}")
    denied = sum("denied" in case for case in table["cases"])
    print(f"{sys.argv[1]}: {len(table['cases']) - denied} writes allowed, {denied} denied, {failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
