package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd/afxdp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// recorded is a machine from a txtar file: its files, and beside them
//
//	args             what pmd doctor is given
//	interfaces.json  the facts of its interfaces
//	lacks            features that the kernel does not have, one a line
//	try              why the kernel could not be tried: EPERM or unsupported
//	allowed          CPUs that may be used
//	denied           files that may not be read
type recorded struct {
	files  fstest.MapFS
	denied []string
	ifs    []recordedFacts
}

// recordedFacts are facts with an address that a person can write.
type recordedFacts struct {
	afxdp.Facts
	MAC string
}

// Open implements fs.FS.
func (r *recorded) Open(name string) (fs.File, error) {
	if slices.Contains(r.denied, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return r.files.Open(name)
}

func (r *recorded) inspect(name string) (*afxdp.Facts, error) {
	for _, f := range r.ifs {
		if f.Name == name {
			facts := f.Facts
			facts.MAC, _ = net.ParseMAC(f.MAC)
			return &facts, nil
		}
	}
	return nil, fmt.Errorf("afxdp: %s: no such interface; see ip link: %w", name, syscall.ENODEV)
}

// load reads a recorded machine, and what pmd doctor is asked there.
func load(t *testing.T, file string) (Machine, Options) {
	t.Helper()
	a, err := txtar.ParseFile(file)
	require.NoError(t, err)
	r := &recorded{files: fstest.MapFS{}}
	text := map[string]string{}
	for _, f := range a.Files {
		text[f.Name] = strings.TrimSpace(string(f.Data))
		if strings.Contains(f.Name, "/") {
			r.files[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	r.denied = strings.Fields(text["denied"])
	require.NoError(t, json.Unmarshal([]byte(text["interfaces.json"]), &r.ifs))
	var o Options
	for args := strings.Fields(text["args"]); len(args) > 0; args = args[1:] {
		switch args[0] {
		case "--cores":
			o.Cores, err = cpu.ParseList(args[1])
			require.NoError(t, err)
			args = args[1:]
		case "--netns":
			o.Netns = args[1]
			args = args[1:]
		default:
			o.Interfaces = append(o.Interfaces, args[0])
		}
	}
	return Machine{
		Root: r, Executable: "/usr/local/bin/pmd",
		Topology: func() (*cpu.Topology, error) {
			sys, err := fs.Sub(r, "sys")
			require.NoError(t, err)
			topo, err := cpu.ReadTopology(sys)
			if err == nil && text["allowed"] != "" {
				topo.Allowed, err = cpu.ParseList(text["allowed"])
			}
			return topo, err
		},
		TryKernel: func() ([]afxdp.Feature, error) { return tried(strings.Split(text["lacks"], "\n"), text["try"]) },
		Interfaces: func() (names []string, err error) {
			for _, f := range r.ifs {
				names = append(names, f.Name)
			}
			return names, nil
		},
		Inspect: r.inspect,
	}, o
}

// tried is how trying a kernel went that lacks these features.
func tried(lacks []string, why string) (list []afxdp.Feature, err error) {
	switch why {
	case "EPERM":
		return nil, fmt.Errorf("netlab: network namespaces need root, run with sudo: unshare: %w", syscall.EPERM)
	case "unsupported":
		return nil, fmt.Errorf("afxdp: make a veth pair to try on: %w", errors.ErrUnsupported)
	}
	for _, f := range []afxdp.Feature{
		{Name: afxdp.FeatureProgram, Since: "5.9"}, {Name: afxdp.FeatureFrags, Since: "5.18"},
		{Name: afxdp.FeatureSocket, Since: "5.4"}, {Name: afxdp.FeatureShared, Since: "5.10"},
		{Name: afxdp.FeatureSG, Since: "6.6"}, {Name: afxdp.FeatureBusyPoll, Since: "5.11"},
		{Name: afxdp.FeatureTxBudget, Since: "6.17"}, {Name: afxdp.FeatureXDPFamily, Since: "6.3"},
	} {
		if slices.Contains(lacks, f.Name) {
			f.Err = syscall.EINVAL
		}
		list = append(list, f)
	}
	return list, nil
}

func TestMachines(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 7)
	for _, file := range files {
		name := strings.TrimSuffix(file, ".txtar")
		t.Run(filepath.Base(name), func(t *testing.T) {
			report, err := Examine(load(t, file))
			require.NoError(t, err)
			var text, object bytes.Buffer
			require.NoError(t, report.Write(&text, false))
			golden(t, name+".golden", text.Bytes())
			enc := json.NewEncoder(&object)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			require.NoError(t, enc.Encode(report))
			golden(t, name+".json.golden", object.Bytes())

			assert.Equal(t, report.Count(Problem) == 0, report.OK)
			commands := map[string]bool{}
			for _, f := range report.Findings {
				assert.NotEmpty(t, f.Text)
				assert.Contains(t, []Status{OK, Advice, Problem}, f.Status)
				for _, c := range f.Commands {
					commands[c] = true
				}
			}
			for line := range strings.Lines(text.String()) {
				line = strings.TrimRight(line, "\n")
				assert.Equal(t, strings.TrimRight(line, " "), line, "blanks at the end")
				if !commands[strings.TrimSpace(line)] {
					assert.LessOrEqual(t, utf8.RuneCountInString(line), width, line)
				}
			}
		})
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}

func TestCoresThatCannotBe(t *testing.T) {
	m, o := load(t, "testdata/container.txtar")
	for _, cores := range []int{0, 7} {
		o.Cores = cpu.SetOf(cores)
		_, err := Examine(m, o)
		var bad *cpu.CPUError
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, cores, bad.CPU)
	}
}

func TestColour(t *testing.T) {
	r := Report{}
	r.add(AreaKernel, "version", Problem, "old", "mend it")
	r.finish()
	var b bytes.Buffer
	require.NoError(t, r.Write(&b, true))
	assert.Contains(t, b.String(), "\x1b[31mproblem\x1b[0m  old\n")
	assert.False(t, r.OK)
}

func TestWrap(t *testing.T) {
	assert.Equal(t, []string{"a bb", "cccccc", "d"}, wrap("a  bb cccccc d", 4))
	assert.Equal(t, []string{""}, wrap("", 4))
	assert.Equal(t, []string{"ää öö", "ü"}, wrap("ää öö ü", 5), "characters, not bytes")
}
