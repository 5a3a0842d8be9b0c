package pmd_test

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// unsafeName is what a file must be called to import unsafe.
var unsafeName = regexp.MustCompile(`_unsafe(_[a-z0-9]+)*\.go$`)

// unsafeFiles checks that unsafe is imported by files that say so in their name.
func unsafeFiles(sources []*source) (complaints []string) {
	for _, s := range sources {
		for _, imp := range s.file.Imports {
			if importPath(imp) == "unsafe" && !unsafeName.MatchString(s.path) {
				complaints = append(complaints, s.path+": imports unsafe: only files named *_unsafe.go or *_unsafe_*.go may")
			}
		}
	}
	return complaints
}

// rawSockets checks that AF_XDP sockets are made and talked to in one package.
func rawSockets(sources []*source) (complaints []string) {
	const home = "pmd/afxdp/internal/xsk"
	for _, s := range sources {
		if s.in(home) {
			continue
		}
		for _, sel := range selectors(s, "golang.org/x/sys/unix", "syscall") {
			switch sel.Sel.Name {
			case "AF_XDP", "PF_XDP", "SOL_XDP", "SockaddrXDP", "XDPUmemReg", "XDPMmapOffsets":
				complaints = append(complaints, fmt.Sprintf("%s: %s: raw AF_XDP calls stand in %s only", s.at(sel), sel.Sel.Name, home))
			}
		}
	}
	return complaints
}

// enterNamespaces are the places outside cpu that lock a goroutine to its thread:
// a network namespace is the thread's.
var enterNamespaces = []string{"pmd/netlab", "pmd/internal/netif/namespace_linux.go"}

// pinning checks that threads are bound to CPUs in one package.
func pinning(sources []*source) (complaints []string) {
	for _, s := range sources {
		if s.in("cpu") {
			continue
		}
		for _, sel := range selectors(s, "golang.org/x/sys/unix", "syscall", "runtime") {
			switch name := sel.Sel.Name; {
			case strings.HasPrefix(name, "SchedSetaffinity"), name == "SYS_SCHED_SETAFFINITY":
				complaints = append(complaints, s.at(sel)+": "+name+": threads are bound to CPUs by package cpu only")
			case name == "LockOSThread":
				// A test may enter a namespace, too.
				if s.test || slices.ContainsFunc(enterNamespaces, func(p string) bool { return within(s.path, p) }) {
					continue
				}
				complaints = append(complaints, s.at(sel)+": LockOSThread: only package cpu, or where a thread enters a network namespace")
			}
		}
	}
	return complaints
}

// quiet checks that libraries leave ending and printing to the program.
func quiet(sources []*source) (complaints []string) {
	for _, s := range sources {
		if s.test || s.in("cmd") || s.in("bench") && s.file.Name.Name == "main" {
			continue
		}
		for _, imp := range s.file.Imports {
			if name := importPath(imp); within(name, "log") {
				complaints = append(complaints, fmt.Sprintf("%s: imports %s: a library returns errors and leaves logging to the program", s.at(imp), name))
			}
		}
		for _, sel := range selectors(s, "os", "fmt") {
			switch sel.Sel.Name {
			case "Exit", "Print", "Printf", "Println":
				complaints = append(complaints, s.at(sel)+": "+sel.Sel.Name+": a library neither ends the program nor prints")
			}
		}
	}
	return complaints
}

// selectors returns the uses of names of these packages, by whatever name they
// are imported.
func selectors(s *source, packages ...string) (out []*ast.SelectorExpr) {
	names := map[string]bool{}
	for _, imp := range s.file.Imports {
		if p := importPath(imp); slices.Contains(packages, p) {
			name := path.Base(p)
			if imp.Name != nil {
				name = imp.Name.Name
			}
			names[name] = true
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && names[id.Name] {
				out = append(out, sel)
			}
		}
		return true
	})
	return out
}

// noExample are the packages without a runnable Example: programs, the parts of
// programs, and what no other module can import.
var noExample = []string{
	"cmd/pmd",
	"cmd/pmd/internal/app",
	"cmd/pmd/internal/cli",
	"cmd/pmd/internal/ctl",
	"cmd/pmd/internal/demo",
	"cmd/pmd/internal/doctor",
	"cmd/pmd/internal/drivers",
	"cmd/pmd/internal/engine",
	"cmd/pmd/internal/netsys",
	"cmd/pmd/internal/show",
	"cmd/pmd/internal/usage",
	"cmd/pmd/internal/version",
	"pmd/afxdp/internal/vm",
	"pmd/afxdp/internal/xsk",
	"pmd/internal/netif",
	"pmd/internal/netiftest",
}

