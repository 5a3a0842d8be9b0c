package netlabtest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// recorder is a test that only notes how it ended.
type recorder struct {
	testing.TB
	verdict string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.verdict = "skipped: " + fmt.Sprintf(format, args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.verdict = "failed: " + fmt.Sprintf(format, args...)
}

func Example() {
	// In a test: netlabtest.New(t). What becomes of the test where there is
	// no lab to be had depends on where it runs.
	missing := errors.New("no root")
	for _, ci := range []bool{false, true} {
		t := &recorder{}
		require(t, missing, ci, "linux")
		fmt.Println(t.verdict)
	}
	// Output:
	// skipped: needs network namespaces: no root
	// failed: CI=true, where no test may be skipped for lack of root: no root
}

func TestRequire(t *testing.T) {
	missing := errors.New("why")
	for _, c := range []struct {
		err     error
		ci      bool
		goos    string
		verdict string
	}{
		{nil, false, "linux", ""},
		{nil, true, "linux", ""},
		{missing, false, "darwin", "skipped"},
		{missing, true, "darwin", "skipped"}, // there never is a lab there
	} {
		r := &recorder{}
		require(r, c.err, c.ci, c.goos)
		assert.Regexp(t, "^"+c.verdict, r.verdict)
		assert.Equal(t, c.verdict == "", r.verdict == "")
	}
}

func TestNew(t *testing.T) {
	l := New(t)
	n, err := l.Namespace("a")
	assert.NoError(t, err)
	assert.NoError(t, n.Do(func() error { return nil }))
}
