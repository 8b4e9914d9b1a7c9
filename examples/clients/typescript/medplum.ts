import { MedplumClient } from '@medplum/core';

const { FHIR_BASE = '', TOKEN: accessToken } = process.env;
const { origin: baseUrl, pathname: fhirUrlPath } = new URL(FHIR_BASE);
const medplum = new MedplumClient({ baseUrl, fhirUrlPath, accessToken });

const study = await medplum.readResource('ImagingStudy', 'panoramic');
console.log('read:', study.id, study.status);

await medplum.readResource('ImagingStudy', 'missing').catch((error) => {
  console.log('404:', error.outcome.issue[0].code);
});
const anonymous = new MedplumClient({ baseUrl, fhirUrlPath });
await anonymous.readResource('ImagingStudy', 'panoramic').catch((error) => {
  console.log('401:', error.outcome.issue[0].code);
});

const metadata = await medplum.get(medplum.fhirUrl('metadata'));
console.log('metadata:', metadata.fhirVersion);
