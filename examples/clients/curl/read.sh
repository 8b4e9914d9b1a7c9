quiet=(--silent --write-out ' %{http_code}\n')
token=(--header "Authorization: Bearer $TOKEN")
study=$FHIR_BASE/ImagingStudy/panoramic
curl "${quiet[@]}" "${token[@]}" --output study.json --dump-header headers.txt "$study"
etag=$(tr -d '\r' <headers.txt | sed -n 's/^[Ee][Tt]ag: //p')
curl "${quiet[@]}" "${token[@]}" --header "If-None-Match: $etag" "$study"
curl "${quiet[@]}" "${token[@]}" "$FHIR_BASE/ImagingStudy/missing"
curl "${quiet[@]}" "$study"
curl "${quiet[@]}" --output metadata.json "$FHIR_BASE/metadata"
