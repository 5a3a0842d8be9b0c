package demo

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/usage"
)

func TestCommandMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		cmd  Command
		want string
	}{
		"cores":   {Command{Cores: "1-"}, "--cores"},
		"forward": {Command{Forward: "mac"}, `no forwarding mode "mac"`},
		"socket":  {Command{Socket: "/tmp/s"}, "without --keep"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := c.cmd.Run(&app.App{Stdout: &out, Stderr: &out})
			assert.ErrorContains(t, err, c.want)
			assert.True(t, usage.Is(err))
			assert.Empty(t, out.String())
		})
	}
}

func TestCommandMode(t *testing.T) {
	for in, want := range map[string]string{"": "io", "io": "io", "none": "rxonly"} {
		got, err := (&Command{Forward: in}).mode()
		assert.NoError(t, err)
		assert.Equal(t, want, got)
	}
}
