package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Change is one setting that is about to be changed.
type Change struct {
	// Kind says what Key is the name of, and so how it is put back.
	Kind string `json:"kind"`
	Key  string `json:"key"`
	// Was is the value to put back, and Set the one that replaces it.
	Was string `json:"was"`
	Set string `json:"set"`
}

// Record is what one process changes of one interface.
type Record struct {
	// Interface and Index are what the kernel knows it by. An index is not
	// used twice, so an interface of the name with another index is not the
	// one that was changed.
	Interface string `json:"interface"`
	Index     int    `json:"index"`
	// Netns is the path of the interface's network namespace, empty for that
	// of the process, and NetnsID tells it from another that had the same path.
	Netns   string `json:"netns,omitempty"`
	NetnsID string `json:"netns_id,omitempty"`
	// PID is the process, for a person who looks.
	PID int `json:"pid"`
	// Changes are in the order in which they are made.
	Changes []Change `json:"changes"`
}

// Limits of a record, so that a file that is no note is told as such.
const (
	maxFile    = 64 << 10
	maxChanges = 1024
)

// validate tells what is wrong with r, or nil.
func (r Record) validate() error {
	switch {
	case r.Interface == "" || r.Index <= 0:
		return errors.New("no interface")
	case len(r.Changes) == 0 || len(r.Changes) > maxChanges:
		return fmt.Errorf("%d changes: want 1 to %d", len(r.Changes), maxChanges)
	}
	for i, c := range r.Changes {
		if c.Kind == "" || c.Key == "" {
			return fmt.Errorf("change %d names no setting", i)
		}
	}
	return nil
}

// decode reads a record, and nothing behind it.
func decode(text []byte) (r Record, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Record{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Record{}, errors.New("more than one record")
	}
	if err := r.validate(); err != nil {
		return Record{}, err
	}
	return r, nil
}

// Journal is a folder of notes. The zero value is not usable, see New.
type Journal struct {
	dir string
}

// New returns the journal in dir, which is made at the first Write.
func New(dir string) *Journal { return &Journal{dir: dir} }

// DefaultDir returns where notes are if nobody says: under /run/pmd for root, else
// in the user's runtime directory, else in a directory of the user's own among
// the temporary files.
func DefaultDir() string {
	const name = "journal"
	if st, err := os.Stat("/run"); os.Geteuid() == 0 && err == nil && st.IsDir() {
		return filepath.Join("/run/pmd", name)
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "pmd", name)
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("pmd-%d", os.Geteuid()), name)
}

// Note is a record in the journal, locked by this process.
type Note struct {
	Record
	file *os.File
	path string
}

// suffix ends the names of notes; a file without it is not complete.
const suffix = ".json"

// Write enters a record. It returns once the note would survive the death of the
// process; only then may the settings be changed. Errors name the file.
func (j *Journal) Write(r Record) (*Note, error) {
	r.PID = os.Getpid()
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("journal: %s: %w", j.dir, err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := ownDir(j.dir); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	f, err := os.CreateTemp(j.dir, fmt.Sprintf("%s-%d-*.new", fileName(r.Interface), r.PID))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	n := &Note{Record: r, file: f, path: strings.TrimSuffix(f.Name(), ".new") + suffix}
	// Locked and whole before it has its name: nobody sees it otherwise.
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = lock(f)
	}
	if err == nil {
		err = os.Rename(f.Name(), n.path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %w", err), os.Remove(f.Name()), f.Close())
	}
	return n, nil
}

// fileName makes an interface's name, which may hold anything but a slash, safe
// for a pattern of CreateTemp.
func fileName(iface string) string {
	return strings.Map(func(r rune) rune {
		if r == '*' || r == '/' || r < ' ' {
			return '_'
		}
		return r
	}, iface)
}

// Remove deletes the note: its settings are as they were, or nobody's any more.
func (n *Note) Remove() error {
	if n.file == nil {
		return nil
	}
	err := os.Remove(n.path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, n.Close())
}

// Close lets go of the note and leaves it in the journal, for the next process.
func (n *Note) Close() error {
	if n.file == nil {
		return nil
	}
	f := n.file
	n.file = nil
	return f.Close()
}

// Orphans returns the notes of processes that are gone, each locked now by this
// one, which must Remove or Close it. A note that cannot be read is an error that
// names its file, and does not keep the others from being returned.
func (j *Journal) Orphans() ([]*Note, error) {
	if _, err := os.Stat(j.dir); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	// What others could have written is no record of ours.
	if err := ownDir(j.dir); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	paths, err := filepath.Glob(filepath.Join(j.dir, "*"+suffix))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var notes []*Note
	var errs []error
	for _, path := range paths {
		n, err := open(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("journal: %s: %w; if no pmd runs, remove it", path, err))
		} else if n != nil {
			notes = append(notes, n)
		}
	}
	return notes, errors.Join(errs...)
}

// open locks and reads a note. It returns nil if the note's process lives, or if
// somebody else has just dealt with it.
func open(path string) (*Note, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n, err := read(f, path)
	if n == nil {
		err = errors.Join(err, f.Close())
	}
	return n, err
}

// read is open once the file is.
func read(f *os.File, path string) (*Note, error) {
	if err := lock(f); err != nil {
		if errors.Is(err, errLocked) {
			return nil, nil
		}
		return nil, err
	}
	// Whoever had the lock before us may have removed the file.
	mine, err := f.Stat()
	if err != nil {
		return nil, err
	}
	now, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(mine, now) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("longer than %d bytes: not a note", maxFile)
	}
	r, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("not a note: %w", err)
	}
	return &Note{Record: r, file: f, path: path}, nil
}

// errLocked: another process holds the lock.
var errLocked = errors.New("locked")
