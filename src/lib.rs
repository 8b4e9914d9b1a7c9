//! Serves FHIR R4 `ImagingStudy` resources out of DynamoDB: one AWS Lambda function behind API Gateway.

#[cfg(feature = "cli")]
pub mod r4;
#[cfg(feature = "cli")]
pub mod source;
pub mod target;
