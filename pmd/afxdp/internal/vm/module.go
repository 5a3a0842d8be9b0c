package vm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ulikunitz/xz"
)

// module is a kernel module, ready for finit_module.
type module struct {
	name string
	data []byte
}

// loadModules returns the modules of these names and all they depend on, in an
// order in which they can be loaded. A name without a file is taken to be built into
// the kernel: the guest sees whether it is.
func loadModules(dir string, names []string) ([]module, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name, _, ok := strings.Cut(d.Name(), ".ko"); ok && !d.IsDir() {
			files[moduleName(name)] = path
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("modules: %w", err)
	}
	var out []module
	// The names on the way to the present one: a cycle must not hang us.
	var load func(name string, way []string) error
	load = func(name string, way []string) error {
		name = moduleName(name)
		if slices.Contains(way, name) {
			return fmt.Errorf("modules: %s depends on itself: %v", name, way)
		}
		if slices.ContainsFunc(out, func(m module) bool { return m.name == name }) {
			return nil
		}
		path, ok := files[name]
		if !ok {
			return nil
		}
		data, err := readModule(path)
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		depends, err := dependencies(data)
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		for _, d := range depends {
			if err := load(d, append(way, name)); err != nil {
				return err
			}
		}
		out = append(out, module{name, data})
		return nil
	}
	for _, name := range names {
		if err := load(name, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// moduleName is the name as the kernel has it: files may have either sign.
func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// readModule reads a module, compressed or not.
func readModule(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil || strings.HasSuffix(path, ".ko") {
		return data, err
	}
	if !strings.HasSuffix(path, ".xz") {
		return nil, fmt.Errorf("%s: neither plain nor xz", filepath.Base(path))
	}
	r, err := xz.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// dependencies reads what a module says it depends on: the entry depends= of its
// .modinfo section, which holds strings that end in a zero (scripts/mod/modpost.c).
func dependencies(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	info, err := s.Data()
	if err != nil {
		return nil, err
	}
	for entry := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := strings.CutPrefix(string(entry), "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
