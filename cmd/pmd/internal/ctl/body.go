package ctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"example.org/pmd/cmd/pmd/internal/usage"
)

// MaxBody is the longest body of a request, in bytes.
const MaxBody = 64 << 10

// decode reads one JSON object into v. A field that v does not have, anything
// behind the object and an empty body are mistakes.
func decode(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return usage.Errorf("the body is empty: send a JSON object")
		}
		return usage.Errorf("body: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return usage.Errorf("body: something follows the JSON object")
	}
	return nil
}

// decodeNone checks the body of a request that has none to say: nothing, or an
// empty object as some clients always send.
func decodeNone(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	return decode(body, &struct{}{})
}
