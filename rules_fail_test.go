package pmd_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// Each rule finds what it is there for, and nothing in what is right.
func TestRulesCanFail(t *testing.T) {
	for _, test := range []struct {
		name  string
		rule  func([]*source) []string
		files map[string]string
		want  string // part of the only complaint; empty: no complaint
	}{
		{"up", importDirection, map[string]string{"pmd/a.go": `package pmd; import "example.org/pmd/dataplane"`}, "pmd may not import example.org/pmd/dataplane"},
		{"down", importDirection, map[string]string{"dataplane/a.go": `package dataplane; import "example.org/pmd/pmd"`}, ""},
		{"to a sibling", importDirection, map[string]string{"pmd/null/a.go": `package null; import "example.org/pmd/pmd/ring"`}, "pmd/null may not import"},
		{"a row is no prefix", importDirection, map[string]string{"pmd/mbuf/a.go": `package mbuf; import "example.org/pmd/queue/more"`}, "may not import"},
		{"a library", importDirection, map[string]string{"dataplane/a.go": `package dataplane; import "github.com/cilium/ebpf/link"`}, "may not import github.com/cilium/ebpf/link"},
		{"a library that is allowed", importDirection, map[string]string{"pmd/afxdp/a.go": `package afxdp; import "github.com/cilium/ebpf/link"`}, ""},
		{"part of a library", importDirection, map[string]string{"pmd/null/a.go": `package null; import "golang.org/x/sys/unix"`}, "may not import golang.org/x/sys/unix"},
		{"a library of another system", importDirection, map[string]string{"pmd/null/a_windows.go": `package null; import "golang.org/x/sys/windows"`}, "may not import"},
		{"the standard library", importDirection, map[string]string{"dataplane/packet/a.go": `package packet; import "encoding/binary"`}, ""},
		{"an alias", importDirection, map[string]string{"queue/a.go": `package queue; import x "example.org/pmd/pmd/mbuf"`}, "may not import"},
		{"a test inside", importDirection, map[string]string{"queue/a_test.go": `package queue; import "example.org/pmd/pmd/mbuf"`}, "may not import"},
		{"a test outside", importDirection, map[string]string{"queue/a_test.go": `package queue_test; import "example.org/pmd/pmd/mbuf"`}, ""},
		{"testify in a test", importDirection, map[string]string{"queue/a_test.go": `package queue; import "github.com/stretchr/testify/require"`}, ""},
		{"more in a test", importDirection, map[string]string{"pmd/pmdtest/a_test.go": `package pmdtest; import "example.org/pmd/pmd/ring"`}, ""},
		{"more outside tests", importDirection, map[string]string{"pmd/pmdtest/a.go": `package pmdtest; import "example.org/pmd/pmd/ring"`}, "may not import"},
		{"testify outside tests", importDirection, map[string]string{"queue/a.go": `package queue; import "github.com/stretchr/testify/require"`}, "may not import"},
		{"a new package", importDirection, map[string]string{"pmd/floppy/a.go": `package floppy`}, "package pmd/floppy has no row"},
		{"the program", importDirection, map[string]string{"cmd/pmd/internal/cli/a.go": `package cli; import ("example.org/pmd/pmd/afxdp"; "github.com/alecthomas/kong")`}, ""},
		{"a library of the program", importDirection, map[string]string{"dataplane/a.go": `package dataplane; import "example.org/pmd/cmd/pmd/internal/cli"`}, "may not import"},
		{"the benchmarks", importDirection, map[string]string{"bench/a.go": `package bench; import ("example.org/pmd/pmd/afxdp"; "github.com/cilium/ebpf")`}, ""},
		{"the benchmarks, private", importDirection, map[string]string{"bench/a.go": `package bench; import "example.org/pmd/pmd/afxdp/internal/xsk"`}, "bench may not import"},

		{"unsafe", unsafeFiles, map[string]string{"cpu/a.go": `package cpu; import "unsafe"`}, "imports unsafe"},
		{"unsafe in a test", unsafeFiles, map[string]string{"cpu/a_test.go": `package cpu_test; import "unsafe"`}, "imports unsafe"},
		{"unsafe by an alias", unsafeFiles, map[string]string{"cpu/a.go": `package cpu; import _ "unsafe"`}, "imports unsafe"},
		{"unsafe where it belongs", unsafeFiles, map[string]string{
			"cpu/a_unsafe.go": `package cpu; import "unsafe"`, "cpu/a_unsafe_linux.go": `package cpu; import "unsafe"`,
			"cpu/a_unsafe_linux_arm64.go": `package cpu; import "unsafe"`, "cpu/a_unsafe_test.go": `package cpu; import "unsafe"`,
			"cpu/b.go": `package cpu; const unsafe = 1`,
		}, ""},
		{"unsafe in the middle of a name", unsafeFiles, map[string]string{"cpu/not_unsafely.go": `package cpu; import "unsafe"`}, "imports unsafe"},

		{"a socket", rawSockets, map[string]string{"pmd/afxdp/a.go": `package afxdp; import "golang.org/x/sys/unix"; var x = unix.AF_XDP`}, "pmd/afxdp/a.go:1: AF_XDP"},
		{"a socket option", rawSockets, map[string]string{"cmd/pmd/a_test.go": `package main; import u "golang.org/x/sys/unix"; var x = u.SOL_XDP`}, "SOL_XDP"},
		{"a socket where it belongs", rawSockets, map[string]string{"pmd/afxdp/internal/xsk/a.go": `package xsk; import "golang.org/x/sys/unix"; var x = unix.AF_XDP`}, ""},
		{"the words only", rawSockets, map[string]string{"pmd/a.go": `package pmd; import "unix"; var x = "AF_XDP" + unix.AF_XDP // AF_XDP`}, ""},

		{"affinity", pinning, map[string]string{"dataplane/a.go": `package dataplane; import "golang.org/x/sys/unix"; var x = unix.SchedSetaffinity`}, "SchedSetaffinity"},
		{"affinity, dynamic", pinning, map[string]string{"pmd/netlab/a.go": `package netlab; import "golang.org/x/sys/unix"; var x = unix.SchedSetaffinityDynamic`}, "SchedSetaffinityDynamic"},
		{"affinity, raw", pinning, map[string]string{"bench/a_test.go": `package bench; import "syscall"; var x = syscall.SYS_SCHED_SETAFFINITY`}, "SYS_SCHED_SETAFFINITY"},
		{"a thread", pinning, map[string]string{"dataplane/a.go": `package dataplane; import "runtime"; func init() { runtime.LockOSThread() }`}, "LockOSThread"},
		{"a thread in a neighbour file", pinning, map[string]string{"pmd/afxdp/watch_linux.go": `package afxdp; import "runtime"; func init() { runtime.LockOSThread() }`}, "LockOSThread"},
		{"threads where they belong", pinning, map[string]string{
			"cpu/a.go":                              `package cpu; import ("runtime"; "golang.org/x/sys/unix"); var x = unix.SchedSetaffinity; func init() { runtime.LockOSThread() }`,
			"pmd/internal/netif/namespace_linux.go": `package netif; import "runtime"; func init() { runtime.LockOSThread() }`,
			"pmd/netlab/a.go":                       `package netlab; import "runtime"; func init() { runtime.LockOSThread() }`,
		}, ""},

		{"exit", quiet, map[string]string{"pmd/a.go": `package pmd; import "os"; func f() { os.Exit(1) }`}, "Exit"},
		{"log", quiet, map[string]string{"pmd/a.go": `package pmd; import "log"; func f() { log.Fatal() }`}, "imports log"},
		{"slog", quiet, map[string]string{"pmd/a.go": `package pmd; import "log/slog"; func f() { slog.Info("") }`}, "imports log/slog"},
		{"print", quiet, map[string]string{"bench/a.go": `package bench; import "fmt"; func f() { fmt.Println() }`}, "Println"},
		{"the program may", quiet, map[string]string{"cmd/pmd/main.go": `package main; import "os"; func f() { os.Exit(1) }`}, ""},
		{"a benchmark program may", quiet, map[string]string{"bench/gate/main.go": `package main; import "os"; func f() { os.Exit(1) }`}, ""},
		{"tests may", quiet, map[string]string{"pmd/a_test.go": `package pmd; import "os"; func f() { os.Exit(1) }`}, ""},
		{"writing to a file is no printing", quiet, map[string]string{"pmd/a.go": `package pmd; import ("fmt"; "os"); func f() { fmt.Fprintf(os.Stdin, "") }`}, ""},

		{"no doc.go", documentedPackages, map[string]string{"pmd/a.go": "// Package pmd is.\npackage pmd", "pmd/a_test.go": example}, "has no doc.go"},
		{"doc.go without a comment", documentedPackages, map[string]string{"pmd/doc.go": "package pmd", "pmd/a_test.go": example}, "has no doc.go"},
		{"no Example", documentedPackages, map[string]string{"pmd/doc.go": "// Package pmd is.\npackage pmd", "pmd/a_test.go": `package pmd_test; func TestExample() {}`}, "has no Example"},
		{"an Example that is not run", documentedPackages, map[string]string{"pmd/doc.go": "// Package pmd is.\npackage pmd", "pmd/a_test.go": `package pmd_test; func Example() {}`}, "has no Example"},
		{"an Output comment elsewhere", documentedPackages, map[string]string{"pmd/doc.go": "// Package pmd is.\npackage pmd", "pmd/a_test.go": "package pmd_test\nfunc Example() {}\nfunc f() {\n// Output: x\n}"}, "has no Example"},
		{"a package as it should be", documentedPackages, map[string]string{"pmd/doc.go": "// Package pmd is.\npackage pmd", "pmd/a_test.go": example}, ""},
		{"a package that is exempt", documentedPackages, map[string]string{"cmd/pmd/doc.go": "// Command pmd is.\npackage main"}, ""},
		{"a folder of tests only", documentedPackages, map[string]string{"a_test.go": `package pmd_test`}, ""},

		{"a function", documentedNames, map[string]string{"pmd/a.go": "package pmd\nfunc F() {}"}, "pmd/a.go:2: exported F has no comment"},
		{"a method", documentedNames, map[string]string{"pmd/a.go": "package pmd\nfunc (t *T[K, V]) F() {}"}, "exported T.F has no comment"},
		{"a type", documentedNames, map[string]string{"pmd/a.go": "package pmd\ntype T int"}, "exported T has no comment"},
		{"a type in a group with a comment", documentedNames, map[string]string{"pmd/a.go": "package pmd\n// Types.\ntype (\nT int\n)"}, "exported T has no comment"},
		{"a method of an interface", documentedNames, map[string]string{"pmd/a.go": "package pmd\n// T is.\ntype T interface{ F() }"}, "exported T.F has no comment"},
		{"a constant", documentedNames, map[string]string{"pmd/a.go": "package pmd\nconst C = 1"}, "exported C has no comment"},
		{"a variable", documentedNames, map[string]string{"pmd/a.go": "package pmd\nvar a, B = 1, 2"}, "exported B has no comment"},
		{"a constant in a group without a comment", documentedNames, map[string]string{"pmd/a.go": "package pmd\nconst (\n// A is.\nA = 1\n\nB = 2\n)"}, "exported B has no comment"},
		{"names as they should be", documentedNames, map[string]string{
			"pmd/a.go":        "package pmd\n// F does.\nfunc F() {}\n// T is.\ntype T int\n// M does.\nfunc (T) M() {}\n// Numbers.\nconst (\nA = 1\nB = 2\n)\nconst (\nC = 1 // is\n)",
			"pmd/b.go":        "package pmd\nfunc f() {}\ntype t int\nfunc (t) F() {}\nvar v = 1",
			"pmd/a_test.go":   "package pmd\nfunc F() {}",
			"cmd/pmd/main.go": "package main\nfunc F() {}",
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			complaints := test.rule(sourcesOf(t, test.files))
			if test.want == "" {
				require.Empty(t, complaints)
				return
			}
			require.Len(t, complaints, 1)
			require.Contains(t, complaints[0], test.want)
		})
	}
}

