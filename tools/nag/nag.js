// Checks a transformed template, read from standard input, against cdk-nag's HIPAA and NIST 800-53 packs.
//
// What the template gives a reason for, in its metadata `cdk_nag`, is not reported; a reason that no finding needs is.
const { App, Stack } = require("aws-cdk-lib");
const { CfnInclude } = require("aws-cdk-lib/cloudformation-include");
const { HIPAASecurityChecks, NIST80053R5Checks } = require("cdk-nag");
const fs = require("fs");
const os = require("os");
const path = require("path");

const template = fs.readFileSync(0, "utf8");
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "nag-"));
const file = path.join(directory, "template.json");
fs.writeFileSync(file, template);

const app = new App({ outdir: path.join(directory, "out"), analyticsReporting: false });
const stack = new Stack(app, "Stack", { analyticsReporting: false });
new CfnInclude(stack, "Template", { templateFile: file });

const reasons = JSON.parse(template).Metadata?.cdk_nag?.rules_to_suppress ?? [];
const needed = new Set();
const findings = new Set();
for (const pack of [new HIPAASecurityChecks(), new NIST80053R5Checks()]) {
  for (const violation of pack.validateScope(stack).violations) {
    for (const { constructPath } of violation.violatingResources) {
      const resource = constructPath.split("/").pop();
      // A rule has its name in each pack: HIPAA.Security-DynamoDBInBackupPlan, NIST.800.53.R5-DynamoDBInBackupPlan.
      const rule = violation.ruleName.replace(/^(HIPAA\.Security|NIST\.800\.53\.R5)-/, "").replace(/\[.*\]$/, "");
      const reason = reasons.find((each) => each.id === rule);
      if (reason) needed.add(reason);
      else findings.add(`${rule} ${resource}: ${violation.description.replace(/ - \(Control IDs?:.*/s, "")}`);
    }
  }
}
for (const reason of reasons) {
  if (!needed.has(reason)) findings.add(`${reason.id}: the reason is not needed any more`);
}
fs.rmSync(directory, { recursive: true });
for (const finding of [...findings].sort()) console.error(finding);
process.exitCode = findings.size === 0 ? 0 : 1;
