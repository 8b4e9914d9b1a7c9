import { client } from './generated/hey-api/client.gen.js';
import { readImagingStudy } from './generated/hey-api/index.js';

const { API_URL: baseUrl, TOKEN } = process.env;
client.setConfig({ baseUrl, auth: TOKEN });
const path = { siteId: '4', id: 'panoramic' };

const { data: study, response } = await readImagingStudy({ path });
console.log('read:', study?.id, study?.status);

const missing = await readImagingStudy({ path: { ...path, id: 'missing' } });
if (missing.error && 'statusCode' in missing.error) {
  console.log(`${missing.error.statusCode}:`, missing.error.message);
}

const refused = await readImagingStudy({ path, auth: undefined });
if (refused.error && 'statusCode' in refused.error) {
  console.log(`${refused.error.statusCode}:`, refused.error.message);
}

const headers = { 'If-None-Match': response?.headers.get('ETag') ?? '*' };
const unchanged = await readImagingStudy({ path, headers });
console.log(`${unchanged.response?.status}:`, unchanged.data ?? 'no body');