const example = "package pmd_test\nfunc Example() {\n// Output: x\n}"

// sourcesOf loads files that exist in the test only.
func sourcesOf(t *testing.T, files map[string]string) []*source {
	t.Helper()
	top := fstest.MapFS{}
	for name, text := range files {
		top[name] = &fstest.MapFile{Data: []byte(text)}
	}
	sources, err := load(top)
	require.NoError(t, err)
	return sources
}

func TestLoadSkipsWhatIsNotTheModule(t *testing.T) {
	sources := sourcesOf(t, map[string]string{
		"go.mod": "module m", "a/a.go": "package a", "a/testdata/b.go": "not Go", "a/_x/c.go": "not Go", ".git/d.go": "not Go",
		"other/go.mod": "module other", "other/e.go": "not Go", "bin/f.go": "not Go", "a/g.txt": "not Go",
	})
	require.Len(t, sources, 1)
	require.Equal(t, "a/a.go", sources[0].path)
	_, err := load(fstest.MapFS{"a.go": {Data: []byte("not Go")}})
	require.Error(t, err, "a file that does not parse is not passed over")
}

// The exemptions are checked against the packages there are.
func TestDueExemptions(t *testing.T) {
	all := dueExemptions(nil)
	require.Len(t, all, len(noExample), "none of them is there")
	public := dueExemptions(sourcesOf(t, map[string]string{"cmd/pmd/a.go": "package notmain"}))
	require.Contains(t, strings.Join(public, "\n"), "cmd/pmd: is exempt from the Example rule and public")
	require.Len(t, dueExemptions(sourcesOf(t, map[string]string{"cmd/pmd/a.go": "package main"})), len(noExample)-1)
}
