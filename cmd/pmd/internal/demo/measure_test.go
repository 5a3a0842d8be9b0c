package demo

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counter returns a count that goes by step at each call, after some calls without.
func counter(still int, step uint64) func() (uint64, error) {
	var n uint64
	return func() (uint64, error) {
		if still--; still < 0 {
			n += step
		}
		return n, nil
	}
}

func TestMeasure(t *testing.T) {
	const length = 20 * time.Millisecond
	for name, c := range map[string]struct {
		count func() (uint64, error)
		least time.Duration
		zero  bool
	}{
		"steady":     {counter(0, 1000), length, false},
		"late":       {counter(3, 1000), 3 * length, false},
		"not at all": {counter(100, 0), stretch * length, true},
	} {
		t.Run(name, func(t *testing.T) {
			var f flood
			require.NoError(t, f.measure(t.Context(), length, c.count))
			assert.GreaterOrEqual(t, f.seconds, c.least.Seconds())
			if c.zero {
				assert.Zero(t, f.pps)
			} else {
				assert.InEpsilon(t, 1000/f.seconds, f.pps, 1e-9)
			}
		})
	}
}

func TestMeasureEndsEarly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var f flood
	assert.ErrorIs(t, f.measure(ctx, time.Hour, counter(0, 1)), context.Canceled)
	broken := errors.New("broken")
	assert.ErrorIs(t, f.measure(t.Context(), time.Millisecond, func() (uint64, error) { return 0, broken }), broken)
}

// TestAgain: a loss is forgiven if a later attempt has none, and never hidden.
func TestAgain(t *testing.T) {
	type result struct {
		detail string
		lost   bool
		err    error
	}
	bad := errors.New("bad")
	for name, c := range map[string]struct {
		results []result
		detail  string
		err     string
	}{
		"at once":      {[]result{{"10 of 10", false, nil}}, "10 of 10", ""},
		"second":       {[]result{{"9 of 10", true, nil}, {"10 of 10", false, nil}}, "10 of 10 (attempt 2; the one before: 9 of 10)", ""},
		"third":        {[]result{{"7", true, nil}, {"8", true, nil}, {"10", false, nil}}, "10 (attempt 3; the one before: 8)", ""},
		"never":        {[]result{{"7", true, nil}, {"8", true, nil}, {"9", true, nil}}, "", "9 (attempt 3; the one before: 8)"},
		"error":        {[]result{{"", false, bad}}, "", "bad"},
		"second error": {[]result{{"7", true, nil}, {"", false, bad}}, "", "bad"},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			detail, err := again(func(attempt int) (string, bool, error) {
				r := c.results[n]
				n++
				assert.Equal(t, n, attempt)
				return r.detail, r.lost, r.err
			})
			assert.Equal(t, c.detail, detail)
			assert.Equal(t, len(c.results), n)
			if c.err == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, c.err)
			}
		})
	}
}
