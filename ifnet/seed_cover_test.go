package ifnet_test

import (
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each row of TestSeed alone covers nine tenths of the functions that do its work: it runs
// the real code, and most of what that can do.
func TestSeedCovers(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the tests once a row")
	}
	binary := filepath.Join(t.TempDir(), "ifnet.test")
	out, err := exec.Command("go", "test", "-c", "-cover", "-coverpkg=.", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	covered := map[uintptr]map[string]float64{} // by test: some rows share one
	for _, row := range rows {
		percent := covered[reflect.ValueOf(row.test).Pointer()]
		if percent == nil {
			percent = map[string]float64{}
			covered[reflect.ValueOf(row.test).Pointer()] = percent
			cover(t, binary, row.name, percent)
		}
		require.NotEmpty(t, row.by, row.name)
		for _, fn := range row.by {
			p, there := percent[fn]
			require.True(t, there, "%s: there is no function %s", row.name, fn)
			if p < 90 {
				t.Errorf("%s covers %.1f %% of %s", row.name, p, fn)
			}
		}
	}
}

var coverLine = regexp.MustCompile(`/([a-z_]+\.go):\d+:\s+(\w+)\s+([\d.]+)%`)

// cover runs one row and enters how much of each function it covers, by file:name. Of
// methods with the same name in one file the row is about one: the one covered best.
func cover(t *testing.T, binary, row string, percent map[string]float64) {
	profile := filepath.Join(t.TempDir(), "profile")
	out, err := exec.Command(binary, "-test.run=^TestSeed$/^"+row+"$", "-test.coverprofile="+profile).CombinedOutput()
	require.NoError(t, err, "%s: %s", row, out)
	out, err = exec.Command("go", "tool", "cover", "-func="+profile).CombinedOutput()
	require.NoError(t, err, "%s: %s", row, out)
	for _, m := range coverLine.FindAllStringSubmatch(string(out), -1) {
		p, err := strconv.ParseFloat(m[3], 64)
		require.NoError(t, err)
		percent[m[1]+":"+m[2]] = max(percent[m[1]+":"+m[2]], p)
	}
}
