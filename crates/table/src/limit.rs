//! How large a document may be.

/// Maximum size of a document: 32 MiB of JSON, about 190,000 instances. Neither written nor inflated beyond it, so that
/// a gzip bomb cannot exhaust the function's memory.
pub const MAX_JSON_BYTES: usize = 32 << 20;

/// Maximum size of a compressed document: what one response of a Lambda function can carry.
pub const MAX_GZIP_BYTES: usize = 4_717_131;

/// Maximum number of parts of a document. Twelve of ours hold [`MAX_GZIP_BYTES`].
pub const MAX_PARTS: usize = 16;
