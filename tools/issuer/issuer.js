// An OpenID provider on this machine: panva's oidc-provider behind TLS of a throw-away authority, with one client whose
// access tokens read the sample studies. It keeps its keys and certificates in ISSUER_STATE (.issuer), so that a restart is the
// same issuer; SIGHUP rotates the key that signs tokens. ISSUER_PORT (9443) moves it.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';
import { generate } from 'selfsigned';

const { ISSUER_PORT: port = '9443', ISSUER_STATE: state = '.issuer' } = process.env;
const issuer = `https://localhost:${port}`;
const audience = 'imaging-study';
const client = { id: 'imaging-client', secret: 'imaging-client-secret' };

/** Reads a file of the state, or makes it. */
async function kept(name, make) {
  const path = join(state, name);
  if (!existsSync(path)) {
    writeFileSync(path, JSON.stringify(await make()), { mode: 0o600 });
  }
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** The authority's certificate, and the server's with its key. */
async function certificates() {
  const common = { keyType: 'ec', algorithm: 'sha256', notAfterDate: new Date(Date.now() + 30 * 86_400_000) };
  const authority = await generate([{ name: 'commonName', value: 'Throw-away authority' }], {
    ...common,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true },
    ],
  });
  const server = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...common,
    ca: { key: authority.private, cert: authority.cert },
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
    ],
  });
  return { authority: authority.cert, key: server.private, cert: server.cert };
}

async function signingKey() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: crypto.randomUUID() };
}

/** A provider that signs with the first of `keys` and publishes them all. */
function provider(keys) {
  return new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: client.id,
        client_secret: client.secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    extraTokenClaims: () => ({ siteIds: ['4'] }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'https://imaging-study.example',
        getResourceServerInfo: () => ({
          accessTokenFormat: 'jwt',
          accessTokenTTL: 3600,
          audience,
          jwt: { sign: { alg: keys[0].alg, kid: keys[0].kid } },
          scope: '',
        }),
      },
    },
  });
}

mkdirSync(state, { recursive: true });
const { authority, key, cert } = await kept('certificates.json', certificates);
const bundle = join(state, 'authority.pem');
writeFileSync(bundle, authority);
let keys = await kept('keys.json', async () => [await signingKey()]);
let handle = provider(keys).callback();

process.on('SIGHUP', async () => {
  // The key before the new one stays published until the next rotation: its tokens are still valid.
  keys = [await signingKey(), keys[0]];
  writeFileSync(join(state, 'keys.json'), JSON.stringify(keys));
  handle = provider(keys).callback();
  console.log(`Rotated: ${keys[0].kid} signs now.`);
});

createServer({ key, cert }, (request, response) => handle(request, response)).listen(Number(port), '127.0.0.1', () => {
  console.log(`
The issuer is ${issuer}. Press Ctrl-C to stop it; kill -HUP ${process.pid} rotates its key.

The service that trusts it:
  JWT_ISSUER=${issuer} JWT_AUDIENCE=${audience} JWT_CA_BUNDLE=${bundle} make run

A token that reads site 4:
  curl -s --cacert ${bundle} -u ${client.id}:${client.secret} -d grant_type=client_credentials ${issuer}/token
`);
});
