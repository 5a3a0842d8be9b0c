package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/dataplane/forward"

	"example.org/pmd/cmd/pmd/internal/app"
)

// script writes a shell's completion script to a file.
func script(t *testing.T, shell string) (path, text string) {
	t.Helper()
	status, stdout, stderr := call("completion", shell)
	require.Zero(t, status, stderr)
	path = filepath.Join(t.TempDir(), "_pmd")
	require.NoError(t, os.WriteFile(path, []byte(stdout), 0o600))
	return path, stdout
}

// lookShell returns a shell's program, or skips.
func lookShell(t *testing.T, shell string) string {
	t.Helper()
	path, err := exec.LookPath(shell)
	if err != nil {
		t.Skipf("%s is not installed: its script was not run", shell)
	}
	return path
}

func TestCompletionKnowsTheWholeGrammar(t *testing.T) {
	k, err := newParser(&Root{}, &app.App{})
	require.NoError(t, err)
	cmds := commands(k.Model.Node)
	var paths []string
	for _, c := range cmds {
		paths = append(paths, c.path)
	}
	assert.Equal(t, []string{
		"pmd", "pmd run", "pmd demo", "pmd stats", "pmd if", "pmd if show", "pmd if set", "pmd if addr", "pmd if addr add", "pmd if addr del", "pmd if join", "pmd if leave",
		"pmd if create", "pmd if destroy", "pmd if kinds", "pmd monitor", "pmd core", "pmd core show", "pmd core set", "pmd forward", "pmd forward show", "pmd forward set",
		"pmd config", "pmd config show", "pmd config check", "pmd config diff", "pmd config apply",
		"pmd doctor", "pmd bench", "pmd bench list", "pmd bench run", "pmd bench peers", "pmd bench report", "pmd bench gate", "pmd stop", "pmd version", "pmd completion",
	}, paths)
	for _, shell := range shellNames() {
		_, text := script(t, shell)
		for _, c := range cmds {
			assert.Contains(t, text, c.path, shell)
			for _, f := range c.flags {
				assert.Contains(t, text, strings.TrimPrefix(f.names[0], "--"), shell)
			}
		}
		for _, mode := range forward.Modes() {
			assert.Contains(t, text, mode, shell)
		}
	}
}

func TestScriptsParse(t *testing.T) {
	for _, shell := range shellNames() {
		t.Run(shell, func(t *testing.T) {
			program := lookShell(t, shell)
			path, _ := script(t, shell)
			out, err := exec.Command(program, "-n", path).CombinedOutput()
			assert.NoError(t, err, "%s", out)
			assert.Empty(t, string(out))
		})
	}
}

