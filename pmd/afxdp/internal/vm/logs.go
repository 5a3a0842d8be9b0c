package vm

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// keptLogs is how many folders of logs stay.
const keptLogs = 20

// NewLogs makes a folder in dir for the logs of one run, so that runs at the same time do not
// overwrite each other's, and removes the oldest of what is there beyond 20 of them.
func NewLogs(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(dir, time.Now().UTC().Format("20060102T150405Z-"))
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	type old struct {
		name string
		at   time.Time
	}
	var all []old
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // else another run has just removed it
			all = append(all, old{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b old) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.name, a.name)) })
	for _, o := range all[min(keptLogs, len(all)):] {
		if err := os.RemoveAll(filepath.Join(dir, o.name)); err != nil {
			return "", fmt.Errorf("remove old logs: %w", err)
		}
	}
	return made, nil
}
