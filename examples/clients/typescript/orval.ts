import { readImagingStudy } from './generated/orval.js';

const headers = { Authorization: `Bearer ${process.env.TOKEN}` };

const found = await readImagingStudy('4', 'panoramic', {}, { headers });
if (found.status === 200) console.log('read:', found.data.id, found.data.status);

const missing = await readImagingStudy('4', 'missing', {}, { headers });
if (missing.status === 404 && 'message' in missing.data) console.log('404:', missing.data.message);

const refused = await readImagingStudy('4', 'panoramic');
if (refused.status === 401 && 'message' in refused.data) console.log('401:', refused.data.message);

const etag = found.headers.get('ETag') ?? '*';
const options = { headers: { ...headers, 'If-None-Match': etag } };
const unchanged = await readImagingStudy('4', 'panoramic', {}, options);
if (unchanged.status === 304) console.log('304: no body');
