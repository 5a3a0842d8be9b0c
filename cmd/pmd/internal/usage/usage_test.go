package usage_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
	"example.org/pmd/pmd"
)

func TestIs(t *testing.T) {
	plain := errors.New("device is on fire")
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"nil":         {nil, false},
		"failure":     {plain, false},
		"mistake":     {usage.Errorf("--burst %d", 0), true},
		"wrapped":     {fmt.Errorf("run: %w", usage.Wrap(plain)), true},
		"joined":      {errors.Join(plain, usage.Wrap(plain)), true},
		"bad spec":    {fmt.Errorf("open: %w", pmd.ErrSpec), true},
		"bad CPU":     {fmt.Errorf("--cores: %w", &cpu.CPUError{CPU: 9, Reason: cpu.ErrOffline}), true},
		"nil wrapped": {usage.Wrap(nil), false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, usage.Is(c.err)) })
	}
}

func TestWrapKeepsWordsAndCause(t *testing.T) {
	cause := errors.New("cause")
	err := usage.Wrap(fmt.Errorf("words: %w", cause))
	assert.EqualError(t, err, "words: cause")
	assert.ErrorIs(t, err, cause)
}

func ExampleIs() {
	fmt.Println(usage.Is(usage.Errorf("no such flag")), usage.Is(errors.New("no such disk")))
	// Output: true false
}
