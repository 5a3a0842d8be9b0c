package demo

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sample is a report in which everything occurs that can.
func sample() *Report {
	return &Report{
		Ports: []Port{{"a0", "afxdp", "copy", 1}, {"b0", "ring", "", 1}},
		Checks: []Check{
			{"ping", true, "10 of 10 answered"},
			{"delivered", false, "2 sent in the flood ≠ 1 counted at the far end"},
		},
		Throughput: Throughput{PPS: 1012345, FrameSize: 60, Seconds: 2.2},
		Frames:     Frames{Pool: 16384, Accounted: 16383},
		Drops:      map[string]uint64{"tx_full": 7, "rx_dropped": 8217856, "port_down": 1},
	}
}

// shape turns a JSON value into its types, so that shapes can be compared.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = shape(e)
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, shape(e))
		}
		return out
	case float64:
		return "number"
	case string:
		return "string"
	case bool:
		return "bool"
	}
	return "null"
}

func decodeOne(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var v map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	require.NoError(t, dec.Decode(&v), "%s", text)
	assert.False(t, dec.More(), "more than one value: %s", text)
	return v
}

func TestReportJSON(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, sample().writeJSON(&b))
	port := map[string]any{"name": "string", "driver": "string", "mode": "string", "queues": "number"}
	check := map[string]any{"name": "string", "ok": "bool", "detail": "string"}
	assert.Equal(t, map[string]any{
		"ok":         "bool",
		"ports":      []any{port, port},
		"checks":     []any{check, check},
		"throughput": map[string]any{"pps": "number", "frame_size": "number", "seconds": "number"},
		"frames":     map[string]any{"pool": "number", "accounted": "number"},
		"drops":      map[string]any{"tx_full": "number", "rx_dropped": "number", "port_down": "number"},
	}, shape(decodeOne(t, b.Bytes())))
}

func TestReportOfNothing(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, newReport().writeJSON(&b))
	v := decodeOne(t, b.Bytes())
	assert.Equal(t, []any{}, v["ports"])
	assert.Equal(t, []any{}, v["checks"])
	assert.Equal(t, map[string]any{}, v["drops"])
	assert.False(t, newReport().sound(), "nothing was checked")
}

func TestSound(t *testing.T) {
	r := sample()
	assert.False(t, r.sound())
	assert.Equal(t, 1, r.passed())
	r.Checks[1].OK = true
	assert.True(t, r.sound())
}

func ExampleReport() {
	r := Report{
		OK:         true,
		Ports:      []Port{{Name: "a0", Driver: "afxdp", Mode: "copy", Queues: 1}},
		Checks:     []Check{{Name: "ping", OK: true, Detail: "10 of 10 answered"}},
		Throughput: Throughput{PPS: 1e6, FrameSize: 60, Seconds: 2.2},
		Frames:     Frames{Pool: 16384, Accounted: 16384},
		Drops:      map[string]uint64{"rx_dropped": 42},
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", " ")
	_ = enc.Encode(r)
	// Output:
	// {
	//  "ok": true,
	//  "ports": [
	//   {
	//    "name": "a0",
	//    "driver": "afxdp",
	//    "mode": "copy",
	//    "queues": 1
	//   }
	//  ],
	//  "checks": [
	//   {
	//    "name": "ping",
	//    "ok": true,
	//    "detail": "10 of 10 answered"
	//   }
	//  ],
	//  "throughput": {
	//   "pps": 1000000,
	//   "frame_size": 60,
	//   "seconds": 2.2
	//  },
	//  "frames": {
	//   "pool": 16384,
	//   "accounted": 16384
	//  },
	//  "drops": {
	//   "rx_dropped": 42
	//  }
	// }
}
