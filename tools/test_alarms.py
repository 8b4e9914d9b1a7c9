"""When the alarms on metric math fire: their expressions, evaluated over made-up traffic of five-minute periods."""

import pathlib
import re
import unittest

from samcli.yamlhelper import yaml_parse

RESOURCES = yaml_parse((pathlib.Path(__file__).resolve().parent.parent / "template.yaml").read_text())["Resources"]
# Five-minute periods.
HOUR = 12


class Alarms(unittest.TestCase):
    def test_an_outage_is_seen_at_one_request_in_ten_minutes(self):
        outage = [{"faults": 1, "lines": 1}, {}] * 3
        self.assertTrue(fires("FaultsAlarm", outage))

    def test_few_faults_among_many_responses_are_not(self):
        self.assertFalse(fires("FaultsAlarm", [{"faults": 9, "lines": 1000}] * HOUR))
        self.assertTrue(fires("FaultsAlarm", [{"faults": 11, "lines": 1000}] * HOUR))

    def test_two_single_faults_are_not(self):
        self.assertFalse(fires("FaultsAlarm", [{"faults": 1, "lines": 1}, {"lines": 1}, {"lines": 1}] * 2))

    def test_a_trail_that_is_not_written_is_seen_whatever_the_traffic(self):
        for invocations in (1, 1000):
            silent = [{"invocations": invocations, "errors": 0}, {}, {}, {}]
            self.assertTrue(fires("AuditTrailAlarm", silent * 3), invocations)

    def test_a_trail_of_which_most_is_lost_is_seen(self):
        self.assertTrue(fires("AuditTrailAlarm", [{"invocations": 100, "errors": 0, "lines": 40}] * 3))

    def test_no_traffic_lines_on_the_edge_of_a_period_and_crashes_are_no_silence(self):
        edge = [{"invocations": 10, "errors": 0, "lines": 9}, {"invocations": 10, "errors": 0, "lines": 11}]
        for periods in ([{}] * HOUR, edge * 6, [{"invocations": 5, "errors": 5}] * HOUR):
            self.assertFalse(fires("AuditTrailAlarm", periods))


def fires(alarm, periods):
    """Whether an alarm goes off anywhere in these periods; each has the metrics that have data in it."""
    alarm = RESOURCES[alarm]["Properties"]
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold" and alarm["TreatMissingData"] == "notBreaching"
    metrics = {metric["Id"]: metric for metric in alarm["Metrics"]}
    assert all(metric["MetricStat"]["Period"] == 300 for metric in metrics.values() if "MetricStat" in metric)
    [result] = [metric for metric in metrics.values() if metric["ReturnData"]]
    breaching = []
    for period in periods:
        assert period.keys() <= metrics.keys()
        value = evaluated(result["Expression"], {name: period.get(name) for name in metrics})
        breaching.append(value is not None and value > alarm["Threshold"])
    length, needed = alarm["EvaluationPeriods"], alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])
    return any(sum(breaching[start:start + length]) >= needed for start in range(len(periods)))


def evaluated(expression, values):
    """CloudWatch's metric math, as far as these alarms use it: a metric without data makes the result one without."""
    expression = re.sub(r"FILL\((\w+), (\d+)\)", lambda fill: fill[2] if values[fill[1]] is None else fill[1], expression)
    names = set(re.findall(r"[a-z_]+", expression))
    return None if any(values[name] is None for name in names) else eval(expression, {}, values)


if __name__ == "__main__":
    unittest.main()
