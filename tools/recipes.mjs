// Runs the identity providers' hooks that docs/configuration.md shows, and compares the sites that they put into a token.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const page = readFileSync(new URL("../docs/configuration.md", import.meta.url), "utf8");
const [cognito, auth0] = [...page.matchAll(/^```js\n(.*?)^```$/gms)].map((block) => block[1]);

const { handler } = await import(`data:text/javascript,${encodeURIComponent(cognito)}`);
const ofCognito = async (userAttributes, clientId) => {
  const event = { request: { userAttributes }, callerContext: { clientId } };
  const { accessTokenGeneration } = (await handler(event)).response.claimsAndScopeOverrideDetails;
  return accessTokenGeneration.claimsToAddOrOverride.siteIds;
};
assert.deepEqual(await ofCognito({ "custom:sites": "4,17" }, "APP"), ["4", "17"]);
assert.deepEqual(await ofCognito({}, "APP"), []);
assert.deepEqual(await ofCognito(undefined, "MACHINE_CLIENT_ID"), ["4", "17"]);

const hooks = {};
new Function("exports", auth0)(hooks);
const ofAuth0 = async (hook, event) => {
  const claims = {};
  await hooks[hook](event, { accessToken: { setCustomClaim: (name, value) => (claims[name] = value) } });
  return claims["https://example.com/siteIds"];
};
assert.deepEqual(await ofAuth0("onExecutePostLogin", { user: { app_metadata: { siteIds: ["4", "17"] } } }), ["4", "17"]);
assert.deepEqual(await ofAuth0("onExecutePostLogin", { user: { app_metadata: {} } }), []);
assert.deepEqual(await ofAuth0("onExecuteCredentialsExchange", { client: { metadata: { siteIds: "4,17" } } }), ["4", "17"]);
assert.deepEqual(await ofAuth0("onExecuteCredentialsExchange", { client: { metadata: {} } }), []);
console.log("The hooks of Cognito and Auth0 put the sites into their tokens.");
