import { Client } from 'fhir-kit-client';

const { FHIR_BASE: baseUrl = '', TOKEN: bearerToken } = process.env;
const client = new Client({ baseUrl, bearerToken });

const study = await client.read({ resourceType: 'ImagingStudy', id: 'panoramic' });
console.log('read:', study.id, study.status);

await client.read({ resourceType: 'ImagingStudy', id: 'missing' }).catch((error) => {
  console.log(`${error.response.status}:`, error.response.data.issue[0].code);
});
const anonymous = new Client({ baseUrl });
await anonymous.read({ resourceType: 'ImagingStudy', id: 'panoramic' }).catch((error) => {
  console.log(`${error.response.status}:`, error.response.data.issue[0].code);
});

const metadata = await client.capabilityStatement();
console.log('metadata:', metadata.fhirVersion);

const { tokenUrl } = await anonymous.smartAuthMetadata();
console.log('tokens:', tokenUrl?.href);
