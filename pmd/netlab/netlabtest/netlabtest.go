package netlabtest

import (
	"os"
	"runtime"
	"testing"

	"example.org/pmd/pmd/netlab"
)

// RequireRoot skips the test if network namespaces cannot be made, and says
// why. On Linux with CI=true in the environment it fails the test.
func RequireRoot(t testing.TB) {
	t.Helper()
	require(t, netlab.Check(), os.Getenv("CI") == "true", runtime.GOOS)
}

// require is RequireRoot with what it finds out given to it.
func require(t testing.TB, err error, ci bool, goos string) {
	t.Helper()
	switch {
	case err == nil:
	case ci && goos == "linux":
		t.Fatalf("CI=true, where no test may be skipped for lack of root: %v", err)
	default:
		t.Skipf("needs network namespaces: %v", err)
	}
}

// New returns an empty lab that is closed when the test ends. Without the
// privilege for one the test is skipped or fails, as RequireRoot says. An
// error from closing fails the test.
func New(t testing.TB) *netlab.Lab {
	t.Helper()
	RequireRoot(t)
	l, err := netlab.New("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	return l
}
