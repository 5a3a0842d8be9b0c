package journal

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func record(iface string) Record {
	return Record{
		Interface: iface, Index: 7, Netns: "/run/netns/blue", NetnsID: "net:[1]",
		Changes: []Change{{Kind: "feature", Key: "rx-lro", Was: "on", Set: "off"}, {Kind: "sysfs", Key: "napi_defer_hard_irqs", Was: "0", Set: "2"}},
	}
}

// helperDir, if set, makes the test binary the process that is killed.
const helperDir = "PMD_JOURNAL_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		if _, err := New(dir).Write(record("eth9")); err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString("written\n")
		select {} // until killed
	}
	os.Exit(m.Run())
}

// A process that is killed leaves its note to the next one; one that lives does
// not.
func TestKilledProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperDir+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "written\n", line)

	notes, err := New(dir).Orphans()
	require.NoError(t, err)
	assert.Empty(t, notes, "its process lives")

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	notes, err = New(dir).Orphans()
	require.NoError(t, err)
	require.Len(t, notes, 1)
	want := record("eth9")
	want.PID = cmd.Process.Pid
	assert.Equal(t, want, notes[0].Record)

	// Whoever asks meanwhile does not get it, too.
	again, err := New(dir).Orphans()
	require.NoError(t, err)
	assert.Empty(t, again)
	// Left in the journal, it is there for the next.
	require.NoError(t, notes[0].Close())
	notes, err = New(dir).Orphans()
	require.NoError(t, err)
	require.Len(t, notes, 1)
	require.NoError(t, notes[0].Remove())
	require.NoError(t, notes[0].Remove(), "twice is harmless")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, files)
}

func TestWriteAndRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "journal")
	j := New(dir)
	notes, err := j.Orphans()
	require.NoError(t, err, "no folder is an empty journal")
	require.Empty(t, notes)
	a, err := j.Write(record("odd*name"))
	require.NoError(t, err)
	b, err := j.Write(record("odd*name"))
	require.NoError(t, err, "an interface may have several notes")
	st, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), st.Mode().Perm())
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, f := range files {
		assert.True(t, strings.HasPrefix(f.Name(), "odd_name-") && strings.HasSuffix(f.Name(), suffix), f.Name())
	}
	notes, err = j.Orphans()
	require.NoError(t, err)
	require.Empty(t, notes, "locked by this process itself")
	require.NoError(t, a.Remove())
	require.NoError(t, b.Close())
	notes, err = j.Orphans()
	require.NoError(t, err)
	require.Len(t, notes, 1)
	require.NoError(t, notes[0].Remove())
}

func TestWriteRefuses(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "journal"))
	for want, r := range map[string]Record{
		"no interface":     {Changes: record("x").Changes},
		"0 changes":        {Interface: "eth1", Index: 1},
		"names no setting": {Interface: "eth1", Index: 1, Changes: []Change{{Kind: "feature"}}},
	} {
		_, err := j.Write(r)
		require.ErrorContains(t, err, want)
	}
	_, err := os.Stat(j.dir)
	require.ErrorIs(t, err, os.ErrNotExist, "nothing was made")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = New(file).Write(record("eth1"))
	require.ErrorContains(t, err, file)
}

// What is no note is told with its name, and the others are returned all the same.
func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	j := New(dir)
	good, err := j.Write(record("eth1"))
	require.NoError(t, err)
	require.NoError(t, good.Close())
	for name, text := range map[string]string{
		"a.json": "", "b.json": "{", "c.json": `{"interface":"x","index":1,"changes":[]}`, "d.json": strings.Repeat(" ", maxFile+1),
		"e.json": `{"interface":"x","index":1,"pid":1,"changes":[{"kind":"k","key":"k","was":"","set":""}]} x`, "part.new": "{",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	notes, err := j.Orphans()
	require.Len(t, notes, 1)
	assert.Equal(t, "eth1", notes[0].Interface)
	require.NoError(t, notes[0].Remove())
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		require.ErrorContains(t, err, filepath.Join(dir, name+suffix))
	}
	assert.NotContains(t, err.Error(), "part.new")
}

func TestFolderOfOthers(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	_, err := New(dir).Orphans()
	require.ErrorContains(t, err, "chmod go-w")
	_, err = New(dir).Write(record("eth1"))
	require.ErrorContains(t, err, "chmod go-w")
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(t.TempDir(), link))
	_, err = New(link).Write(record("eth1"))
	require.ErrorContains(t, err, "not a directory")
}

func TestDefaultDir(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1")
	want := "/run/user/1/pmd/journal"
	if _, err := os.Stat("/run"); err == nil && os.Geteuid() == 0 {
		want = "/run/pmd/journal"
	}
	assert.Equal(t, want, DefaultDir())
}

// Whatever is in a file, reading it ends with an error or a record that can be
// written and read again.
func FuzzDecode(f *testing.F) {
	whole, err := json.Marshal(record("eth1"))
	require.NoError(f, err)
	for _, s := range []string{string(whole), "", "{}", "null", `{"interface":"x"}`, `{"interface":"x","index":1,"changes":[{"kind":"a","key":"b"}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := decode(text)
		if err != nil {
			require.Equal(t, Record{}, r)
			return
		}
		again, err := json.Marshal(r)
		require.NoError(t, err)
		same, err := decode(again)
		require.NoError(t, err)
		require.Equal(t, r, same)
	})
}