// pkg is what is known of a package's documentation.
type pkg struct {
	files   int // without tests
	doc     bool
	example bool
}

// packages gathers them.
func packages(sources []*source) map[string]*pkg {
	out := map[string]*pkg{}
	for _, s := range sources {
		p := out[s.dir]
		if p == nil {
			p = &pkg{}
			out[s.dir] = p
		}
		if !s.test {
			p.files++
			if path.Base(s.path) == "doc.go" && strings.TrimSpace(s.file.Doc.Text()) != "" {
				p.doc = true
			}
			continue
		}
		for _, decl := range s.file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			// Without an Output comment it would be compiled but not run.
			if ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Example") && hasOutput(s.file, fn) {
				p.example = true
			}
		}
	}
	maps.DeleteFunc(out, func(_ string, p *pkg) bool { return p.files == 0 }) // tests only
	return out
}

var outputComment = regexp.MustCompile(`(?i)^\s*(unordered )?output:`)

// hasOutput reports whether an Example is run by go test.
func hasOutput(f *ast.File, fn *ast.FuncDecl) bool {
	for _, c := range f.Comments {
		if c.Pos() > fn.Body.Pos() && c.End() < fn.Body.End() && outputComment.MatchString(c.Text()) {
			return true
		}
	}
	return false
}

// documentedPackages checks that each package explains and shows itself.
func documentedPackages(sources []*source) (complaints []string) {
	all := packages(sources)
	for _, dir := range slices.Sorted(maps.Keys(all)) {
		p := all[dir]
		if !p.doc {
			complaints = append(complaints, dir+": has no doc.go with a package comment")
		}
		if !p.example && !slices.Contains(noExample, dir) {
			complaints = append(complaints, dir+": has no Example that go test runs (one with an Output comment)")
		}
	}
	return complaints
}

// dueExemptions checks that noExample names packages that are there, and cannot
// be imported from outside.
func dueExemptions(sources []*source) (complaints []string) {
	all := packages(sources)
	for _, dir := range noExample {
		main := slices.ContainsFunc(sources, func(s *source) bool { return s.dir == dir && s.file.Name.Name == "main" })
		switch {
		case all[dir] == nil:
			complaints = append(complaints, dir+": is exempt from the Example rule and not there")
		case !main && !strings.Contains(dir+"/", "/internal/"):
			complaints = append(complaints, dir+": is exempt from the Example rule and public")
		}
	}
	return complaints
}

// documentedNames checks that exported names have a comment: of their own, at the
// end of the line, or for a group of constants or variables that of the group.
func documentedNames(sources []*source) (complaints []string) {
	for _, s := range sources {
		if s.test || s.file.Name.Name == "main" {
			continue
		}
		missing := func(n ast.Node, name string) {
			complaints = append(complaints, fmt.Sprintf("%s: exported %s has no comment", s.at(n), name))
		}
		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				recv, exported := receiver(d)
				if d.Name.IsExported() && exported && d.Doc == nil {
					missing(d, recv+d.Name.Name)
				}
			case *ast.GenDecl:
				undocumented(d, missing)
			}
		}
	}
	return complaints
}

// undocumented tells of names in a declaration without a comment.
func undocumented(d *ast.GenDecl, missing func(ast.Node, string)) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if !spec.Name.IsExported() {
				continue
			}
			if spec.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) {
				missing(spec, spec.Name.Name)
			}
			if iface, ok := spec.Type.(*ast.InterfaceType); ok {
				for _, m := range iface.Methods.List {
					if len(m.Names) == 1 && m.Names[0].IsExported() && m.Doc == nil && m.Comment == nil {
						missing(m, spec.Name.Name+"."+m.Names[0].Name)
					}
				}
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
					missing(spec, name.Name)
				}
			}
		}
	}
}

// receiver returns the type of a method's receiver with a dot, and whether the
// type is exported; a function counts as a method of something exported.
func receiver(d *ast.FuncDecl) (name string, exported bool) {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return "", true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + ".", x.IsExported()
		default:
			return "", true
		}
	}
}
