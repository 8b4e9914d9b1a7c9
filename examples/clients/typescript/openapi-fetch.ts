import createClient from 'openapi-fetch';
import type { paths } from './generated/openapi-typescript.js';

const { API_URL: baseUrl, TOKEN } = process.env;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${TOKEN}` } });
const read = '/site/{siteId}/fhir/imaging-study/{id}';
const path = { siteId: '4', id: 'panoramic' };

const { data: study, response } = await client.GET(read, { params: { path } });
console.log('read:', study?.id, study?.status);

const missing = await client.GET(read, { params: { path: { ...path, id: 'missing' } } });
if (missing.error && 'statusCode' in missing.error) {
  console.log(`${missing.error.statusCode}:`, missing.error.message);
}

const refused = await client.GET(read, { params: { path }, headers: { Authorization: null } });
if (refused.error && 'statusCode' in refused.error) {
  console.log(`${refused.error.statusCode}:`, refused.error.message);
}

const header = { 'If-None-Match': response.headers.get('ETag') ?? '*' };
const unchanged = await client.GET(read, { params: { path, header } });
console.log(`${unchanged.response.status}:`, unchanged.data ?? 'no body');
