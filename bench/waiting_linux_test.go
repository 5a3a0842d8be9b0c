package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestParseWaiting(t *testing.T) {
	assert.Equal(t, 3*time.Microsecond, parseWaiting("12345 3000 7\n"))
	for _, text := range []string{"", "5", "5 -1 2", "5 many 2"} {
		assert.Zero(t, parseWaiting(text), "%q", text)
	}
}
