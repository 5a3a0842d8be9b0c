package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFrom(t *testing.T) {
	b := &debug.BuildInfo{GoVersion: "go1.26.0", Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc123"},
		{Key: "vcs.time", Value: "2026-01-02T03:04:05Z"},
		{Key: "vcs.modified", Value: "true"},
	}}
	v := from(b)
	assert.Equal(t, Info{
		Version: "(devel)", Revision: "abc123", Time: "2026-01-02T03:04:05Z", Modified: true,
		Go: "go1.26.0", OS: runtime.GOOS, Arch: runtime.GOARCH,
	}, v)
	assert.Equal(t, "pmd (devel), revision abc123 (modified), go1.26.0, "+runtime.GOOS+"/"+runtime.GOARCH, v.String())
}

func TestGet(t *testing.T) {
	v := Get()
	assert.Equal(t, runtime.Version(), v.Go)
	assert.NotEmpty(t, v.Version)
}

func ExampleInfo_String() {
	fmt.Println(Info{Version: "v1.2.3", Go: "go1.26.0", OS: "linux", Arch: "arm64"})
	// Output: pmd v1.2.3, go1.26.0, linux/arm64
}
