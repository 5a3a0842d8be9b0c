package pmd_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.org/pmd/pmd"
)

// Names are keys of maps and labels of metrics: unique, and of one form.
func TestReasonNames(t *testing.T) {
	form := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	seen := map[string]pmd.Reason{}
	for r := pmd.Reason(0); ; r++ {
		name := r.String() // also of reasons nobody has: it must not panic
		other, dup := seen[name]
		assert.False(t, dup, "reasons %d and %d are both called %s", other, r, name)
		assert.Regexp(t, form, name)
		seen[name] = r
		if r == 255 {
			break
		}
	}
	assert.Equal(t, "tx_invalid", pmd.ReasonTxInvalid.String())
	assert.Equal(t, "user0", pmd.ReasonUser.String())
	assert.Equal(t, "user12", (pmd.ReasonUser + 12).String())
	assert.Less(t, int(pmd.ReasonUser), pmd.MaxReasons)
	assert.Len(t, pmd.QueueCounters{}.Drops, int(pmd.DriverReasons))
}
