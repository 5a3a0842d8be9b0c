// Package pmd_test holds the rules that the source of the whole module keeps to:
// who may import whom, and where things stand that belong in few places.
package pmd_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "example.org/pmd"

// Libraries, by the prefix of their import paths.
const (
	xsys     = "golang.org/x/sys"
	xsysCPU  = "golang.org/x/sys/cpu"
	cpuid    = "github.com/klauspost/cpuid"
	ebpf     = "github.com/cilium/ebpf"
	asavie   = "github.com/asavie/xdp"
	netlink  = "github.com/vishvananda/netlink"
	netns    = "github.com/vishvananda/netns"
	gopacket = "github.com/gopacket/gopacket"
	ethtool  = "github.com/safchain/ethtool"
	testify  = "github.com/stretchr/testify"
	rapidLib = "pgregory.net/rapid"
	xzLib    = "github.com/ulikunitz/xz"
)

// imports says what each package may import beside the standard library: packages
// of this module by their folder, libraries by their prefix. It is the table of
// docs/architecture.md: imports point down only.
//
// cmd/pmd may import everything, bench everything public. Tests outside their
// package (_test) are free; those inside obey the same row.
var imports = map[string][]string{
	"cpu":                    {xsys, cpuid},
	"queue":                  {xsys},
	"pmd/mbuf":               {"queue"},
	"pmd":                    {"pmd/mbuf"},
	"pmd/journal":            {},
	"pmd/afxdp":              {"pmd", "pmd/mbuf", "pmd/journal", "cpu", "queue", "pmd/afxdp/internal/xsk", "pmd/internal/netif", xsys, ebpf, netlink, ethtool, asavie},
	"pmd/afxdp/internal/vm":  {xzLib},
	"pmd/afxdp/internal/xsk": {"pmd/mbuf", "queue", xsys},
	"pmd/internal/netif":     {"cpu", "pmd", "pmd/journal", xsys, netlink, netns, ethtool},
	"pmd/internal/netiftest": {"pmd", "pmd/mbuf", "pmd/netlab", "pmd/pmdtest", "dataplane", "dataplane/forward", xsys, testify},
	"pmd/afpacket":           {"pmd", "pmd/mbuf", "pmd/internal/netif", "dataplane/packet", xsys, netlink},
	"pmd/null":               {"pmd", "pmd/mbuf", "cpu", "queue", xsysCPU},
	"pmd/ring":               {"pmd", "pmd/mbuf", "cpu", "queue", xsysCPU},
	"pmd/pcap":               {"pmd", "pmd/mbuf", "cpu", "queue", xsys, gopacket},
	"pmd/tap":                {"pmd", "pmd/mbuf", "pmd/internal/netif", xsys, netlink},
	"pmd/pmdtest":            {"pmd", "pmd/mbuf", xsys, testify},
	"pmd/netlab":             {"cpu", xsys, ebpf, netlink, netns, ethtool},
	"pmd/netlab/netlabtest":  {"pmd/netlab", testify},
	"ifnet":                  {"cpu", "queue", "pmd", "dataplane/packet"},
	"dataplane":              {"cpu", "pmd", "pmd/mbuf", "queue", xsys},
	"dataplane/packet":       {},
	"dataplane/fib":          {"dataplane/packet"},
	"dataplane/neigh":        {"dataplane/packet"},
	"dataplane/forward": {
		"cpu", "queue", "pmd", "pmd/mbuf", "ifnet", "dataplane", "dataplane/packet", "dataplane/fib", "dataplane/neigh", xsysCPU,
	},
}

// testImports is what tests inside a package may import beyond its row, testify
// and rapid: those that need the package's own names and the system beneath it, or
// drivers to try it on.
var testImports = map[string][]string{
	"pmd/afxdp/internal/vm":  {"pmd/netlab", "pmd/netlab/netlabtest", xsys, netlink},
	"pmd/afxdp/internal/xsk": {"pmd/netlab/netlabtest", ebpf, netlink, netns},
	"pmd/pmdtest":            {"pmd/null", "pmd/ring"},
}

// importDirection checks one row of the table after the other.
func importDirection(sources []*source) (complaints []string) {
	for _, s := range sources {
		if s.external || s.in("cmd/pmd") || s.dir == "." {
			continue
		}
		allowed, listed := imports[s.dir]
		if !listed && !s.in("bench") {
			complaints = append(complaints, fmt.Sprintf("%s: package %s has no row in the table of imports: add one, and to docs/architecture.md", s.path, s.dir))
			continue
		}
		if s.test {
			allowed = slices.Concat(allowed, testImports[s.dir], []string{testify, rapidLib})
		}
		for _, imp := range s.file.Imports {
			name := importPath(imp)
			if own, ours := strings.CutPrefix(name, module+"/"); ours {
				public := !strings.HasPrefix(own, "cmd/") && !strings.Contains(own+"/", "/internal/")
				if slices.Contains(allowed, own) || own == s.dir || s.in("bench") && public {
					continue
				}
			} else if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") {
				continue // the standard library
			} else if s.in("bench") || slices.ContainsFunc(allowed, func(lib string) bool { return within(name, lib) }) {
				continue
			}
			complaints = append(complaints, fmt.Sprintf("%s: %s may not import %s", s.path, s.dir, name))
		}
	}
	return complaints
}

// source is one Go file of the module.
type source struct {
	path     string // from the top of the module, with slashes
	dir      string // its folder: the package
	test     bool
	external bool // a test outside its package
	fset     *token.FileSet
	file     *ast.File
}

// in reports whether the file is in a folder or below it.
func (s *source) in(dir string) bool { return within(s.dir, dir) }

// at returns the place of a node, for a complaint.
func (s *source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
}

// within reports whether a path is dir or lies below it.
func within(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// importPath returns what an import names.
func importPath(imp *ast.ImportSpec) string {
	name, _ := strconv.Unquote(imp.Path.Value) // the parser has seen to it
	return name
}

// parse reads one file.
func parse(name string, text []byte) (*source, error) {
	s := &source{path: name, dir: path.Dir(name), fset: token.NewFileSet(), test: strings.HasSuffix(name, "_test.go")}
	var err error
	if s.file, err = parser.ParseFile(s.fset, name, text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	s.external = s.test && strings.HasSuffix(s.file.Name.Name, "_test")
	return s, nil
}

// load reads every Go file of the module, for every system, but not testdata and
// what the go tool does not look at.
func load(top fs.FS) (sources []*source, err error) {
	err = fs.WalkDir(top, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if entry.IsDir() {
			_, err := fs.Stat(top, path.Join(name, "go.mod"))
			if name != "." && (err == nil || base == "testdata" || base == "bin" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		text, err := fs.ReadFile(top, name)
		if err != nil {
			return err
		}
		s, err := parse(name, text)
		if err != nil {
			return err
		}
		sources = append(sources, s)
		return nil
	})
	return sources, err
}

// rules are all that is checked.
var rules = map[string]func([]*source) []string{
	"imports point down":                       importDirection,
	"unsafe has files of its own":              unsafeFiles,
	"AF_XDP calls stand in one package":        rawSockets,
	"threads are pinned in one package":        pinning,
	"libraries neither exit nor print":         quiet,
	"every package has doc.go and an Example":  documentedPackages,
	"every exported name has a comment":        documentedNames,
	"exemptions from the Example rule are due": dueExemptions,
}

func TestRules(t *testing.T) {
	sources, err := load(os.DirFS("."))
	require.NoError(t, err)
	require.Greater(t, len(sources), 50, "the module was not found")
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, complaint := range rule(sources) {
				t.Error(complaint)
			}
		})
	}
}
