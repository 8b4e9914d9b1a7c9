"""What CloudFormation makes of a template's values, as far as the templates of this repository need it. For tests."""

import re

NO_VALUE = object()


class Template:
    """A template with the values of its parameters and of CloudFormation's own (`AWS::Region` and so on)."""

    def __init__(self, template, **given):
        self.template = template
        defaults = {name: parameter.get("Default") for name, parameter in template.get("Parameters", {}).items()}
        self.given = {
            "AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::AccountId": "123456789012",
            "AWS::URLSuffix": "amazonaws.com", "AWS::NoValue": NO_VALUE, **defaults, **given,
        }

    def condition(self, name):
        return self.value(self.template["Conditions"][name])

    def value(self, value):
        if isinstance(value, list):
            return [item for item in map(self.value, value) if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return getattr(self, "_" + name.removeprefix("Fn::").lower())(argument)
        members = {name: self.value(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not NO_VALUE}

    def _ref(self, name):
        if name in self.given:
            value = self.given[name]
            parameter = self.template.get("Parameters", {}).get(name, {})
            return value.split(",") if parameter.get("Type") == "CommaDelimitedList" and isinstance(value, str) else value
        assert name in self.template["Resources"], name
        return f"<{name}>"

    def _getatt(self, path):
        return f"<{path if isinstance(path, str) else '.'.join(path)}>"

    def _sub(self, argument):
        text, names = argument if isinstance(argument, list) else (argument, {})
        names = {name: self.value(part) for name, part in names.items()}
        return re.sub(r"\$\{([^}!]+)\}", lambda name: str(names.get(name[1]) or self._ref_or_attribute(name[1])), text)

    def _ref_or_attribute(self, name):
        return f"<{name}>" if "." in name else self._ref(name)

    def _if(self, argument):
        return self.value(argument[1 if self.condition(argument[0]) else 2])

    def _equals(self, argument):
        return str(self.value(argument[0])) == str(self.value(argument[1]))

    def _not(self, argument):
        return not self._holds(argument[0])

    def _or(self, argument):
        return any(map(self._holds, argument))

    def _and(self, argument):
        return all(map(self._holds, argument))

    def _holds(self, value):
        return self.condition(value["Condition"]) if list(value) == ["Condition"] else self.value(value)

    def _contains(self, argument):
        return self.value(argument[1]) in self.value(argument[0])

    def _join(self, argument):
        return argument[0].join(self.value(argument[1]))

    def _findinmap(self, argument):
        first, second, third = map(self.value, argument)
        return self.template["Mappings"][first][second][third]

    def _select(self, argument):
        return self.value(argument[1])[int(argument[0])]

    def _split(self, argument):
        return self.value(argument[1]).split(argument[0])
