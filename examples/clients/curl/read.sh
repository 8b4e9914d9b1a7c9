status=(--silent --write-out ' %{http_code}\n')
token=(--header "Authorization: Bearer $TOKEN")
study=$FHIR_BASE/ImagingStudy/panoramic

# The study, and its entity tag among the headers
curl "${status[@]}" "${token[@]}" --output study.json --dump-header headers.txt "$study"

# Not again if it has not changed
etag=$(sed -n 's/^etag: \(.*\)\r$/\1/Ip' headers.txt)
curl "${status[@]}" "${token[@]}" --header "If-None-Match: $etag" "$study"

# Errors are an OperationOutcome
curl "${status[@]}" "${token[@]}" "$FHIR_BASE/ImagingStudy/missing"
curl "${status[@]}" "$study"

# What the service supports
curl "${status[@]}" --output metadata.json "$FHIR_BASE/metadata"
