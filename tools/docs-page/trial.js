// Opens the page /docs of the local server in headless Chromium, sends the request that it has ready, and looks for the study in
// the response. Fails on anything that the page wants from another host. Then the page of docs/from-your-language.md
// and two clients on it read the study from another origin, with TOKEN, and send no header that the template does not allow. The first argument, if any, is the file for
// a screenshot.

import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const { LOCAL_PORT: port = '9000', PATH = '', CHROMIUM, TOKEN: token } = process.env;
// The examples of the parameter id, and the ids that they stand for.
const STUDIES = { bitewings: 'Bitewings-2026', 'cone-beam-ct': 'cone-beam-ct', panoramic: 'panoramic' };
const [screenshot] = process.argv.slice(2);

const names = ['chromium', 'chromium-browser', 'google-chrome'];
const candidates = names.flatMap((name) => PATH.split(delimiter).map((folder) => join(folder, name)));
const executablePath = CHROMIUM ?? candidates.find(existsSync);
if (!executablePath) throw new Error(`none of ${names.join(', ')} is in PATH; set CHROMIUM`);

/** The headers that the template allows pages to send. */
const ALLOWED = /CorsAllowHeaders:[^}]*?Default: '([^']+)'/.exec(readFileSync('template.yaml', 'utf8'))[1].split(',');

/** What @medplum/core and plain fetch read on a page that another server has sent, so that the browser asks first. */
async function readFromAnotherOrigin() {
  const medplum = readFileSync(fileURLToPath(import.meta.resolve('@medplum/core')));
  const example = readFileSync('examples/clients/browser/study.html', 'utf8');
  if (!readFileSync('docs/from-your-language.md', 'utf8').includes(example.trim())) throw new Error('the page shows another study.html');
  const server = createServer(({ url }, response) => {
    const script = url === '/medplum.mjs';
    response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
    response.end(script ? medplum : example);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const page = await browser.newPage();
    const asked = new Set();
    const network = await page.context().newCDPSession(page);
    network.on('Network.requestWillBeSentExtraInfo', ({ headers }) => {
      for (const name of headers['Access-Control-Request-Headers']?.split(',') ?? []) asked.add(name);
    });
    await network.send('Network.enable');
    const base = encodeURIComponent(`http://127.0.0.1:${port}/site/4/fhir`);
    await page.goto(`http://127.0.0.1:${server.address().port}/study.html#base=${base}&token=${token}`);
    await page.locator('pre', { hasText: '"id": "panoramic"' }).waitFor();
    const read = await page.evaluate(
      async ({ site, token }) => {
        const { MedplumClient } = await import('/medplum.mjs');
        const client = new MedplumClient({ baseUrl: `${site}/`, fhirUrlPath: 'fhir/', fetch: fetch.bind(window) });
        client.setAccessToken(token);
        const study = await client.readResource('ImagingStudy', 'panoramic');
        const headers = {
          authorization: `Bearer ${token}`,
          accept: 'application/fhir+json',
          prefer: 'return=representation',
          traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
          'x-request-id': 'page',
        };
        const response = await fetch(`${site}/fhir/ImagingStudy/panoramic`, { headers });
        const { id } = await response.json();
        const exposed = [response.headers.get('etag'), response.headers.get('last-modified')];
        return { '@medplum/core': study.id, fetch: id, 'headers exposed': exposed.every(Boolean) };
      },
      { site: `http://127.0.0.1:${port}/site/4`, token },
    );
    const expected = { '@medplum/core': 'panoramic', fetch: 'panoramic', 'headers exposed': true };
    if (JSON.stringify(read) !== JSON.stringify(expected)) throw new Error(JSON.stringify(read));
    const refused = [...asked].filter((name) => !ALLOWED.includes(name));
    if (!asked.has('x-medplum') || refused.length > 0) throw new Error(`CorsAllowHeaders: ${refused} of ${[...asked]}`);
    console.log(`from another origin: @medplum/core and fetch read the study, with ${[...asked].join(', ')}`);
  } finally {
    server.close();
  }
}

const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 1200, height: 1400 } });
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('request', (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol.startsWith('http') && host !== `127.0.0.1:${port}`) faults.push(request.url());
  });

  await page.goto(`http://127.0.0.1:${port}/docs`);
  await page.getByText(/^The token that is filled in lives until \d+:\d+/).waitFor();
  const operation = page.locator('#operations-ImagingStudy-readImagingStudy');
  await operation.locator('.opblock-summary').click();
  const response = operation.locator('.live-responses-table tbody tr.response');
  const examples = operation.locator('tr[data-param-name=id] select');
  for (const [example, id] of Object.entries(STUDIES)) {
    await examples.selectOption(example);
    await operation.getByRole('button', { name: 'Execute' }).click();
    const body = response.locator('.highlight-code', { hasText: `"id": "${id}"` }).first();
    await body.waitFor();
    console.log(`${example}: ${(await response.locator('.response-col_status').innerText()).trim()}`);
  }
  if (faults.length > 0) throw new Error(faults.join('\n'));
  if (screenshot) {
    // Not the token, which is in the curl command.
    await page.addStyleTag({ content: '.curl-command { display: none }' });
    await response.scrollIntoViewIfNeeded();
    await page.screenshot({ path: screenshot });
  }
  console.log(`Chromium ${browser.version()}: each sample study is on the page`);
  await readFromAnotherOrigin();
} finally {
  await browser.close();
}
