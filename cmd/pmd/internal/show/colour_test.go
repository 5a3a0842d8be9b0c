package show

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWantsColour(t *testing.T) {
	env := func(kv map[string]string) func(string) string { return func(k string) string { return kv[k] } }
	none := env(nil)
	assert.False(t, WantsColour(&bytes.Buffer{}, none), "a buffer is no terminal")
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer f.Close()
	assert.False(t, WantsColour(f, none), "a file is no terminal")

	// A terminal is a character device; this is one that is always there.
	dev, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer dev.Close()
	assert.True(t, WantsColour(dev, none))
	assert.False(t, WantsColour(dev, env(map[string]string{"NO_COLOR": "1"})))
	assert.True(t, WantsColour(dev, env(map[string]string{"NO_COLOR": ""})), "empty is not set")
	assert.False(t, WantsColour(dev, env(map[string]string{"TERM": "dumb"})))
}