func TestBashCompletes(t *testing.T) {
	program := lookShell(t, "bash")
	path, _ := script(t, "bash")
	// complete asks the script as bash does: it sets COMP_LINE and COMP_POINT,
	// calls the function, and prints what that left in COMPREPLY.
	complete := func(line string) []string {
		t.Helper()
		cmd := exec.Command(program, "--norc", "-c",
			`source "$1"; COMP_LINE="$2"; COMP_POINT=${#COMP_LINE}; _pmd; printf '%s\n' "${COMPREPLY[@]}"`, "bash", path, line)
		out, err := cmd.Output()
		require.NoError(t, err)
		return strings.Fields(string(out))
	}
	modes := forward.Modes()
	for line, want := range map[string][]string{
		"pmd ":                             {"run", "demo", "stats", "if", "monitor", "core", "forward", "config", "doctor", "bench", "stop", "version", "completion"},
		"pmd st":                           {"stats", "stop"},
		"pmd fo":                           {"forward"},
		"pmd forward ":                     {"show", "set"},
		"pmd forward s":                    {"show", "set"},
		"pmd forward set ":                 modes,
		"pmd forward set ma":               {"mac", "macswap"},
		"pmd completion ":                  {"bash", "zsh", "fish"},
		"pmd if show --j":                  {"--json"},
		"pmd run --fo":                     {"--forward"},
		"pmd run --forward ":               modes,
		"pmd run -f r":                     {"rxonly"},
		"pmd run --forward=ma":             {"mac", "macswap"},
		"pmd run --forward io --fo":        {"--forward"},
		"pmd run --port null:name=a --dur": {"--duration"},
		"pmd run --port run --forward ":    modes, // a value that is also a command
		"pmd run --port nu":                {"null:"},
		"pmd run --port null:size=64,na":   nil,
		"pmd stats --interval ":            nil,
		"pmd stats --c":                    {"--count", "--clear"},
		"pmd version --":                   {"--help", "--json"},
		"pmd nonsense ":                    {"run", "demo", "stats", "if", "monitor", "core", "forward", "config", "doctor", "bench", "stop", "version", "completion"},
	} {
		assert.Equal(t, want, orNil(complete(line)), line)
	}
	flags := complete("pmd run ")
	for _, f := range []string{"--port", "--forward", "--cores", "--socket", "--duration", "--json", "--xconnect", "--burst", "--frames", "--eth-peer", "--take-management"} {
		assert.Contains(t, flags, f)
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pmd.sock"), nil, 0o600))
	assert.Equal(t, []string{dir + "/pmd.sock"}, complete("pmd stop --socket "+dir+"/p"))

	// The word under the cursor counts, not what is behind it.
	cmd := exec.Command(program, "--norc", "-c",
		`source "$1"; COMP_LINE="pmd sto --json"; COMP_POINT=7; _pmd; echo "${COMPREPLY[@]}"; complete -p pmd`, "bash", path)
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, "stop\ncomplete -F _pmd pmd\n", string(out))
}

func orNil(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return s
}

// TestZshCompletes runs the script with the completion system replaced by functions
// that print what it is told.
func TestZshCompletes(t *testing.T) {
	program := lookShell(t, "zsh")
	path, _ := script(t, "zsh")
	complete := func(words ...string) []string {
		t.Helper()
		args := append([]string{"-f", "-c", `
compdef() { :; }
compset() { :; }
compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- "$@"; }
_describe() { local -a l; l=("${(@P)2}"); print -l -- "${(@)l%%:*}"; }
_files() { print FILES; }
source "$1"; shift
words=("$@"); CURRENT=$#
_pmd`, "zsh", path}, words...)
		out, err := exec.Command(program, args...).Output()
		require.NoError(t, err)
		return strings.Fields(string(out))
	}
	assert.Equal(t, []string{"run", "demo", "stats", "if", "monitor", "core", "forward", "config", "doctor", "bench", "stop", "version", "completion"}, complete("pmd", ""))
	assert.Equal(t, []string{"show", "set"}, complete("pmd", "forward", ""))
	assert.Equal(t, forward.Modes(), complete("pmd", "run", "--port", "run", "--forward", ""))
	assert.Equal(t, forward.Modes(), complete("pmd", "run", "--forward=m"))
	assert.Equal(t, []string{"FILES"}, complete("pmd", "stop", "--socket", ""))
	assert.Contains(t, complete("pmd", "run", "-"), "--take-management")
	assert.Contains(t, complete("pmd", "run", "--port", ""), "null:")
}

// TestFishCompletes asks fish itself.
func TestFishCompletes(t *testing.T) {
	program := lookShell(t, "fish")
	path, _ := script(t, "fish")
	complete := func(line string) []string {
		t.Helper()
		cmd := exec.Command(program, "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, path, line)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.Output()
		require.NoError(t, err)
		var words []string
		for _, l := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			word, _, _ := strings.Cut(l, "\t")
			words = append(words, word)
		}
		return words
	}
	assert.ElementsMatch(t, []string{"run", "demo", "stats", "if", "monitor", "core", "forward", "config", "doctor", "bench", "stop", "version", "completion"}, complete("pmd "))
	assert.ElementsMatch(t, []string{"show", "set"}, complete("pmd forward "))
	assert.ElementsMatch(t, forward.Modes(), complete("pmd run --port run --forward "))
	assert.Contains(t, complete("pmd run --"), "--take-management")
	assert.Contains(t, complete("pmd run --port "), "null:")
}
