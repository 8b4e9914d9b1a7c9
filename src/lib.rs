//! Serves FHIR R4 `ImagingStudy` resources out of DynamoDB: one AWS Lambda function behind API Gateway.

pub mod auth;
pub mod config;
pub mod target;
