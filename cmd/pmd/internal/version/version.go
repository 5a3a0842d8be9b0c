package version

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// Info tells which program this is. Fields that the build did not record are
// empty.
type Info struct {
	// Version is the module's version, "(devel)" for a build from a working
	// tree without one.
	Version string `json:"version"`
	// Revision is the commit it was built from, Time that commit's time in
	// RFC 3339, Modified whether files differed from it.
	Revision string `json:"revision"`
	Time     string `json:"time"`
	Modified bool   `json:"modified"`
	// Go is the toolchain, OS and Arch what it was built for.
	Go   string `json:"go"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
}

// Get returns the version of the running program.
func Get() Info {
	b, ok := debug.ReadBuildInfo()
	if !ok {
		b = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	return from(b)
}

// from picks what we tell out of what the linker left.
func from(b *debug.BuildInfo) Info {
	v := Info{Version: b.Main.Version, Go: b.GoVersion, OS: runtime.GOOS, Arch: runtime.GOARCH}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	for _, s := range b.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// String returns one line for a person.
func (v Info) String() string {
	parts := []string{"pmd " + v.Version}
	if v.Revision != "" {
		rev := "revision " + v.Revision
		if v.Modified {
			rev += " (modified)"
		}
		parts = append(parts, rev)
	}
	return strings.Join(append(parts, v.Go, v.OS+"/"+v.Arch), ", ")
}
